"""Months, packages, refunds and what admins give, on a real PostgreSQL, with the time as an argument."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from voicewire.accounts.audit import events
from voicewire.accounts.grants import Grants
from voicewire.accounts.news import News
from voicewire.accounts.plans import Plans
from voicewire.accounts.subscriptions import GRACE, Subscriptions, begin
from voicewire.errors import BadRequest, Busy
from voicewire.storage.store import Conflict, Store


class Told:
    """Stands for the ledger: writes down what it is told of, or is away."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.reversed: list[str] = []
        self.away = False

    async def grant(self, grant_id: str, /) -> None:
        if self.away:
            raise Busy
        self.ids.append(grant_id)

    async def reverse(self, grant_id: str, /) -> int:
        if self.away:
            raise Busy
        self.reversed.append(grant_id)
        return 7


class Accounts:
    """One gateway's, at a time of day that the test sets."""

    def __init__(self, store: Store, redis: Redis, now: datetime) -> None:
        self.store, self.now, self.ledger = store, now, Told()
        self.news = News(redis)
        self.grants = Grants(store, self.ledger, lambda: self.now)
        self.months = Subscriptions(store, self.grants, self.news, lambda: self.now)

    async def join(self, tenant: str, plan: str = "free") -> None:
        async with self.store.transaction() as session:
            await session.execute("INSERT INTO tenants (id, name) VALUES ($1, $1)", tenant)
            await begin(session, tenant, self.now, plan)

    async def granted(self, tenant: str = "t_1") -> list[tuple[str, int]]:
        rows = await self.store.fetch("SELECT id, ms FROM grants WHERE tenant = $1 ORDER BY created, id", tenant)
        return [(row["id"], row["ms"]) for row in rows]

    async def check_books(self) -> None:
        """Every entry's postings add up to zero, and balances are the sums of postings."""
        uneven = "SELECT entry FROM postings GROUP BY entry HAVING sum(ms) <> 0"
        assert await self.store.fetch(uneven) == []
        wrong = (
            "SELECT account FROM balances FULL JOIN (SELECT account, sum(ms) AS total FROM postings GROUP BY account) p"
            " USING (account) WHERE ms IS DISTINCT FROM total"
        )
        assert await self.store.fetch(wrong) == []
        lacking = "SELECT id FROM grants WHERE ms <> (SELECT ms FROM balances WHERE account = 'grant:' || id)"
        assert await self.store.fetch(lacking) == []


@pytest.fixture
def accounts(store: Store, redis: Redis) -> Accounts:
    return Accounts(store, redis, datetime(2026, 1, 31, 9, 30, tzinfo=UTC))


async def test_a_month_is_granted_when_it_begins_and_once(accounts: Accounts) -> None:
    await accounts.join("t_1")
    assert await accounts.granted() == [("plan:t_1:2026-01-31:free", 600_000)]
    assert await accounts.months.grant_due() == 0
    accounts.now = datetime(2026, 2, 28, 9, 29, 59, tzinfo=UTC)
    assert await accounts.months.grant_due() == 0
    accounts.now += timedelta(seconds=1)
    assert await accounts.months.grant_due() == 1
    assert await accounts.months.grant_due() == 0
    assert [id for id, _ in await accounts.granted()] == ["plan:t_1:2026-01-31:free", "plan:t_1:2026-02-28:free"]
    assert accounts.ledger.ids == ["plan:t_1:2026-02-28:free"]
    has = await accounts.months.get("t_1")
    assert has.period.end == datetime(2026, 3, 31, 9, 30, tzinfo=UTC)
    [before, this] = await accounts.grants.in_force("t_1")  # a moment of grace for the month before
    assert before.expires == has.period.start + GRACE
    assert (this.left_ms, this.expires) == (600_000, has.period.end + GRACE)
    await accounts.check_books()


async def test_after_a_long_pause_only_the_month_that_it_is_now_is_granted(accounts: Accounts) -> None:
    await accounts.join("t_1")
    accounts.now = datetime(2026, 7, 4, tzinfo=UTC)
    assert await accounts.months.grant_due() == 1
    assert [id for id, _ in await accounts.granted()] == ["plan:t_1:2026-01-31:free", "plan:t_1:2026-06-30:free"]


async def test_gateways_that_look_at_once_grant_once(accounts: Accounts, redis: Redis) -> None:
    for at in range(130):  # more than one transaction takes
        await accounts.join(f"t_{at}")
    later = accounts.now + timedelta(days=31)
    gateways = [Accounts(accounts.store, redis, later) for _ in range(4)]
    done = await asyncio.gather(*(each.months.grant_due() for each in gateways))
    while sum(done) < 130:  # who found another at it left the rest to it
        done.append(await gateways[0].months.grant_due())
    assert sum(done) == 130
    assert await accounts.store.fetchval("SELECT count(*) FROM grants") == 260
    told = [id for each in gateways for id in each.ledger.ids]
    assert (len(told), len(set(told))) == (130, 130)
    await accounts.check_books()


