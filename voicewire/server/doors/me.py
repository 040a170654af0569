"""What a caller can see and change of itself: the person, the terms, and who else is in the tenant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from voicewire.accounts import invitations, tenants, users
from voicewire.accounts.audit import actor_of, note
from voicewire.accounts.letters import Letters
from voicewire.accounts.mail import Letter, Mailer
from voicewire.accounts.news import News
from voicewire.accounts.terms import Terms
from voicewire.accounts.users import PEOPLE_TOPIC
from voicewire.auth.principal import Limits, Principal
from voicewire.errors import Forbidden, OverQuota
from voicewire.server.callers import Callers
from voicewire.server.doors.auth import Accepted, Email, Name, Person, Token
from voicewire.server.doors.description import declared
from voicewire.server.doors.texts import Body, Items, whole_text
from voicewire.server.guards import operators_here
from voicewire.storage.rates import Rates
from voicewire.storage.store import Store

INVITES_MINUTE = 10
UserId = Annotated[str, Path(max_length=64), AfterValidator(whole_text)]


class LimitsInfo(BaseModel):
    """What a caller may hold at once and ask for. `models` null: all; `metered`: whether the balance limits speech."""

    streams: int
    contexts: int
    text_chars: int
    requests_minute: int
    models: list[str] | None
    metered: bool

    @classmethod
    def of(cls, limits: Limits) -> LimitsInfo:
        return cls(
            streams=limits.streams,
            contexts=limits.contexts,
            text_chars=limits.text_chars,
            requests_minute=limits.requests_minute,
            models=None if limits.models is None else sorted(limits.models),
            metered=limits.metered,
        )


class TermsInfo(BaseModel):
    """Which version of the terms is required, if any, and whether the caller has accepted it."""

    required: str | None
    accepted: bool


class TenantInfo(BaseModel):
    """A tenant that the person is a member of, as owner or member."""

    id: str
    name: str
    role: str


class Me(BaseModel):
    """The caller. `role` is the person's in the tenant; keys and this machine have none.

    `admin`: whether `/admin` answers the caller here; it may have a port of its own.
    """

    user: Person | None
    tenant: str
    tenant_name: str
    tenants: list[TenantInfo]
    role: str | None
    admin: bool
    plan: str
    limits: LimitsInfo
    terms: TermsInfo


class MeChange(Body):
    """What is to be different."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Ada Lovelace"}]})
    name: Name


class TermsAccepted(Body):
    """Which version is accepted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": "2026-01"}]})
    version: Annotated[str, Field(max_length=64), AfterValidator(whole_text)]


class MemberInfo(BaseModel):
    """A person who is a member of the tenant."""

    user: str
    email: str
    name: str
    role: str
    since: datetime


class Invite(Body):
    """Who is asked to be a member; they must have an account."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "grace@example.org", "role": "member"}]})
    email: Email
    role: Literal["owner", "member"] = "member"


