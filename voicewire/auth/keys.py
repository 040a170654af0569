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
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Literal, Protocol

import msgspec

from voicewire.auth.principal import HOME_TENANT, Limits, Principal
from voicewire.auth.scopes import CLIENT_SCOPES

ID_BYTES = 5  # 8 characters of base32
SECRET_BYTES = 32
CREDENTIAL_CHARS = (8, 256)  # shortest and longest key that can be right
GIVEN_KEY_ID = "bootstrap"
"""The id of a key whose form is not ours: only the operator can have given it, in the configuration."""

KEY_ID = "[a-z2-7]{8}"
"""What any other id looks like."""

_FORM = re.compile(rf"vw_(?:live|test)_({KEY_ID})_[A-Za-z0-9_-]{{43}}", re.ASCII)
_NOBODY = "0" * 64


COUNTED = ("streams", "contexts", "text_chars", "requests_minute")
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class KeyLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a key may have less of than its tenant. None: as much."""

    streams: AtLeastOne | None = None
    contexts: AtLeastOne | None = None
    text_chars: AtLeastOne | None = None
    requests_minute: AtLeastOne | None = None
    models: frozenset[str] | None = None

    def lower(self, limits: Limits) -> Limits:
        """Return `limits`, but no more than these."""
        return replace(
            limits,
            streams=_least(limits.streams, self.streams),
            contexts=_least(limits.contexts, self.contexts),
            text_chars=_least(limits.text_chars, self.text_chars),
            requests_minute=_least(limits.requests_minute, self.requests_minute),
            models=_common(limits.models, self.models),
        )

    def within(self, other: KeyLimits) -> KeyLimits:
        """Return the lower of both in everything."""
        counts = {name: _lower(getattr(self, name), getattr(other, name)) for name in COUNTED}
        return KeyLimits(models=_common(self.models, other.models), **counts)


def _lower(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _least(most: int, wanted: int | None) -> int:
    return most if wanted is None else min(most, wanted)


def _common(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    return other if one is None else one if other is None else one & other


class KeyRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is kept of a key: everything but the key. `hash` is hex."""

    id: str
    hash: str
    created: datetime
    label: str = ""
    tenant: str = HOME_TENANT
    scopes: frozenset[str] = CLIENT_SCOPES
    revoked: datetime | None = None
    limits: KeyLimits | None = None  # None: the tenant's
    environment: Literal["live", "test"] = "live"
    user: str = ""  # who made it
    expires: datetime | None = None
    suspended: bool = False  # its tenant is, or who made it
    last_used: datetime | None = None
    replaces: str = ""  # the key that it was made for, by rotation

    def __repr__(self) -> str:
        return f"KeyRecord(id={self.id!r}, tenant={self.tenant!r}, revoked={self.revoked is not None})"

    def ended(self, now: datetime) -> bool:
        """Whether the key is good for nothing at `now`."""
        over = self.expires is not None and self.expires <= now
        return over or self.suspended or self.revoked is not None

    def principal(self, limits: Limits) -> Principal:
        """Return the caller that shows this key, whose tenant has `limits`."""
        lowered = self.limits.lower(limits) if self.limits else limits
        expires = self.expires.timestamp() if self.expires else None
        return Principal(self.id, self.tenant, self.scopes, "key", self.label, lowered, key=self.id, expires=expires)


class KeyStore(Protocol):
    """Finds what is kept of a key."""

    async def find(self, key_id: str, /) -> KeyRecord | None:
        """Return the record of `key_id`, also of a key that ended, or None. Raises `Busy` when it cannot be known."""
        ...

    def used(self, key_id: str, /) -> None:
        """Take note that the key of this id was shown, and is right."""


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


def matches(pepper: bytes, key: str, record: KeyRecord | None, now: datetime) -> bool:
    """Whether `key` is the one that `record` was made of, and still good.

    A stranger learns nothing from the time it takes: with no record the same work is done against a dummy.
    """
    same = hmac.compare_digest(hash_key(pepper, key), record.hash if record else _NOBODY)
    return same and record is not None and not record.ended(now)


def utc_now() -> datetime:
    """Return the time of day, as records have it."""
    return datetime.now(UTC)
