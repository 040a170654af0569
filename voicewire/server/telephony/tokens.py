"""One-time tokens: how a carrier's stream, which shows no key, shows whose call it is.

A token goes through a carrier and comes back in its first message, so it is worth little: a minute, one use, one call.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from msgspec import Struct, json
from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicewire.errors import RETRY_MS, Busy, Unauthorized
from voicewire.types import KEY_PREFIX

CALL_GRANT_KEY = "call_grant:{hash}"
"""Redis, string with expiry: what a token that was not used yet is good for."""

ANSWERED_KEY = "call_answered:{hash}"
"""Redis, string with expiry: a signed request of a carrier was answered."""

TOKEN_S = 60
TOKEN_BYTES = 32
TOKEN_CHARS = 128  # longer ones are not even hashed
ANSWERED_S = 24 * 3_600  # longer than a call may last


class Grant(Struct, frozen=True):
    """What a token is good for. An empty `call` is any: then whoever asked for it knew no name of it yet."""

    tenant: str
    call: str = ""
    account: str = ""  # the row of the table whose settings count


class Tokens:
    """Tokens in Redis, so that any gateway redeems what any other gave. All raise `Busy` when it cannot be asked."""

    def __init__(self, redis: Redis, prefix: str = KEY_PREFIX) -> None:
        self._redis = redis
        self._prefix = prefix

    async def create(self, grant: Grant) -> str:
        """Return a token, good once and for a minute: digits and letters, for Plivo's headers take nothing else."""
        token = secrets.token_hex(TOKEN_BYTES)
        key = self._prefix + CALL_GRANT_KEY.format(hash=_hash(token))
        try:
            await self._redis.set(key, json.encode(grant), ex=TOKEN_S)
        except (RedisError, OSError) as error:
            raise Busy(retry_after_ms=RETRY_MS) from error
        return token

    async def redeem(self, token: str, call: str) -> Grant:
        """Return what `token` is good for and spend it, also when it is another call's, which raises `Unauthorized`."""
        if not token or len(token) > TOKEN_CHARS:
            raise Unauthorized
        try:
            stored = await self._redis.getdel(self._prefix + CALL_GRANT_KEY.format(hash=_hash(token)))
        except (RedisError, OSError) as error:
            raise Busy(retry_after_ms=RETRY_MS) from error
        if stored is None:
            raise Unauthorized
        grant = json.decode(stored, type=Grant)
        if grant.call and not hmac.compare_digest(_bytes(grant.call), _bytes(call)):
            raise Unauthorized
        return grant

    async def first(self, signature: str) -> bool:
        """Whether a signed request comes for the first time, as far as a day can tell."""
        key = self._prefix + ANSWERED_KEY.format(hash=_hash(signature))
        try:
            return bool(await self._redis.set(key, b"", nx=True, ex=ANSWERED_S))
        except (RedisError, OSError) as error:
            raise Busy(retry_after_ms=RETRY_MS) from error


def _hash(secret: str) -> str:
    # Hashed, so that a look into Redis does not hand out tokens.
    return hashlib.sha256(_bytes(secret)).hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