async def test_a_ledger_that_is_away_is_told_by_the_sweep(accounts: Accounts) -> None:
    accounts.ledger.away = True
    await accounts.join("t_1")
    grant = await accounts.grants.grant("t_1", 60, "operator", why="sorry")
    assert await accounts.store.fetchval("SELECT applied FROM grants WHERE id = $1", grant.id) is None


async def test_a_plan_with_rollover(accounts: Accounts, redis: Redis) -> None:
    plans = Plans(accounts.store, News(redis), billing=True, contexts=16)
    await plans.put(replace(await plans.get("free"), rollover_months=2), "operator")
    await accounts.join("t_1")
    [grant] = await accounts.grants.in_force("t_1")
    assert grant.expires == datetime(2026, 4, 28, 9, 30, tzinfo=UTC) + GRACE


async def test_a_dearer_plan_is_had_at_once(accounts: Accounts) -> None:
    await accounts.join("t_1")
    accounts.now = datetime(2026, 2, 10, 8, tzinfo=UTC)
    has = await accounts.months.choose("t_1", "basic", "operator")
    assert (has.plan.id, has.period.end) == ("basic", datetime(2026, 3, 10, 8, tzinfo=UTC))
    assert await accounts.granted() == [("plan:t_1:2026-01-31:free", 600_000), ("plan:t_1:2026-02-10:basic", 3_600_000)]
    assert accounts.ledger.ids == ["plan:t_1:2026-02-10:basic"]
    assert [each.kind for each in await accounts.grants.in_force("t_1")] == ["plan", "plan"]
    assert [(each.action, each.subject) for each in await events(accounts.store)] == [("tenant.plan", "basic")]
    await accounts.check_books()


async def test_a_cheaper_plan_waits_for_the_end_of_the_month(accounts: Accounts) -> None:
    await accounts.join("t_1", "pro")
    has = await accounts.months.choose("t_1", "free", "user:u_1")
    assert (has.plan.id, has.next_plan) == ("pro", "free")
    accounts.now = has.period.end
    await accounts.months.grant_due()
    has = await accounts.months.get("t_1")
    assert (has.plan.id, has.next_plan) == ("free", None)
    assert [id for id, _ in await accounts.granted()] == ["plan:t_1:2026-01-31:pro", "plan:t_1:2026-02-28:free"]


async def test_who_changes_their_mind_keeps_the_plan(accounts: Accounts) -> None:
    await accounts.join("t_1", "pro")
    await accounts.months.choose("t_1", "free", "user:u_1")
    assert (await accounts.months.choose("t_1", "pro", "user:u_1")).next_plan is None


async def test_going_back_and_forth_in_a_day_grants_each_plan_once(accounts: Accounts) -> None:
    await accounts.join("t_1")
    for plan in ("basic", "free", "basic", "free", "basic"):
        accounts.now += timedelta(minutes=1)
        await accounts.months.choose("t_1", plan, "operator", at_once=True)
    assert [ms for _, ms in await accounts.granted()] == [600_000, 3_600_000]


@pytest.mark.parametrize(("tenant", "plan"), [("t_2", "pro"), ("t_1", "gold")])
async def test_neither_tenant_nor_plan_is_invented(accounts: Accounts, tenant: str, plan: str) -> None:
    await accounts.join("t_1")
    with pytest.raises(BadRequest, match="nothing"):
        await accounts.months.choose(tenant, plan, "operator")


async def test_a_plan_that_gets_limited_grants_the_month_that_runs(accounts: Accounts, redis: Redis) -> None:
    await accounts.join("t_1", "enterprise")
    assert await accounts.granted() == []
    plans = Plans(accounts.store, News(redis), billing=True, contexts=16)
    await plans.put(replace(await plans.get("enterprise"), seconds=90), "operator")
    assert await accounts.months.grant_due() == 1
    assert await accounts.granted() == [("plan:t_1:2026-01-31:enterprise", 90_000)]


async def test_the_servers_own_tenant_has_one_month_for_ever(accounts: Accounts) -> None:
    accounts.now = datetime(2400, 1, 1, tzinfo=UTC)
    assert await accounts.months.grant_due() == 0
    await accounts.months.set_quotas("home", {"seconds": 100}, "operator")
    [grant] = await accounts.grants.in_force("home")
    assert (grant.ms, grant.expires) == (100_000, None)