class Join(Body):
    """What stood in the link that was mailed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "x" * 43}]})
    token: Token


class Joined(BaseModel):
    """The tenant that the person is a member of now; a login or a refresh may name it."""

    tenant: str


@dataclass(frozen=True, slots=True)
class MeDoor:
    """The routes under `/v1/me`. `plan_of` tells which plan a tenant has."""

    store: Store
    news: News
    callers: Callers
    terms: Terms
    rates: Rates
    mailer: Mailer
    letters: Letters
    plan_of: Callable[[str], Awaitable[str]]
    now: Callable[[], datetime]
    admin_port: int

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1/me", tags=["people"])
        add = router.add_api_route
        add("", self.me, methods=["GET"], response_model=Me)
        add("", self.change, methods=["PATCH"], response_model=Me)
        add("/terms", self.accept, methods=["POST"], response_model=TermsInfo)
        add("/members", self.members, methods=["GET"], response_model=Items[MemberInfo])
        add("/members", self.invite, methods=["POST"], status_code=202, response_model=Accepted)
        add("/members/accept", self.join, methods=["POST"], response_model=Joined, responses=declared("link_gone"))
        add("/members/{user}", self.remove, methods=["DELETE"], status_code=204)
        return router

    async def me(self, request: Request) -> Me:
        """Say who the caller is, and what it may do."""
        return await self._me(request, await self.callers.require(request, "account:read"))

    async def change(self, request: Request, body: MeChange) -> Me:
        """Change what the person is called."""
        principal = await self.callers.require(request, "account:write")
        if not principal.user:
            raise Forbidden(problem="it is no person's")
        async with self.store.transaction() as session:
            await users.rename(session, principal.user, body.name)
            await note(session, actor_of(principal), "user.change", tenant=principal.tenant, subject=principal.user)
        await self.news.tell(PEOPLE_TOPIC, principal.user)
        return await self._me(request, principal)

    async def accept(self, request: Request, body: TermsAccepted) -> TermsInfo:
        """Accept the terms, as this person or key."""
        self.callers.check(request)
        principal = await self.callers.identify(request)
        await self.terms.accept(principal, body.version, self.now())
        return await self._terms(principal)

    async def members(self, request: Request) -> Items[MemberInfo]:
        """List who is a member of the tenant."""
        principal = await self.callers.require(request, "account:read")
        rows = await tenants.members(self.store, principal.tenant)
        return Items(items=[MemberInfo(**row._asdict()) for row in rows])

    async def invite(self, request: Request, body: Invite) -> Accepted:
        """Ask somebody who has an account to be a member. Whether there is one is not said; the mail asks for a yes."""
        principal = await self._owner(request)
        taken = await self.rates.take(f"invite:{principal.tenant}", INVITES_MINUTE)
        if not taken.allowed:
            raise OverQuota(retry_after_ms=taken.retry_after_ms)
        self.mailer.post(lambda: self._invited(principal, body))
        return Accepted()

    async def join(self, request: Request, body: Join) -> Joined:
        """Accept an invitation, as the person whom it was mailed to."""
        principal = await self.callers.require(request, "account:write")
        if not principal.user:
            raise Forbidden(problem="it is no person's")
        async with self.store.transaction() as session:
            tenant = await invitations.accept(session, body.token, principal.user, self.now())
        await self.news.tell(PEOPLE_TOPIC, principal.user)
        return Joined(tenant=tenant)

    async def remove(self, request: Request, user: UserId) -> None:
        """Remove a member; the last owner stays. Members may remove themselves."""
        principal = await self.callers.require(request, "account:write")
        if principal.user != user:
            await self._must_own(principal)
        async with self.store.transaction() as session:
            await tenants.leave(session, principal.tenant, user, actor_of(principal))
        await self.news.tell(PEOPLE_TOPIC, user)

    async def _invited(self, principal: Principal, body: Invite) -> Letter | None:
        there = await users.by_email(self.store, body.email)
        if there is None or there.verified is None:
            return None
        tenant, actor = principal.tenant, actor_of(principal)
        async with self.store.transaction() as session:
            token = await invitations.invite(session, tenant, there.id, body.role, actor, self.now())
            name = await tenants.name_of(session, tenant)
        return self.letters.join(there.email, token, name, principal.label or "Somebody") if token else None

    async def _owner(self, request: Request) -> Principal:
        principal = await self.callers.require(request, "account:write")
        await self._must_own(principal)
        return principal

    async def _must_own(self, principal: Principal) -> None:
        # a key may what its scopes say: an owner gave them to it
        if principal.key:
            return
        if await tenants.role_in(self.store, principal.tenant, principal.user) != "owner":
            raise Forbidden(problem="only owners of the tenant change its members")

    async def _me(self, request: Request, principal: Principal) -> Me:
        user = await users.find(self.store, principal.user) if principal.user else None
        memberships = await tenants.memberships(self.store, user.id) if user else []
        tenant = principal.tenant
        return Me(
            user=Person.of(user, tenant) if user else None,
            tenant=tenant,
            tenant_name=await tenants.name_of(self.store, tenant),
            tenants=[TenantInfo(id=each.tenant, name=each.name, role=each.role) for each in memberships],
            role=next((each.role for each in memberships if each.tenant == tenant), None),
            admin="admin" in principal.scopes and operators_here(request.scope, self.admin_port),
            plan=await self.plan_of(tenant),
            limits=LimitsInfo.of(principal.limits),
            terms=await self._terms(principal),
        )

    async def _terms(self, principal: Principal) -> TermsInfo:
        return TermsInfo(required=self.terms.version or None, accepted=await self.terms.accepted(principal))
