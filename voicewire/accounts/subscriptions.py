"""Which plan a tenant has, and its months: each grants the seconds of the plan once.

A dearer plan is had at once, and a month of it begins then; what is left of the month before stays good until it
would have ended. Any other change waits for the end of the month.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import MAXYEAR, datetime, timedelta
from typing import Any, NamedTuple

from voicewire.accounts.audit import note
from voicewire.accounts.grants import SECOND_MS, Grant, Grants, give, utc_now
from voicewire.accounts.news import News
from voicewire.accounts.periods import Period, months_after, period_at
from voicewire.accounts.plans import FIRST_PLAN, TENANTS_TOPIC, Plan
from voicewire.errors import BadRequest, Busy
from voicewire.storage.store import Row, Session, Store

LOGGER = logging.getLogger(__name__)

LOOK_S = 60.0
LOOK_LEAST_S = 1.0  # where another gateway is at it
AT_ONCE = 100  # tenants in one transaction
GRACE = timedelta(minutes=2)
"""How much longer than its month a grant is good: until the next one is surely there, so that nobody is cut off."""

READ = """
SELECT plans.*, s.tenant, s.plan, s.period_start, s.period_end, s.anchor, s.next_plan, s.granted, s.quotas
FROM subscriptions s JOIN plans ON plans.id = s.plan
"""
READ_ONE = READ + "WHERE s.tenant = $1"
LOCK_ONE = READ_ONE + " FOR UPDATE OF s"
READ_DUE = READ + "WHERE s.period_end <= $1 OR NOT s.granted ORDER BY s.period_end LIMIT $2 FOR UPDATE OF s SKIP LOCKED"
BEGIN = """
INSERT INTO subscriptions (tenant, plan, period_start, period_end, anchor) VALUES ($1, $2, $3, $4, $3)
"""
MOVE = """
UPDATE subscriptions
SET plan = $2, period_start = $3, period_end = $4, anchor = $5, next_plan = NULL, granted = true
WHERE tenant = $1
"""
ALONE = "SELECT pg_try_advisory_xact_lock(hashtextextended('months', 0))"


class Subscription(NamedTuple):
    """What a tenant has: its plan, with the quotas that an admin set in it, and the month it is in."""

    tenant: str
    plan: Plan
    period: Period
    anchor: datetime
    next_plan: str | None
    quotas: Mapping[str, Any]

    @classmethod
    def of(cls, row: Row) -> Subscription:
        period = Period(row["period_start"], row["period_end"])
        plan = Plan.of(row).with_quotas(row["quotas"])
        return cls(row["tenant"], plan, period, row["anchor"] or period.start, row["next_plan"], row["quotas"])


async def begin(session: Session, tenant: str, now: datetime, plan: str = FIRST_PLAN) -> str | None:
    """Give a new tenant its plan and first month, in the transaction that makes it.

    Returns the grant of which the ledger is to be told afterwards, if the plan has one.
    """
    period = period_at(now, now)
    await session.execute(BEGIN, tenant, plan, period.start, period.end)
    row = await session.fetchrow(READ_ONE, tenant)
    assert row is not None
    return await _grant_month(session, Subscription.of(row), now)


async def _grant_month(session: Session, has: Subscription, now: datetime) -> str | None:
    """Move a subscription into the month as it is in `has`, and give its seconds; None where there are none to give."""
    await session.execute(MOVE, has.tenant, has.plan.id, has.period.start, has.period.end, has.anchor)
    if has.plan.seconds is None:
        return None
    grant_id = f"plan:{has.tenant}:{has.period.start:%Y-%m-%d}:{has.plan.id}"
    endless = has.period.end.year == MAXYEAR
    expires = None if endless else months_after(has.period.end, has.plan.rollover_months) + GRACE
    grant = Grant.new(grant_id, has.tenant, "plan", has.plan.seconds * SECOND_MS, expires, now, has.plan.name)
    return grant_id if await give(session, grant) else None


class Subscriptions:
    """Changes plans and quotas, and grants every month when it begins."""

    def __init__(self, store: Store, grants: Grants, news: News, now: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._grants = grants
        self._news = news
        self._now = now

    async def get(self, tenant: str) -> Subscription:
        """Return what `tenant` has. Raises `BadRequest` (`not_found`)."""
        row = await self._store.fetchrow(READ_ONE, tenant)
        if row is None:
            raise BadRequest("not_found")
        return Subscription.of(row)

    async def plan_of(self, tenant: str) -> str:
        """Return the id of the tenant's plan. Raises as `get`."""
        return (await self.get(tenant)).plan.id

    async def choose(self, tenant: str, plan_id: str, actor: str, *, at_once: bool = False) -> Subscription:
        """Have `tenant` take a plan: a dearer one now, else when its month ends; `at_once` now in any case.

        Raises `BadRequest` (`not_found`) where there is no such plan or tenant.
        """
        granted: list[str | None] = []
        async with self._store.transaction() as session:
            has, plan = await self._lock(session, tenant), await _plan(session, plan_id)
            if plan.id == has.plan.id:
                await session.execute("UPDATE subscriptions SET next_plan = NULL WHERE tenant = $1", tenant)
            elif at_once or plan.dearer_than(has.plan):
                granted.append(await self._change(session, has, plan))
            else:
                await session.execute("UPDATE subscriptions SET next_plan = $2 WHERE tenant = $1", tenant, plan.id)
            await note(session, actor, "tenant.plan", tenant=tenant, subject=plan.id, details={"from": has.plan.id})
        await self._tell(tenant, granted)
        return await self.get(tenant)

    async def set_quotas(self, tenant: str, quotas: Mapping[str, Any], actor: str) -> Subscription:
        """Set all that `tenant` has beside its plan; seconds from its next month on, from this if it had none."""
        async with self._store.transaction() as session:
            before = await self._lock(session, tenant)
            unlimited = before.plan.seconds is None
            await session.execute(
                "UPDATE subscriptions SET quotas = $2, granted = granted AND NOT $3 WHERE tenant = $1",
                tenant,
                dict(quotas),
                unlimited,
            )
            await note(session, actor, "tenant.quotas", tenant=tenant, details=dict(quotas))
        await self._tell(tenant, [])
        await self.grant_due()
        return await self.get(tenant)

    async def grant_due(self) -> int:
        """Grant every month that has begun and was not granted yet; return how many subscriptions were looked at.

        After a pause only the month that it is now is granted. Only one gateway does it at a time.
        """
        done = 0
        while True:
            now, granted = self._now(), list[str | None]()
            async with self._store.transaction() as session:
                if not await session.fetchval(ALONE):
                    return done
                rows = await session.fetch(READ_DUE, now, AT_ONCE)
                for row in rows:
                    granted.append(await self._renew(session, row, now))
            done += len(rows)
            for row in rows:
                await self._news.tell(TENANTS_TOPIC, row["tenant"])
            await self._grants.apply(list(filter(None, granted)))
            if len(rows) < AT_ONCE:
                return done

    async def run(self) -> None:
        """Grant months as they begin, until cancelled."""
        while True:
            try:
                await self.grant_due()
                await asyncio.sleep(await self._next_s())
            except Busy as error:
                LOGGER.warning("months are not granted now: %s", error)
                await asyncio.sleep(LOOK_S)

    async def _next_s(self) -> float:
        """Seconds until the next month begins somewhere, `LOOK_S` at most."""
        due = await self._store.fetchval("SELECT min(period_end) FROM subscriptions")
        return LOOK_S if due is None else min(LOOK_S, max(LOOK_LEAST_S, (due - self._now()).total_seconds()))

    async def _renew(self, session: Session, row: Row, now: datetime) -> str | None:
        has = Subscription.of(row)
        if has.period.end > now:  # in its month, which was not granted
            return await _grant_month(session, has, now)
        plan = has.plan if has.next_plan is None else (await _plan(session, has.next_plan)).with_quotas(has.quotas)
        return await _grant_month(session, has._replace(plan=plan, period=period_at(has.anchor, now)), now)

    async def _change(self, session: Session, has: Subscription, plan: Plan) -> str | None:
        now = self._now()
        changed = has._replace(plan=plan.with_quotas(has.quotas), period=period_at(now, now), anchor=now)
        return await _grant_month(session, changed, now)

    @staticmethod
    async def _lock(session: Session, tenant: str) -> Subscription:
        row = await session.fetchrow(LOCK_ONE, tenant)
        if row is None:
            raise BadRequest("not_found")
        return Subscription.of(row)

    async def _tell(self, tenant: str, granted: list[str | None]) -> None:
        await self._news.tell(TENANTS_TOPIC, tenant)
        await self._grants.apply(list(filter(None, granted)))


async def _plan(session: Session, plan_id: str) -> Plan:
    row = await session.fetchrow("SELECT * FROM plans WHERE id = $1", plan_id)
    if row is None:
        raise BadRequest("not_found")
    return Plan.of(row)
