"""Plans, who has which, and what follows from it: the limits of a caller and the price of a model."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from voicewire.accounts.audit import note
from voicewire.accounts.news import News
from voicewire.auth.principal import HOME_TENANT, Limits
from voicewire.errors import BadRequest, Busy
from voicewire.storage.store import Row, Store

HOME_PLAN = "home"
FIRST_PLAN = "free"
PLANS_TOPIC = "plan"  # news of one plan, or of the price of models
TENANTS_TOPIC = "tenant.plan"  # news of what one tenant has
KEPT_S = 30.0
KEPT_UNTOLD_S = 4.0  # while no news are heard
STALE_S = 3_600.0  # what was known last is good for so long while PostgreSQL is away
TENANTS_KEPT = 10_000
PERMILLE = 1_000  # of a model that has no price of its own
QUOTAS = ("seconds", "requests_minute", "streams", "request_chars", "models", "cached_percent", "weight")
"""What an admin can set for one tenant beside its plan, by the names of the plan's columns."""


TENANTS_PLAN = """
SELECT plans.*, coalesce((SELECT quotas FROM subscriptions WHERE tenant = $1), '{}') AS quotas
FROM plans
WHERE id = CASE WHEN $3 THEN coalesce((SELECT plan FROM subscriptions WHERE tenant = $1), $2) ELSE $2 END
"""
PUT_PLAN = """
INSERT INTO plans (id, name, price_cents, currency, seconds, requests_minute, streams, request_chars, models,
                   rollover_months, cached_percent, public, position, weight)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (id) DO UPDATE SET
    name = $2, price_cents = $3, currency = $4, seconds = $5, requests_minute = $6, streams = $7, request_chars = $8,
    models = $9, rollover_months = $10, cached_percent = $11, public = $12, position = $13, weight = $14
"""
PUT_PRICE = """
INSERT INTO multipliers (model, permille) VALUES ($1, $2) ON CONFLICT (model) DO UPDATE SET permille = $2
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """A row of `plans`. `seconds` a month, None: not limited. `price_cents` a month, None: by agreement."""

    id: str
    name: str
    price_cents: int | None
    currency: str
    seconds: int | None
    requests_minute: int
    streams: int
    request_chars: int
    models: tuple[str, ...] | None
    rollover_months: int
    cached_percent: int
    public: bool
    position: int
    weight: int = 1  # its share, beside others', of engines that cannot do all that is asked for

    @classmethod
    def of(cls, row: Row) -> Plan:
        values = {name: row[name] for name in COLUMNS}
        return cls(**values | {"models": _names(values["models"])})

    def with_quotas(self, quotas: Mapping[str, Any]) -> Plan:
        """The plan as one tenant has it."""
        changed = {name: quotas[name] for name in QUOTAS if name in quotas}
        if "models" in changed:
            changed["models"] = _names(changed["models"])
        return replace(self, **changed)

    def dearer_than(self, other: Plan) -> bool:
        """Whether it costs more a month; one by agreement costs more than any that has a price."""
        if self.price_cents is None or other.price_cents is None:
            return self.price_cents is None and other.price_cents is not None
        return self.price_cents > other.price_cents


COLUMNS = tuple(Plan.__dataclass_fields__)


@dataclass(slots=True)
class _Known:
    limits: Limits
    at: float
    fresh: bool = True


@dataclass(slots=True)
class _Prices:
    permille: Mapping[str, int]
    at: float
    fresh: bool = True


class Plans:
    """Reads plans, and remembers each tenant's limits for a while; `news` makes it forget what was changed.

    `billing` off turns the limits of plans off for everybody: then the server's own plan counts, and quotas.
    """

    def __init__(
        self, store: Store, news: News, *, billing: bool, contexts: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._news = news
        self.billing = billing
        self._contexts = contexts
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._changes = 0
        self._prices = _Prices({}, -math.inf)
        news.on(TENANTS_TOPIC, self._forget)
        news.on(PLANS_TOPIC, self._forget_all)

    async def limits(self, tenant: str) -> Limits:
        """Return what `tenant` may hold and ask for.

        While PostgreSQL is away, what was known last; raises `Busy` where nothing is known, or too long ago.
        """
        known, now = self._known.get(tenant), self._clock()
        if known is not None and known.fresh and now - known.at < self._kept_s:
            return known.limits
        changes = self._changes
        try:
            limits = self._limits(await self._of(tenant))
        except Busy:
            if known is None or now - known.at >= STALE_S:
                raise
            return known.limits
        if changes == self._changes:  # nothing was heard while PostgreSQL was asked
            self._keep(tenant, _Known(limits, now))
        return limits

    async def permille(self, model: str) -> int:
        """Return what a second of `model` costs, in thousandths of one. As `limits` while PostgreSQL is away."""
        known, now = self._prices, self._clock()
        if not known.fresh or now - known.at >= self._kept_s:
            changes = self._changes
            try:
                known = _Prices(await self.prices(), now)
            except Busy:
                if now - known.at >= STALE_S:
                    raise
            else:
                self._prices = replace(known, fresh=changes == self._changes)
        return known.permille.get(model, PERMILLE)

    async def all(self, *, public: bool = False) -> list[Plan]:
        """Return all plans in their order, or those that people may see."""
        rows = await self._store.fetch("SELECT * FROM plans WHERE public OR NOT $1 ORDER BY position, id", public)
        return [Plan.of(row) for row in rows]

    async def get(self, plan_id: str) -> Plan:
        """Return one plan. Raises `BadRequest` (`not_found`)."""
        row = await self._store.fetchrow("SELECT * FROM plans WHERE id = $1", plan_id)
        if row is None:
            raise BadRequest("not_found")
        return Plan.of(row)

    async def put(self, plan: Plan, actor: str) -> None:
        """Make or change a plan. Limits change now; seconds from each tenant's next month, or now where it had none."""
        async with self._store.transaction() as session:
            before = await session.fetchrow("SELECT seconds FROM plans WHERE id = $1 FOR UPDATE", plan.id)
            await session.execute(PUT_PLAN, *(getattr(plan, name) for name in COLUMNS))
            if before is not None and before["seconds"] is None and plan.seconds is not None:
                await session.execute("UPDATE subscriptions SET granted = false WHERE plan = $1", plan.id)
            await note(session, actor, "plan.put", tenant=HOME_TENANT, subject=plan.id, details=asdict(plan))
        await self._news.tell(PLANS_TOPIC, plan.id)

    async def prices(self) -> dict[str, int]:
        """Return the price of each model that has one of its own, in thousandths."""
        rows = await self._store.fetch("SELECT model, permille FROM multipliers")
        return {row["model"]: row["permille"] for row in rows}

    async def put_price(self, model: str, permille: int, actor: str) -> None:
        """Set what a second of `model` costs, for blocks that are reserved from now on."""
        async with self._store.transaction() as session:
            await session.execute(PUT_PRICE, model, permille)
            details = {"permille": permille}
            await note(session, actor, "price.put", tenant=HOME_TENANT, subject=model, details=details)
        await self._news.tell(PLANS_TOPIC, "")

    @property
    def _kept_s(self) -> float:
        return KEPT_S if self._news.live else KEPT_UNTOLD_S

    async def _of(self, tenant: str) -> Plan:
        row = await self._store.fetchrow(TENANTS_PLAN, tenant, FIRST_PLAN if self.billing else HOME_PLAN, self.billing)
        assert row is not None, "the plans that the schema made were removed"
        return Plan.of(row).with_quotas(row["quotas"])

    def _limits(self, plan: Plan) -> Limits:
        return Limits(
            streams=plan.streams,
            contexts=self._contexts,
            text_chars=plan.request_chars,
            requests_minute=plan.requests_minute,
            models=None if plan.models is None else frozenset(plan.models),
            metered=self.billing and plan.seconds is not None,
            cached_percent=plan.cached_percent,
            weight=plan.weight,
        )

    def _keep(self, tenant: str, known: _Known) -> None:
        self._known[tenant] = known
        self._known.move_to_end(tenant)
        if len(self._known) > TENANTS_KEPT:
            self._known.popitem(last=False)

    def _forget(self, tenant: str) -> None:
        """Look again when asked. What was known stays, for the case that PostgreSQL is away."""
        self._changes += 1
        known = self._known.values() if not tenant else filter(None, [self._known.get(tenant)])
        for each in known:
            each.fresh = False

    def _forget_all(self, _: str) -> None:
        self._prices.fresh = False
        self._forget("")


def _names(value: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)
