"""`/admin`: people, keys, usage and the audit log, over all tenants. All of it needs the scope `admin`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from voicewire.accounts import audit
from voicewire.accounts.audit import Event, actor_of
from voicewire.accounts.directory import Directory
from voicewire.accounts.keys import PAGE_MAX as KEYS_PAGE_MAX
from voicewire.accounts.keys import Keys, Maker
from voicewire.accounts.subscriptions import Subscriptions
from voicewire.accounts.usage import DAYS, ID_MAX, By, Span
from voicewire.accounts.users import PAGE_MAX as USERS_PAGE_MAX
from voicewire.accounts.users import User
from voicewire.auth.keys import utc_now
from voicewire.auth.principal import Principal
from voicewire.errors import BadRequest
from voicewire.server.callers import Callers
from voicewire.server.doors.description import declared
from voicewire.server.doors.keys import KeyInfo
from voicewire.server.doors.keys import Limit as KeysLimit
from voicewire.server.doors.texts import Body, Items
from voicewire.server.doors.usage import CSV_ANSWER, First, Form, Last, Usage, answer
from voicewire.storage.store import Store

OWNED = """
SELECT members.user_id, members.tenant, members.role, subscriptions.plan,
       (SELECT coalesce(sum(audio_ms), 0)::bigint FROM usage_days
        WHERE tenant = members.tenant AND day > $2) AS audio_ms
FROM members LEFT JOIN subscriptions USING (tenant)
WHERE members.user_id = ANY($1::text[])
ORDER BY members.created
"""

PageLimit = Annotated[int, Query(ge=1, le=USERS_PAGE_MAX)]
AuditLimit = Annotated[int, Query(ge=1, le=audit.PAGE_MAX)]
Cursor = Annotated[int | None, Query(ge=0, le=ID_MAX, description="the `next` of the page before")]

PERSON: dict[str, Any] = {
    "id": "u_1b2c3d4e5f607182",
    "email": "ada@example.org",
    "name": "Ada Lovelace",
    "role": "creator",
    "created": "2026-03-01T09:00:00Z",
    "verified": "2026-03-01T09:02:00Z",
    "suspended": None,
    "last_login": "2026-03-02T08:00:00Z",
    "tenants": [{"tenant": "t_5f0c9a3e77b1d246", "role": "owner", "plan": "free", "audio_ms": 63_400}],
}
EVENT: dict[str, Any] = {
    "id": 17,
    "at": "2026-03-01T09:02:00Z",
    "tenant": "t_5f0c9a3e77b1d246",
    "actor": "user:u_1b2c3d4e5f607182",
    "action": "key.create",
    "subject": "k3j5q2wd",
    "details": {"label": "the reading app", "scopes": ["speak"]},
}


class TenantOfPerson(BaseModel):
    """A tenant that a person is a member of. `audio_ms`: what it used within 30 days."""

    tenant: str
    role: str
    plan: str | None
    audio_ms: int


class PersonInfo(BaseModel):
    """A person, and the tenants that they are a member of."""

    model_config = ConfigDict(json_schema_extra={"examples": [PERSON]})

    id: str
    email: str
    name: str
    role: Literal["creator", "admin"]
    created: datetime
    verified: datetime | None
    suspended: datetime | None
    last_login: datetime | None
    tenants: list[TenantOfPerson]


class PersonChange(Body):
    """What is to be different; what is left out stays. `plan` is that of the tenant that the person owns."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "admin"}, {"suspended": True}]})

    role: Literal["creator", "admin"] | None = None
    suspended: StrictBool | None = None
    plan: Annotated[str | None, Field(max_length=64)] = None


class EventInfo(BaseModel):
    """A line of the audit log. `actor` is `user:…`, `key:…`, or `operator` at the command line."""

    model_config = ConfigDict(json_schema_extra={"examples": [EVENT]})

    id: int
    at: datetime
    tenant: str
    actor: str
    action: str
    subject: str
    details: dict[str, Any]

    @classmethod
    def of(cls, event: Event) -> EventInfo:
        return cls.model_validate(event._asdict())


