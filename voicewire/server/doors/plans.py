"""What may be had, what a tenant has of it, and what is left: plans, the subscription and the balance."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import MAXYEAR, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from voicewire.accounts.audit import actor_of
from voicewire.accounts.grants import Grant, Grants, Package
from voicewire.accounts.plans import Plan, Plans
from voicewire.accounts.subscriptions import Subscription, Subscriptions
from voicewire.errors import BadRequest, Busy, OverQuota
from voicewire.server.callers import Callers
from voicewire.server.doors.description import OPEN, declared
from voicewire.server.doors.texts import Body
from voicewire.server.limits import Limiter

PLANS_MINUTE = 60  # from one address
ID_CHARS_MAX = 64

BASIC: dict[str, Any] = {
    "id": "basic",
    "name": "Basic",
    "price_cents": 1900,
    "currency": "USD",
    "seconds": 3600,
    "requests_minute": 30,
    "streams": 2,
    "request_chars": 10000,
    "models": None,
    "rollover_months": 0,
    "cached_percent": 100,
}
HOUR: dict[str, Any] = {
    "id": "hour",
    "name": "An hour",
    "price_cents": 900,
    "currency": "USD",
    "seconds": 3600,
    "good_days": 365,
}
GRANT: dict[str, Any] = {
    "id": "plan:t_5f0c9a3e77b1d246:2026-03-31:basic",
    "kind": "plan",
    "ms": 3600000,
    "left_ms": 3581400,
    "expires": "2026-04-30T09:32:00Z",
    "created": "2026-03-31T09:30:00Z",
    "note": "Basic",
}


class PlanInfo(BaseModel):
    """A plan. `seconds` and `price_cents` are a month's; null: not limited, and by agreement. `models` null: all."""

    model_config = ConfigDict(json_schema_extra={"examples": [BASIC]})

    id: str
    name: str
    price_cents: int | None
    currency: str
    seconds: int | None
    requests_minute: int
    streams: int
    request_chars: int
    models: list[str] | None
    rollover_months: int
    cached_percent: int

    @classmethod
    def of(cls, plan: Plan) -> PlanInfo:
        return cls(**{name: getattr(plan, name) for name in cls.model_fields} | {"models": names(plan.models)})


class PackageInfo(BaseModel):
    """Seconds that are bought at once. `good_days` null: for ever."""

    model_config = ConfigDict(json_schema_extra={"examples": [HOUR]})

    id: str
    name: str
    price_cents: int
    currency: str
    seconds: int
    good_days: int | None

    @classmethod
    def of(cls, package: Package) -> PackageInfo:
        return cls(**{name: getattr(package, name) for name in cls.model_fields})


class Offer(BaseModel):
    """All that may be had."""

    items: list[PlanInfo]
    packages: list[PackageInfo]
    next: Literal[None] = None


class PlanChoice(Body):
    """Which plan to take."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"plan": "free"}]})

    plan: Annotated[str, Field(min_length=1, max_length=ID_CHARS_MAX)]


class SubscriptionInfo(BaseModel):
    """The plan of a tenant and its month. `next_plan` is taken when the month ends; `period_end` null: never."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "plan": "pro",
                    "name": "Pro",
                    "period_start": "2026-03-31T09:30:00Z",
                    "period_end": "2026-04-30T09:30:00Z",
                    "next_plan": "free",
                }
            ]
        }
    )

    plan: str
    name: str
    period_start: datetime
    period_end: datetime | None
    next_plan: str | None

    @classmethod
    def of(cls, has: Subscription) -> SubscriptionInfo:
        return cls(
            plan=has.plan.id,
            name=has.plan.name,
            period_start=has.period.start,
            period_end=ending(has),
            next_plan=has.next_plan,
        )


class GrantInfo(BaseModel):
    """Seconds that were given, and what is left of them. `expires` null: never."""

    model_config = ConfigDict(json_schema_extra={"examples": [GRANT]})

    id: str
    kind: Literal["plan", "package", "admin", "refund"]
    ms: int
    left_ms: int
    expires: datetime | None
    created: datetime
    note: str

    @classmethod
    def of(cls, grant: Grant) -> GrantInfo:
        return cls(**{name: getattr(grant, name) for name in cls.model_fields})


