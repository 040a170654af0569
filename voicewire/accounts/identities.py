"""People as their issuers know them: which of ours they are, and making them on their first visit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from voicewire.accounts import links, tenants, users
from voicewire.accounts.audit import note
from voicewire.accounts.emails import normal_email
from voicewire.accounts.users import User, Where
from voicewire.errors import BadRequest, Forbidden
from voicewire.storage.store import Session, Store

ADD = "INSERT INTO identities (issuer, subject, user_id) VALUES ($1, $2, $3)"

Granted = Callable[[Sequence[str]], Awaitable[None]]
"""Tells the ledger of grants, by their ids."""


class Identity(Protocol):
    """Whom an issuer's token names; it was checked."""

    @property
    def issuer(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def email_verified(self) -> bool: ...
    @property
    def name(self) -> str: ...


class Visitor(NamedTuple):
    """An `Identity`."""

    issuer: str
    subject: str
    email: str
    email_verified: bool
    name: str


class Identities:
    """Finds people by what an issuer calls them. `granted` tells the ledger of the first month of who is new."""

    def __init__(self, store: Store, granted: Granted, now: Callable[[], datetime], *, may_sign_up: bool) -> None:
        self._store = store
        self._granted = granted
        self._now = now
        self._may_sign_up = may_sign_up

    async def known(self, issuer: str, subject: str) -> str | None:
        """Return the id of the person that an issuer calls `subject`."""
        return await _known(self._store, issuer, subject)

    async def settle(self, who: Identity) -> str:
        """Return the id of a person, known or new.

        Who is here by e-mail is the same person when the issuer has verified the address. Raises `Forbidden` for a
        stranger where people may not sign up, or whose address was not verified.
        """
        async with self._store.transaction() as session:
            await session.lock(f"identity:{who.issuer}:{who.subject}")
            if user := await _known(session, who.issuer, who.subject):
                return user
            email = _email(who)
            await session.lock(f"email:{email}")
            there = await users.by_email(session, email)
            grant = None
            if there and there.verified:
                user = there.id
            elif self._may_sign_up:
                user, grant = await self._enter(session, there, email, who.name)
            else:
                raise Forbidden(problem="people cannot sign up here")
            await session.execute(ADD, who.issuer, who.subject, user)
        if grant:
            await self._granted([grant])
        return user

    async def _enter(self, session: Session, there: User | None, email: str, name: str) -> tuple[str, str | None]:
        now = self._now()
        user = there.id if there else await users.create(session, email)
        await users.verify(session, user, None, name, now)
        await links.void(session, user, "verify", now)  # a password that a stranger chose must not come with one
        founded = await tenants.found(session, name or email, user, now)
        await note(session, f"user:{user}", "user.register", tenant=founded.tenant, subject=user)
        return user, founded.grant


async def _known(where: Where, issuer: str, subject: str) -> str | None:
    user: str | None = await where.fetchval(
        "SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2", issuer, subject
    )
    return user


def _email(who: Identity) -> str:
    if not who.email_verified:
        raise Forbidden(problem="the sign-in service has not verified its address")
    try:
        return normal_email(who.email)
    except ValueError as error:
        raise BadRequest(problem=str(error)) from None
