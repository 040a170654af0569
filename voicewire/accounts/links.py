"""Links that were mailed: a random token each, kept as a hash, good once and for a while."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from voicewire.accounts.users import Where

Purpose = Literal["verify", "password"]

GOOD_FOR = {"verify": timedelta(days=1), "password": timedelta(hours=1)}
TOKEN_BYTES = 32
TOKEN_CHARS_MAX = 128  # longer ones are not even hashed


class Meaning(NamedTuple):
    """What a link stands for."""

    user: str
    kept: str | None  # of the password that was chosen with it
    name: str


async def make(
    where: Where,
    purpose: Purpose,
    user: str,
    now: datetime,
    *,
    kept: str | None = None,
    name: str = "",
    random_token: Callable[[int], str] = secrets.token_urlsafe,
) -> str:
    """Return the token of a new link."""
    token = random_token(TOKEN_BYTES)
    await where.execute(
        "INSERT INTO mailed (token_hash, purpose, user_id, password_hash, name, created, expires)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        token_hash(token),
        purpose,
        user,
        kept,
        name,
        now,
        now + GOOD_FOR[purpose],
    )
    return token


async def find(where: Where, purpose: Purpose, token: str, now: datetime) -> Meaning | None:
    """Return what a link stands for, unspent; None when it is not good."""
    row = await where.fetchrow(
        "SELECT user_id, password_hash, name FROM mailed"
        " WHERE token_hash = $1 AND purpose = $2 AND used IS NULL AND expires > $3",
        token_hash(token),
        purpose,
        now,
    )
    return Meaning(*row.values()) if row else None


async def spend(where: Where, purpose: Purpose, token: str, now: datetime) -> Meaning | None:
    """Spend a link, and with it all others of the same person and purpose; None when it is not good."""
    row = await where.fetchrow(
        "UPDATE mailed SET used = $3 WHERE token_hash = $1 AND purpose = $2 AND used IS NULL AND expires > $3"
        " RETURNING user_id, password_hash, name",
        token_hash(token),
        purpose,
        now,
    )
    if row is None:
        return None
    spent = Meaning(*row.values())
    await void(where, spent.user, purpose, now)
    return spent


async def void(where: Where, user: str, purpose: Purpose, now: datetime) -> None:
    """Make all open links of a person worthless."""
    await where.execute(
        "UPDATE mailed SET used = $3 WHERE user_id = $1 AND purpose = $2 AND used IS NULL", user, purpose, now
    )


def token_hash(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token[: TOKEN_CHARS_MAX + 1].encode("utf-8", "surrogatepass")).hexdigest()
