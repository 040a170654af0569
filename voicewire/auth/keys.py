"""API keys: `vw_live_<id>_<secret>`, and how one is checked without ever being stored.

A key carries 256 random bits, so HMAC-SHA256 with a pepper is enough; a slow hash would only give
strangers a way to take the server down.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from voicewire.auth.principal import HOME_TENANT, Limits, Principal
from voicewire.auth.scopes import CLIENT_SCOPES

ID_BYTES = 5  # 8 characters of base32
SECRET_BYTES = 32
CREDENTIAL_CHARS = (8, 256)  # shortest and longest key that can be right
GIVEN_KEY_ID = "bootstrap"
"""The id of a key whose form is not ours: only the operator can have given it, in the configuration."""

_FORM = re.compile(r"vw_(?:live|test)_([a-z2-7]{8})_[A-Za-z0-9_-]{43}", re.ASCII)
_NOBODY = "0" * 64


class KeyRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is kept of a key: everything but the key. `hash` is hex."""

    id: str
    hash: str
    created: datetime
    label: str = ""
    tenant: str = HOME_TENANT
    scopes: frozenset[str] = CLIENT_SCOPES
    revoked: datetime | None = None
    limits: Limits | None = None  # None: the server's own

    def __repr__(self) -> str:
        return f"KeyRecord(id={self.id!r}, tenant={self.tenant!r}, revoked={self.revoked is not None})"

    def principal(self, limits: Limits) -> Principal:
        """Return the caller that shows this key; `limits` stand where the record has none."""
        return Principal(self.id, self.tenant, self.scopes, "key", self.label, self.limits or limits, key=self.id)


class KeyStore(Protocol):
    """Finds what is kept of a key."""

    async def find(self, key_id: str, /) -> KeyRecord | None:
        """Return the record of `key_id`, revoked or not, or None."""
        ...


def generate_key(
    environment: Literal["live", "test"] = "live", random_bytes: Callable[[int], bytes] = secrets.token_bytes
) -> str:
    """Return a new key."""
    public = base64.b32encode(random_bytes(ID_BYTES)).decode().lower()
    secret = base64.urlsafe_b64encode(random_bytes(SECRET_BYTES)).decode().rstrip("=")
    return f"vw_{environment}_{public}_{secret}"


def key_id(key: str) -> str:
    """Return the public part of a key, by which its record is found; `GIVEN_KEY_ID` for any other form."""
    form = _FORM.fullmatch(key)
    return form[1] if form else GIVEN_KEY_ID


def hash_key(pepper: bytes, key: str) -> str:
    """Return HMAC-SHA256 of the whole key, in hex."""
    return hmac.new(pepper, key.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def well_formed(key: str) -> bool:
    """Whether `key` could be a key at all: visible ASCII, neither very short nor long."""
    shortest, longest = CREDENTIAL_CHARS
    return shortest <= len(key) <= longest and key.isascii() and key.isprintable() and " " not in key


def matches(pepper: bytes, key: str, record: KeyRecord | None) -> bool:
    """Whether `key` is the one that `record` was made of, and not revoked.

    A stranger learns nothing from the time it takes: with no record the same work is done against a dummy.
    """
    same = hmac.compare_digest(hash_key(pepper, key), record.hash if record else _NOBODY)
    return same and record is not None and record.revoked is None
