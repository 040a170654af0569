"""Logins: each has one refresh token, which is replaced at every use. One that comes a second time ends the login.

RFC 9700, section 4.14.2: either the person or a thief has the newer one, and nobody can tell who. But a page that is
reloaded never sees its answer, and several windows may ask at once: for some seconds a token gives the same new one
again, which follows from it and from our secret.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from voicewire.accounts.users import Where
from voicewire.errors import Unauthorized

LOGGER = logging.getLogger(__name__)

IDLE = timedelta(days=30)  # without a refresh
LIFE = timedelta(days=180)
GRACE = timedelta(seconds=20)  # in which the token before the current one is answered again
LOGINS_MAX = 50  # of one person; a new one ends the oldest
SECRET_BYTES = 32
TAG_BYTES = 18
_FORM = re.compile(r"vwr_([0-9a-f]{16})_([A-Za-z0-9_-]{43})([A-Za-z0-9_-]{24})", re.ASCII)


# Whose `token_hash` is the next one's already has used its token: that counts from then on, however often it comes.
REFRESH = """
UPDATE logins
SET token_hash = $3, used = CASE token_hash WHEN $3 THEN used ELSE $4 END,
    expires = least($4 + $5::interval, created + $6::interval)
WHERE id = $1 AND ended IS NULL AND expires > $4
  AND (token_hash = $2 OR token_hash = $3 AND used > $4 - $7::interval)
RETURNING user_id, tenant
"""


class Login(NamedTuple):
    """A login in force. `token` refreshes it, once."""

    id: str
    user: str
    tenant: str
    token: str


class Logins:
    """Opens, refreshes and ends logins.

    A token carries a tag of ours, made with `secret`: an invented one must not end somebody's login.
    """

    def __init__(self, secret: bytes, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._secret = hmac.digest(secret, b"refresh tokens", "sha256")
        self._random_bytes = random_bytes

    async def open(self, where: Where, user: str, tenant: str, now: datetime) -> Login:
        """Begin a login."""
        number = self._random_bytes(8).hex()
        token = self._first(number)
        await where.execute(
            "INSERT INTO logins (id, user_id, tenant, token_hash, created, used, expires)"
            " VALUES ($1, $2, $3, $4, $5, $5, $6)",
            f"l_{number}",
            user,
            tenant,
            _hash(token),
            now,
            now + IDLE,
        )
        await where.execute(
            "UPDATE logins SET ended = $2 WHERE id IN (SELECT id FROM logins WHERE user_id = $1 AND ended IS NULL"
            " AND expires > $2 ORDER BY used DESC, id OFFSET $3)",
            user,
            now,
            LOGINS_MAX,
        )
        return Login(f"l_{number}", user, tenant, token)

    async def refresh(self, where: Where, token: str, now: datetime) -> Login | None:
        """Replace `token` by the next one; None when it is not in force. Raises `Unauthorized` if it is not ours."""
        number = self._number(token)
        following = self._next(number, token)
        row = await where.fetchrow(REFRESH, f"l_{number}", _hash(token), _hash(following), now, IDLE, LIFE, GRACE)
        return Login(f"l_{number}", row["user_id"], row["tenant"], following) if row else None

    async def end_reused(self, where: Where, token: str, now: datetime) -> str:
        """End the login of a token that was used before; return its id."""
        login = f"l_{self._number(token)}"
        if await end_login(where, login, now):
            LOGGER.warning("the login %s is ended: a refresh token came a second time", login)
        return login

    def _first(self, number: str) -> str:
        return self._token(number, self._random_bytes(SECRET_BYTES))

    def _next(self, number: str, token: str) -> str:
        return self._token(number, hmac.digest(self._secret, f"after {token}".encode(), "sha256"))

    def _token(self, number: str, octets: bytes) -> str:
        secret = _plain64(octets)
        return f"vwr_{number}_{secret}{self._tag(number, secret)}"

    def _tag(self, number: str, secret: str) -> str:
        return _plain64(hmac.digest(self._secret, f"{number}{secret}".encode(), "sha256")[:TAG_BYTES])

    def _number(self, token: str) -> str:
        form = _FORM.fullmatch(token)
        if form is None or not hmac.compare_digest(self._tag(form[1], form[2]), form[3]):
            raise Unauthorized
        return form[1]


async def move_login(where: Where, login: str, tenant: str) -> None:
    """Let a login be for another tenant of the person."""
    await where.execute("UPDATE logins SET tenant = $2 WHERE id = $1", login, tenant)


async def end_login(where: Where, login: str, now: datetime) -> bool:
    """End a login; return False when it had ended."""
    status = await where.execute("UPDATE logins SET ended = $2 WHERE id = $1 AND ended IS NULL", login, now)
    return status == "UPDATE 1"


async def end_logins(where: Where, user: str, now: datetime, *, but: str = "") -> None:
    """End every login of a person but one."""
    await where.execute(
        "UPDATE logins SET ended = $2 WHERE user_id = $1 AND ended IS NULL AND id <> $3", user, now, but
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _plain64(octets: bytes) -> str:
    return urlsafe_b64encode(octets).decode().rstrip("=")