class Credits(BaseModel):
    """What is left. `balance_ms` null: not limited. `held_ms` of it are held by what is being spoken now.

    `grants` are in the order in which they are spent, as of some seconds ago.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "balance_ms": 3581400,
                    "held_ms": 0,
                    "plan": "basic",
                    "period_end": "2026-04-30T09:30:00Z",
                    "grants": [GRANT],
                }
            ]
        }
    )

    balance_ms: int | None
    held_ms: int
    plan: str
    period_end: datetime | None
    grants: list[GrantInfo]


def names(models: tuple[str, ...] | None) -> list[str] | None:
    return None if models is None else sorted(models)


def ending(has: Subscription) -> datetime | None:
    """When the month ends; None for one that does not."""
    return None if has.period.end.year == MAXYEAR else has.period.end


Balance = Callable[[str], Awaitable[tuple[int | None, int]]]
"""Tells what is left to a tenant and how much of it is held. Raises `Busy`."""


@dataclass(frozen=True, slots=True)
class PlanDoors:
    """The endpoints."""

    plans: Plans
    subscriptions: Subscriptions
    grants: Grants
    balance: Balance
    callers: Callers
    limiter: Limiter

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["plans"])
        add = router.add_api_route
        add("/plans", self.offer, methods=["GET"], response_model=Offer, openapi_extra=dict(OPEN))
        add("/me/plan", self.subscription, methods=["GET"], response_model=SubscriptionInfo)
        add(
            "/me/plan",
            self.choose,
            methods=["PUT"],
            response_model=SubscriptionInfo,
            responses=declared("payment_required", "not_found"),
        )
        add("/users/me/credits", self.credits, methods=["GET"], response_model=Credits)
        return router

    async def offer(self, request: Request) -> Offer:
        """List the plans and packages that anybody can have."""
        self.callers.check(request)
        await self.limiter.stranger(request, "plans", PLANS_MINUTE)
        plans, packages = await self.plans.all(public=True), await self.grants.packages()
        return Offer(items=list(map(PlanInfo.of, plans)), packages=list(map(PackageInfo.of, packages)))

    async def subscription(self, request: Request) -> SubscriptionInfo:
        """Say which plan the tenant has, and until when."""
        principal = await self.callers.require(request, "account:read")
        return SubscriptionInfo.of(await self.subscriptions.get(principal.tenant))

    async def choose(self, request: Request, body: PlanChoice) -> SubscriptionInfo:
        """Take a plan that costs nothing: when the month ends, if the present one costs more."""
        principal = await self.callers.require(request, "account:write")
        plan = await self.plans.get(body.plan)
        if not plan.public:
            raise BadRequest("not_found")
        has = await self.subscriptions.get(principal.tenant)
        if plan.price_cents != 0 and plan.id != has.plan.id:
            raise OverQuota("payment_required", plan=plan.id)
        return SubscriptionInfo.of(await self.subscriptions.choose(principal.tenant, plan.id, actor_of(principal)))

    async def credits(self, request: Request) -> Credits:
        """Say what is left, and of what."""
        principal = await self.callers.require(request, "account:read")
        has = await self.subscriptions.get(principal.tenant)
        grants = await self.grants.in_force(principal.tenant)
        balance_ms, held_ms = None, 0
        if principal.limits.metered:
            balance_ms, held_ms = await self._balance(principal.tenant, grants)
        return Credits(
            balance_ms=balance_ms,
            held_ms=held_ms,
            plan=has.plan.id,
            period_end=ending(has),
            grants=list(map(GrantInfo.of, grants)),
        )

    async def _balance(self, tenant: str, grants: list[Grant]) -> tuple[int | None, int]:
        try:
            return await self.balance(tenant)
        except Busy:  # Redis is away: what PostgreSQL knows
            return sum(each.left_ms for each in grants), 0
