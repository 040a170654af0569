"""People. An address is theirs once a link that was mailed to it was followed; only then is there a password."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from voicewire.accounts.audit import note
from voicewire.auth.principal import HOME_TENANT
from voicewire.errors import BadRequest
from voicewire.storage.store import Row, Session, Store

PEOPLE_TOPIC = "person"
"""News: something about the person, login or tenant of that id is not as it was."""

ROLES = ("creator", "admin")
NAME_CHARS_MAX = 200
PAGE_MAX = 200
RESERVED = "%_\\"  # in a pattern of LIKE

Where = Store | Session

COLUMNS = "id, email, name, role, created, email_verified, suspended, last_login"
# fmt: off
ONE = f"SELECT {COLUMNS} FROM users WHERE id = $1"  # noqa: S608 - the columns are a constant
BY_EMAIL = f"SELECT {COLUMNS} FROM users WHERE lower(email) = $1"  # noqa: S608 - likewise
PAGE = f"""
SELECT {COLUMNS} FROM users WHERE id > $1 AND ($2 = '' OR lower(email) LIKE $2 OR lower(name) LIKE $2)
ORDER BY id LIMIT $3
"""  # noqa: S608 - likewise
# fmt: on


@dataclass(frozen=True, slots=True)
class User:
    """A row of `users`, without the password."""

    id: str
    email: str
    name: str
    role: str
    created: datetime
    verified: datetime | None
    suspended: datetime | None
    last_login: datetime | None

    @classmethod
    def of(cls, row: Row) -> User:
        return cls(*row.values())


class Credentials(NamedTuple):
    """What a login is checked against."""

    id: str
    email: str
    kept: str | None  # the password's hash
    suspended: bool


def new_user_id(random_hex: Callable[[int], str] = secrets.token_hex) -> str:
    """Return a new id of a person."""
    return f"u_{random_hex(8)}"


async def find(where: Where, user: str) -> User | None:
    """Return a person by id."""
    row = await where.fetchrow(ONE, user)
    return User.of(row) if row else None


async def get(where: Where, user: str) -> User:
    """Return a person by id. Raises `BadRequest` (`not_found`)."""
    found = await find(where, user)
    if found is None:
        raise BadRequest("not_found")
    return found


async def by_email(where: Where, email: str) -> User | None:
    """Return a person by the normal form of the address."""
    row = await where.fetchrow(BY_EMAIL, email)
    return User.of(row) if row else None


async def page(where: Where, search: str = "", after: str = "", limit: int = 50) -> list[User]:
    """Return people whose address or name has `search` in it, in the order of ids, behind the id `after`."""
    plain = "".join(f"\\{char}" if char in RESERVED else char for char in search.lower())
    rows = await where.fetch(PAGE, after, f"%{plain}%" if plain else "", min(limit, PAGE_MAX))
    return [User.of(row) for row in rows]


async def credentials(where: Where, *, email: str = "", user: str = "") -> Credentials | None:
    """Return what a login by address or id is checked against, for those whose address was verified."""
    row = await where.fetchrow(
        "SELECT id, email, password_hash, suspended IS NOT NULL FROM users"
        " WHERE (lower(email) = $1 OR id = $2) AND email_verified IS NOT NULL",
        email,
        user,
    )
    return Credentials(*row.values()) if row else None


async def create(where: Where, email: str, *, name: str = "", verified: datetime | None = None) -> str:
    """Add a person and return the id. Raises `Conflict` when the address is somebody's."""
    user = new_user_id()
    await where.execute(
        "INSERT INTO users (id, email, name, email_verified) VALUES ($1, $2, $3, $4)", user, email, name, verified
    )
    return user


async def verify(where: Where, user: str, kept: str | None, name: str, now: datetime) -> None:
    """Take the address as the person's, with the password and the name that came with the link."""
    await where.execute(
        "UPDATE users SET email_verified = $2, password_hash = coalesce($3, password_hash),"
        " name = CASE WHEN $4 = '' THEN name ELSE $4 END WHERE id = $1",
        user,
        now,
        kept,
        name,
    )


async def set_password(where: Where, user: str, kept: str, *, instead_of: str | None = None) -> bool:
    """Keep the hash of a password; where `instead_of` is given, only while that one is still kept."""
    status = await where.execute(
        "UPDATE users SET password_hash = $2 WHERE id = $1 AND ($3::text IS NULL OR password_hash = $3)",
        user,
        kept,
        instead_of,
    )
    return status == "UPDATE 1"


async def rename(where: Where, user: str, name: str) -> None:
    """Set what a person is called."""
    await where.execute("UPDATE users SET name = $2 WHERE id = $1", user, name)


async def set_role(where: Where, user: str, role: str, actor: str) -> None:
    """Make a person an admin, or not. Raises `BadRequest` for an unknown person or role."""
    if role not in ROLES:
        raise BadRequest(problem=f"a role is one of {', '.join(ROLES)}")
    _one(await where.execute("UPDATE users SET role = $2 WHERE id = $1", user, role))
    await note(where, actor, "user.change", tenant=HOME_TENANT, subject=user, details={"role": role})


async def set_suspended(where: Where, user: str, suspended: bool, actor: str, now: datetime) -> None:
    """Let a person do nothing any more, or come back. Raises `BadRequest` (`not_found`)."""
    _one(
        await where.execute(
            "UPDATE users SET suspended = CASE WHEN $2 THEN coalesce(suspended, $3) END WHERE id = $1",
            user,
            suspended,
            now,
        )
    )
    action = "user.suspend" if suspended else "user.restore"
    await note(where, actor, action, tenant=HOME_TENANT, subject=user)


def _one(status: str) -> None:
    if status != "UPDATE 1":
        raise BadRequest("not_found")
