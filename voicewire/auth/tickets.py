"""One-time tickets: how a browser, which cannot set headers on a WebSocket, shows who it is.

A ticket goes through a page and a message, so it is worth little: 30 seconds, one use, one origin.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicewire.auth.principal import Principal
from voicewire.errors import RETRY_MS, Busy, Unauthorized
from voicewire.types import KEY_PREFIX

TICKET_KEY = "ticket:{hash}"
"""Redis, string with expiry: the principal and origin of a ticket that was not used yet."""

TICKET_S = 30.0
TICKET_BYTES = 32
TICKET_CHARS = 128  # longer ones are not even hashed


class _Stored(msgspec.Struct, frozen=True):
    principal: Principal
    origin: str | None


class TicketStore:
    """Tickets in Redis, 6.2 or newer, so that any gateway redeems what any other gave."""

    def __init__(
        self,
        redis: Redis,
        prefix: str = KEY_PREFIX,
        lifetime_s: float = TICKET_S,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._lifetime_ms = round(lifetime_s * 1000)
        self._random_bytes = random_bytes

    async def create(self, principal: Principal, origin: str | None) -> str:
        """Return a ticket for `principal`, good once, for a short while, from `origin` only (None: not a browser).

        Raises `Busy` when Redis cannot be asked.
        """
        ticket = base64.urlsafe_b64encode(self._random_bytes(TICKET_BYTES)).decode().rstrip("=")
        stored = msgspec.json.encode(_Stored(replace(principal, kind="ticket"), origin))
        with _redis_down_is_busy():
            await self._redis.set(self._key(ticket), stored, px=self._lifetime_ms)
        return ticket

    async def redeem(self, ticket: str, origin: str | None) -> Principal:
        """Return the principal of `ticket` and spend it, also when the origin is another.

        Raises `Unauthorized` when it is unknown, used, expired or another origin's; `Busy` as `create`.
        """
        if len(ticket) > TICKET_CHARS:
            raise Unauthorized
        with _redis_down_is_busy():
            stored = await self._redis.getdel(self._key(ticket))
        if stored is None:
            raise Unauthorized
        found = msgspec.json.decode(stored, type=_Stored)
        if not _same(found.origin, origin):
            raise Unauthorized
        return found.principal

    def _key(self, ticket: str) -> str:
        # Hashed, so that a look into Redis does not hand out tickets.
        digest = hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).hexdigest()
        return self._prefix + TICKET_KEY.format(hash=digest)


def _same(origin: str | None, other: str | None) -> bool:
    if origin is None or other is None:
        return origin is other
    return hmac.compare_digest(origin.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


@contextmanager
def _redis_down_is_busy() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise Busy(retry_after_ms=RETRY_MS) from error