@dataclass(frozen=True, slots=True)
class AdminDoors:
    """The endpoints."""

    store: Store
    callers: Callers
    keys: Keys
    directory: Directory
    subscriptions: Subscriptions
    now: Callable[[], datetime] = utc_now

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/admin", tags=["admin"])
        add = router.add_api_route
        add("/users", self.users, methods=["GET"], response_model=Items[PersonInfo])
        add("/users/{user_id}", self.user, methods=["GET"], response_model=PersonInfo)
        add(
            "/users/{user_id}",
            self.change,
            methods=["PATCH"],
            response_model=PersonInfo,
            responses=declared("conflict"),
        )
        add("/keys", self.all_keys, methods=["GET"], response_model=Items[KeyInfo])
        add("/keys/{key_id}", self.revoke, methods=["DELETE"], status_code=204)
        add("/usage", self.usage, methods=["GET"], response_model=Usage, responses=CSV_ANSWER)
        add("/audit", self.audit, methods=["GET"], response_model=Items[EventInfo])
        return router

    async def users(
        self, request: Request, search: str = "", page: str = "", limit: PageLimit = 50
    ) -> Items[PersonInfo]:
        """List people whose address or name has `search` in it; `page` is the `next` of the page before."""
        await self.callers.require(request, "admin")
        found = await self.directory.page(search, page, limit)
        return Items.of(await self._people(found), limit, found[-1].id if found else "")

    async def user(self, request: Request, user_id: str) -> PersonInfo:
        """Return one person."""
        await self.callers.require(request, "admin")
        return (await self._people([await self.directory.get(user_id)]))[0]

    async def change(self, request: Request, user_id: str, body: PersonChange) -> PersonInfo:
        """Make a person an admin or not, suspend them or let them back, or choose their tenant's plan."""
        principal = await self.callers.require(request, "admin")
        person = await self.directory.get(user_id)
        self._not_oneself(principal, person, body)
        actor = actor_of(principal)
        if body.plan is not None:
            await self.subscriptions.choose(await self._tenant_of(person), body.plan, actor, at_once=True)
        if body.role is not None:
            await self.directory.set_role(person.id, body.role, actor)
        if body.suspended is not None:
            await self.directory.set_suspended(person.id, body.suspended, actor)
        return (await self._people([await self.directory.get(person.id)]))[0]

    async def all_keys(
        self, request: Request, tenant: str = "", before: str = "", limit: KeysLimit = KEYS_PAGE_MAX
    ) -> Items[KeyInfo]:
        """List the keys of all tenants, or of one, the latest first."""
        await self.callers.require(request, "admin")
        records = await self.keys.page(tenant, before, limit)
        return Items.of([KeyInfo.of(record) for record in records], limit, records[-1].id if records else "")

    async def revoke(self, request: Request, key_id: str) -> None:
        """Make any tenant's key worthless, for good, everywhere within 5 s."""
        principal = await self.callers.require(request, "admin")
        await self.keys.revoke(Maker.of(principal), key_id, anywhere=True)

    async def usage(
        self,
        request: Request,
        by: By = "tenant",
        tenant: str = "",
        first: First = None,
        last: Last = None,
        form: Form = "json",
    ) -> Response | Usage:
        """Sum up what all tenants used, or one, by tenant, day, model, voice or key, over at most 400 days."""
        await self.callers.require(request, "admin")
        return await answer(self.store, by, Span.of(first, last, self.now().date()), form, tenant)

    async def audit(
        self, request: Request, tenant: str = "", action: str = "", before: Cursor = None, limit: AuditLimit = 50
    ) -> Items[EventInfo]:
        """List who changed what, the latest first; of all tenants or one, all actions or one."""
        await self.callers.require(request, "admin")
        found = await audit.events(self.store, tenant=tenant, action=action, before=before, limit=limit)
        return Items.of([EventInfo.of(event) for event in found], limit, str(found[-1].id) if found else "")

    async def _people(self, people: Sequence[User]) -> list[PersonInfo]:
        since: date = self.now().date() - timedelta(days=DAYS)
        rows = await self.store.fetch(OWNED, [person.id for person in people], since)
        return [_person(person, [row for row in rows if row["user_id"] == person.id]) for person in people]

    async def _tenant_of(self, person: User) -> str:
        rows = await self.store.fetch(OWNED, [person.id], self.now().date())
        owned = [str(row["tenant"]) for row in rows if row["role"] == "owner"]
        if len(owned) != 1:
            raise BadRequest(problem=f"the person owns {len(owned)} tenants; name the tenant instead")
        return owned[0]

    @staticmethod
    def _not_oneself(principal: Principal, person: User, body: PersonChange) -> None:
        if principal.user == person.id and (body.suspended or body.role == "creator"):
            raise BadRequest(problem="nobody can lock themselves out")


def _person(person: User, tenants: Sequence[Mapping[str, Any]]) -> PersonInfo:
    known = {name: getattr(person, name) for name in PersonInfo.model_fields if name != "tenants"}
    return PersonInfo.model_validate(known | {"tenants": [dict(row) for row in tenants]})