async def test_what_an_admin_gives_is_given_once(accounts: Accounts) -> None:
    await accounts.join("t_1")
    expires = accounts.now + timedelta(days=1)
    first = await accounts.grants.grant("t_1", 60, "user:u_1", id="ticket-7", expires=expires, why="a fault of ours")
    again = await accounts.grants.grant("t_1", 60, "user:u_1", id="ticket-7", expires=expires, why="a fault of ours")
    assert first == again
    assert (first.id, first.kind, first.left_ms) == ("admin:t_1:ticket-7", "admin", 60_000)
    with pytest.raises(Conflict):
        await accounts.grants.grant("t_1", 61, "user:u_1", id="ticket-7")
    await accounts.grants.grant("t_1", 5, "operator")
    await accounts.grants.grant("t_1", 5, "operator")  # without an id, every one counts
    assert sum(ms for _, ms in await accounts.granted()) == 600_000 + 60_000 + 10_000
    assert [each.action for each in await events(accounts.store)] == ["grant.create"] * 3
    with pytest.raises(BadRequest, match="nothing"):
        await accounts.grants.grant("t_2", 60, "operator")
    await accounts.check_books()


async def test_a_ledger_hears_of_a_grant_before_it_takes_it_back(accounts: Accounts) -> None:
    """One that does not know it takes nothing, and would have all of it when the sweep tells it."""
    await accounts.join("t_1")
    accounts.ledger.away = True
    grant = await accounts.grants.grant("t_1", 60, "operator", id="a")
    with pytest.raises(Busy):
        await accounts.grants.reverse(grant.id, "operator")
    accounts.ledger.away = False
    assert await accounts.grants.reverse(grant.id, "user:u_1", why="a mistake") == (grant.id, "t_1", 7)
    assert (accounts.ledger.ids, accounts.ledger.reversed) == ([grant.id], [grant.id])
    await accounts.grants.reverse(grant.id, "operator")
    done = [(each.actor, each.details) for each in await events(accounts.store, action="grant.reverse")]
    assert done == [("user:u_1", {"ms": 7, "note": "a mistake"})]
    with pytest.raises(BadRequest, match="nothing"):
        await accounts.grants.reverse(grant.id, "operator", tenant="t_2")


async def test_a_hundred_who_give_the_same_give_it_once(accounts: Accounts) -> None:
    await accounts.join("t_1")
    given = await asyncio.gather(*(accounts.grants.grant("t_1", 60, "operator", id="a") for _ in range(100)))
    assert len({each.id for each in given}) == 1
    assert accounts.ledger.ids == ["admin:t_1:a"]
    await accounts.check_books()


async def test_what_expires_first_is_spent_first(accounts: Accounts) -> None:
    await accounts.store.execute("INSERT INTO packages VALUES ('hour', 'An hour', 900, 'USD', 3600, 365, true)")
    await accounts.store.execute("INSERT INTO packages VALUES ('ever', 'For ever', 900, 'USD', 1800, NULL, true)")
    await accounts.join("t_1")
    await accounts.grants.package("t_1", "ever", "operator", id="a")
    await accounts.grants.package("t_1", "hour", "operator", id="b")
    await accounts.grants.grant("t_1", 1, "operator", id="a", expires=accounts.now + timedelta(days=1))
    await accounts.grants.grant("t_1", 1, "operator", id="b", expires=accounts.now)
    assert await kinds(accounts) == ["admin", "plan", "package", "package"]
    assert [each.expires for each in (await accounts.grants.in_force("t_1"))[2:]] == [
        accounts.now + timedelta(days=365),
        None,
    ]
    assert [each.id for each in await accounts.grants.packages()] == ["ever", "hour"]
    accounts.now += timedelta(days=200)
    assert await kinds(accounts) == ["package", "package"]
    with pytest.raises(BadRequest, match="nothing"):
        await accounts.grants.package("t_1", "minute", "operator")


async def kinds(accounts: Accounts) -> Sequence[str]:
    return [each.kind for each in await accounts.grants.in_force("t_1")]


async def test_a_refund_gives_back_what_a_stream_cost_and_once(accounts: Accounts) -> None:
    await accounts.join("t_1")
    await accounts.join("t_2")
    sql = "INSERT INTO entries (tenant, stream, block, post, kind, ms, at) VALUES ('t_1', 'c_9', $1, $2, $3, $4, now())"
    for block, post, kind, ms in (("0", 0, "use", 4_000), ("0", 1, "refund", -1_500), ("1", 0, "use", 700)):
        await accounts.store.execute(sql, block, post, kind, ms)
    refund = await accounts.grants.refund("t_1", "user:u_1", stream="c_9", why="it crackled")
    assert (refund.id, refund.kind, refund.ms, refund.expires) == ("refund:t_1:c_9", "refund", 3_200, None)
    assert await accounts.grants.refund("t_1", "user:u_1", stream="c_9") == refund
    for tenant, stream in (("t_2", "c_9"), ("t_1", "grant"), ("t_1", "c_8")):
        with pytest.raises(BadRequest, match="nothing"):
            await accounts.grants.refund(tenant, "user:u_1", stream=stream)
    assert (await accounts.grants.refund("t_1", "operator", seconds=3, id="x")).ms == 3_000
    await accounts.check_books()
