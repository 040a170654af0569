"""How people come in: they sign up, prove their address, log in, stay logged in, and set new passwords.

What depends on whether an address is known happens behind the answer, with the mail that it ends in: neither what a
stranger is told nor how long it takes says who is here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple

from voicewire.accounts import links, tenants, users
from voicewire.accounts.audit import note
from voicewire.accounts.emails import normal_email
from voicewire.accounts.identities import Granted, Identities, Identity
from voicewire.accounts.letters import Letters
from voicewire.accounts.logins import Login, Logins, end_login, end_logins, move_login
from voicewire.accounts.mail import Letter, Mailer
from voicewire.accounts.news import News
from voicewire.accounts.users import PEOPLE_TOPIC, User, Where
from voicewire.auth.passwords import Passwords, password_problem
from voicewire.auth.principal import Principal
from voicewire.auth.tokens import AccessTokens
from voicewire.errors import BadRequest, Forbidden, Gone, Unauthorized
from voicewire.storage.store import Session, Store


class Entered(NamedTuple):
    """Somebody who came in."""

    user: User
    tenant: str
    access_token: str
    expires_s: int
    refresh_token: str


@dataclass(frozen=True, slots=True)
class Entrance:
    """`granted` tells the ledger of a newcomer's first month. Everything raises `Busy` while PostgreSQL is away."""

    store: Store
    news: News
    passwords: Passwords
    tokens: AccessTokens
    logins: Logins
    identities: Identities
    mailer: Mailer
    letters: Letters
    granted: Granted
    now: Callable[[], datetime]
    may_sign_up: bool

    async def register(self, email: str, password: str, name: str = "") -> None:
        """Have a link mailed that makes an account. Raises `Forbidden`, `BadRequest`, `Busy`."""
        if not self.may_sign_up:
            raise Forbidden(problem="people cannot sign up here")
        address = _normal(email)
        _check(password, address)
        self.mailer.post(partial(self._sign_up, address, password, name))

    async def verify(self, token: str, password: str) -> Entered:
        """Make the account that a link is for, and log its owner in. Raises `Gone`, and `Unauthorized` for another
        password than was chosen with it: whose address it is may not be who signed up.
        """
        now = self.now()
        found = await links.find(self.store, "verify", token, now)
        if found is None:
            raise Gone("link_gone")
        if not (await self.passwords.check(password, found.kept)).right:
            raise Unauthorized
        async with self.store.transaction() as session:
            spent = await links.spend(session, "verify", token, now)
            if spent is None:
                raise Gone("link_gone")
            await users.verify(session, spent.user, spent.kept, spent.name, now)
            user = await users.get(session, spent.user)
            founded = await tenants.found(session, user.name or user.email, user.id, now)
            await note(session, f"user:{user.id}", "user.register", tenant=founded.tenant, subject=user.id)
        if founded.grant:
            await self.granted([founded.grant])
        return await self.enter(user.id)

    async def log_in(self, email: str, password: str, tenant: str = "") -> Entered:
        """Raises `Unauthorized`, after the same work whether the address or the password is not known."""
        try:
            found = await users.credentials(self.store, email=normal_email(email))
        except ValueError:
            found = None
        right, renewed = await self.passwords.check(password, found.kept if found else None)
        if not right or found is None or found.suspended:
            raise Unauthorized
        if renewed:
            await users.set_password(self.store, found.id, renewed, instead_of=found.kept)
        return await self.enter(found.id, tenant)

    async def arrive(self, who: Identity, tenant: str = "") -> Entered:
        """Log in whom an issuer names. Raises `Forbidden` for a stranger where people may not sign up."""
        return await self.enter(await self.identities.settle(who), tenant)

    async def enter(self, user: str, tenant: str = "") -> Entered:
        """Begin a login of a person who has shown who they are. Raises `Unauthorized`, `BadRequest` (`not_found`)."""
        now = self.now()
        async with self.store.transaction() as session:
            person = await self._person(session, user)
            chosen = await _tenant(session, user, tenant)
            login = await self.logins.open(session, user, chosen, now)
            await session.execute("UPDATE users SET last_login = $2 WHERE id = $1", user, now)
        return self._entered(person, login)

    async def refresh(self, token: str, tenant: str = "") -> Entered:
        """Go on with a login, for the same tenant or another. Raises `Unauthorized`, `BadRequest` (`not_found`).

        A token that was used before, longer ago than some seconds, ends the login: somebody else may have it.
        """
        async with self.store.transaction() as session:
            login = await self.logins.refresh(session, token, self.now())
            if login:
                person = await self._person(session, login.user)
                chosen = await _tenant(session, login.user, tenant or login.tenant)
                if chosen != login.tenant:
                    await move_login(session, login.id, chosen)
                return self._entered(person, login._replace(tenant=chosen))
        await self.news.tell(PEOPLE_TOPIC, await self.logins.end_reused(self.store, token, self.now()))
        raise Unauthorized

    async def log_out(self, principal: Principal) -> None:
        """End the login whose token the caller showed; its access tokens end with it."""
        if await end_login(self.store, principal.id, self.now()):
            await self.news.tell(PEOPLE_TOPIC, principal.id)

    async def forgot(self, email: str) -> None:
        """Have a link mailed that sets a new password, if there is somebody of that address."""
        self.mailer.post(partial(self._forgotten, _normal(email)))

    async def reset(self, token: str, password: str) -> None:
        """Set the password of whom a link was mailed to, and end their logins. Raises `Gone`, `BadRequest`."""
        if await links.find(self.store, "password", token, self.now()) is None:
            raise Gone("link_gone")
        _check(password)
        kept = await self.passwords.hash(password)
        async with self.store.transaction() as session:
            spent = await links.spend(session, "password", token, self.now())
            if spent is None:
                raise Gone("link_gone")
            await self._set_password(session, spent.user, kept)
        await self._password_changed(spent.user)

    async def change(self, principal: Principal, old: str, new: str) -> None:
        """Set another password, and end the person's other logins. Raises `Unauthorized` when `old` is wrong."""
        found = await users.credentials(self.store, user=principal.user)
        if not (await self.passwords.check(old, found.kept if found else None)).right or found is None:
            raise Unauthorized
        _check(new, found.email)
        kept = await self.passwords.hash(new)
        async with self.store.transaction() as session:
            await self._set_password(session, found.id, kept, but=principal.id)
        await self._password_changed(found.id)

    async def _sign_up(self, email: str, password: str, name: str) -> Letter:
        kept = await self.passwords.hash(password)
        async with self.store.transaction() as session:
            await session.lock(f"email:{email}")
            there = await users.by_email(session, email)
            if there and there.verified:
                return self.letters.known(email)
            user = there.id if there else await users.create(session, email)
            return self.letters.verify(
                email, await links.make(session, "verify", user, self.now(), kept=kept, name=name)
            )

    async def _forgotten(self, email: str) -> Letter | None:
        found = await users.credentials(self.store, email=email)
        if found is None or found.suspended:
            return None
        return self.letters.password(email, await links.make(self.store, "password", found.id, self.now()))

    async def _person(self, where: Where, user: str) -> User:
        person = await users.find(where, user)
        if person is None or person.suspended:
            raise Unauthorized
        return person

    async def _set_password(self, session: Session, user: str, kept: str, but: str = "") -> None:
        now = self.now()
        await users.set_password(session, user, kept)
        await links.void(session, user, "password", now)
        await end_logins(session, user, now, but=but)
        for each in await tenants.memberships(session, user):
            await note(session, f"user:{user}", "user.password", tenant=each.tenant, subject=user)

    async def _password_changed(self, user: str) -> None:
        await self.news.tell(PEOPLE_TOPIC, user)
        person = await users.get(self.store, user)
        self.mailer.post(self.letters.password_changed(person.email))

    def _entered(self, person: User, login: Login) -> Entered:
        token = self.tokens.issue(person.id, login.tenant, person.role, login.id)
        return Entered(person, login.tenant, token, self.tokens.life_s, login.token)


def _normal(email: str) -> str:
    try:
        return normal_email(email)
    except ValueError as error:
        raise BadRequest(problem=str(error)) from None


def _check(password: str, email: str = "") -> None:
    if problem := password_problem(password, email):
        raise BadRequest(problem=problem)


async def _tenant(where: Where, user: str, wanted: str) -> str:
    """The tenant that a login is for: the one that is wanted, else the person's first."""
    names = [each.tenant for each in await tenants.memberships(where, user)]
    if not names:
        raise Forbidden(problem="it belongs to no tenant")
    if wanted and wanted not in names:
        raise BadRequest("not_found")
    return wanted or names[0]
