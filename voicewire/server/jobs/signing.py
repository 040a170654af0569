"""Standard Webhooks: what is told carries a signature, so that a receiver knows who told it, and when.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac

SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets begin with
SECRET_BYTES = range(24, 65)  # of what is made elsewhere, as the specification has it
PURPOSE = "webhook"


def secret_for(pepper: bytes, tenant: str, url: str) -> str:
    """Return what a tenant's messages to `url` are signed with: always the same, and kept nowhere."""
    purpose = "\n".join((PURPOSE, tenant, url)).encode()
    return SECRET_PREFIX + base64.b64encode(hmac.digest(pepper, purpose, hashlib.sha256)).decode()


def is_secret(text: str) -> bool:
    """Whether `text` is a secret as others make them."""
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        return False
    return text.startswith(SECRET_PREFIX) and len(key) in SECRET_BYTES


def signature(secret: str, id: str, timestamp: int, body: bytes) -> str:
    """Return `webhook-signature` for a message."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(secret: str, id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "voicewire",
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secret, id, timestamp, body),
    }
