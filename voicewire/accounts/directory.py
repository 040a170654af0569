"""What operators do with people: add, list, suspend, change. Every gateway hears of it at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from voicewire.accounts import links, tenants, users
from voicewire.accounts.audit import note
from voicewire.accounts.emails import normal_email
from voicewire.accounts.identities import Granted
from voicewire.accounts.logins import end_logins
from voicewire.accounts.news import News
from voicewire.accounts.users import PEOPLE_TOPIC, User
from voicewire.auth.principal import HOME_TENANT
from voicewire.errors import BadRequest
from voicewire.storage.store import Conflict, Store

KEYS_OF_TENANT_TOPIC = "tenants"  # of the cache of keys, which knows nobody's keys apart


class Directory:
    """The people of a server. `actor` is who does it, as the audit log names them."""

    def __init__(self, store: Store, news: News, granted: Granted, now: Callable[[], datetime]) -> None:
        self._store = store
        self._news = news
        self._granted = granted
        self._now = now

    async def page(self, search: str = "", after: str = "", limit: int = 50) -> list[User]:
        """Return people whose address or name has `search` in it, in the order of ids, behind the id `after`."""
        return await users.page(self._store, search, after, limit)

    async def get(self, user: str) -> User:
        """Return a person by id or address. Raises `BadRequest` (`not_found`)."""
        found = await (users.by_email(self._store, user.lower()) if "@" in user else users.find(self._store, user))
        if found is None:
            raise BadRequest("not_found")
        return found

    async def add(
        self, email: str, kept: str | None, actor: str, *, name: str = "", role: str = "creator", tenant: str = ""
    ) -> User:
        """Add a person whose address needs no proof, to a tenant that is there or to one of their own.

        Raises `Conflict` when there is one of that address, `BadRequest` for a bad address, role or tenant.
        """
        address = _normal(email)
        now, grant = self._now(), None
        async with self._store.transaction() as session:
            await session.lock(f"email:{address}")
            there = await users.by_email(session, address)
            if there and there.verified:
                raise Conflict("users_email")
            user = there.id if there else await users.create(session, address)
            await users.verify(session, user, kept, name, now)
            if tenant:
                await tenants.name_of(session, tenant)
                await tenants.join(session, tenant, user, "owner")
            else:
                tenant, grant = await tenants.found(session, name or address, user, now)
            await note(session, actor, "user.register", tenant=tenant, subject=user)
            if role != "creator":
                await users.set_role(session, user, role, actor)
        if grant:
            await self._granted([grant])
        return await users.get(self._store, user)

    async def set_role(self, user: str, role: str, actor: str) -> None:
        """Make a person an admin, or not. Raises `BadRequest`."""
        async with self._store.transaction() as session:
            await users.set_role(session, user, role, actor)
        await self._news.tell(PEOPLE_TOPIC, user)

    async def set_suspended(self, user: str, suspended: bool, actor: str) -> None:
        """Let a person, and the keys that they made, do nothing any more, or let them back. Raises `BadRequest`."""
        async with self._store.transaction() as session:
            await users.set_suspended(session, user, suspended, actor, self._now())
        await self._news.tell(PEOPLE_TOPIC, user)
        for each in await tenants.memberships(self._store, user):
            await self._news.tell(KEYS_OF_TENANT_TOPIC, each.tenant)

    async def set_password(self, user: str, kept: str, actor: str) -> None:
        """Set the hash of a person's password, and end their logins."""
        now = self._now()
        async with self._store.transaction() as session:
            await users.set_password(session, user, kept)
            await links.void(session, user, "password", now)
            await end_logins(session, user, now)
            await note(session, actor, "user.password", tenant=HOME_TENANT, subject=user)
        await self._news.tell(PEOPLE_TOPIC, user)

    async def link(self, user: str) -> str:
        """Return the token of a link by which the person sets a password."""
        return await links.make(self._store, "password", user, self._now())


def _normal(email: str) -> str:
    try:
        return normal_email(email)
    except ValueError as error:
        raise BadRequest(problem=str(error)) from None
