"""Plans on a real PostgreSQL and Redis: what they let a tenant do, and how fast a change is everywhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from voicewire.accounts import plans as plans_module
from voicewire.accounts.audit import events
from voicewire.accounts.grants import Grants
from voicewire.accounts.news import News
from voicewire.accounts.plans import Plans
from voicewire.accounts.subscriptions import Subscriptions, begin
from voicewire.auth.principal import Limits
from voicewire.errors import BadRequest, Busy
from voicewire.remote.turns import end
from voicewire.storage.store import Store

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)


class NoLedger:
    """Knows of no account: what is granted is in PostgreSQL alone."""

    async def grant(self, _grant_id: str, /) -> None:
        raise Busy

    async def reverse(self, _grant_id: str, /) -> int:
        raise Busy


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def tenant(store: Store, id: str, plan: str) -> None:
    async with store.transaction() as session:
        await session.execute("INSERT INTO tenants (id, name) VALUES ($1, $1)", id)
        await begin(session, id, NOW, plan)


@contextlib.asynccontextmanager
async def running(news: News) -> AsyncIterator[None]:
    task = asyncio.create_task(news.run())
    await until(lambda: news.live)
    yield
    await end([task])


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


async def test_the_plans_that_a_new_database_has(store: Store, redis: Redis) -> None:
    plans = Plans(store, News(redis), billing=True, contexts=16)
    public = await plans.all(public=True)
    assert [(each.id, each.seconds, each.requests_minute, each.streams) for each in public] == [
        ("free", 600, 10, 1), ("basic", 3_600, 30, 2), ("pro", 14_400, 60, 5), ("enterprise", None, 600, 100),
    ]  # fmt: skip
    assert [each.id for each in await plans.all()] == ["home", "free", "basic", "pro", "enterprise"]
    with pytest.raises(BadRequest, match="nothing"):
        await plans.get("gold")


async def test_a_tenants_limits_are_its_plans(store: Store, redis: Redis) -> None:
    await tenant(store, "t_1", "free")
    await tenant(store, "t_2", "enterprise")
    plans = Plans(store, News(redis), billing=True, contexts=16)
    assert await plans.limits("t_1") == Limits(
        streams=1, contexts=16, text_chars=5_000, requests_minute=10, models=None, metered=True, cached_percent=100
    )
    assert not (await plans.limits("t_2")).metered
    assert not (await plans.limits("home")).metered
    assert await plans.limits("nobody") == await plans.limits("t_1")


async def test_without_billing_plans_limit_nobody_but_quotas_do(store: Store, redis: Redis) -> None:
    await tenant(store, "t_1", "free")
    news = News(redis)
    plans = Plans(store, news, billing=False, contexts=16)
    assert await plans.limits("t_1") == await plans.limits("home")
    months = Subscriptions(store, Grants(store, NoLedger(), lambda: NOW), news, lambda: NOW)
    await months.set_quotas("t_1", {"streams": 3, "seconds": 60, "models": ["tone"]}, "operator")
    limits = await plans.limits("t_1")
    assert (limits.streams, limits.requests_minute, limits.models) == (3, 1_000_000, frozenset({"tone"}))
    assert not limits.metered


async def test_quotas_are_over_the_plan(store: Store, redis: Redis) -> None:
    await tenant(store, "t_1", "enterprise")
    news = News(redis)
    plans = Plans(store, news, billing=True, contexts=16)
    months = Subscriptions(store, Grants(store, NoLedger(), lambda: NOW), news, lambda: NOW)
    assert (await plans.limits("t_1")).weight == 1
    has = await months.set_quotas("t_1", {"seconds": 7_200, "requests_minute": 5, "weight": 3}, "user:u_1")
    assert (has.plan.seconds, has.plan.streams) == (7_200, 100)
    limits = await plans.limits("t_1")
    assert (limits.metered, limits.requests_minute, limits.streams, limits.weight) == (True, 5, 100, 3)
    assert await store.fetchval("SELECT ms FROM grants") == 7_200_000  # of this month, which had none
    await months.set_quotas("t_1", {}, "user:u_1")
    assert not (await plans.limits("t_1")).metered
    assert [each.action for each in await events(store)] == ["tenant.quotas"] * 2


async def test_a_change_on_one_gateway_is_known_on_another(store: Store, redis: Redis) -> None:
    await tenant(store, "t_1", "free")
    here, there = News(redis), News(redis)
    admin, plans = Plans(store, here, billing=True, contexts=16), Plans(store, there, billing=True, contexts=16)
    async with running(there):
        assert (await plans.limits("t_1")).streams == 1
        await store.execute("UPDATE plans SET streams = 9 WHERE id = 'free'")  # behind everybody's back
        assert (await plans.limits("t_1")).streams == 1
        assert await plans.permille("kokoro") == 1_000
        await admin.put(replace(await admin.get("free"), streams=4, models=("tone",)), "operator")
        await admin.put_price("kokoro", 2_500, "operator")
        async with asyncio.timeout(5):
            while await plans.permille("kokoro") != 2_500:
                await asyncio.sleep(0.01)
        limits = await plans.limits("t_1")
    assert (limits.streams, limits.models) == (4, frozenset({"tone"}))
    assert await plans.permille("espeak") == 1_000
    noted = await events(store)
    assert [(each.action, each.subject) for each in noted] == [("price.put", "kokoro"), ("plan.put", "free")]


async def test_what_is_remembered_without_news_is_soon_looked_at_again(store: Store, redis: Redis) -> None:
    await tenant(store, "t_1", "free")
    clock = Clock()
    plans = Plans(store, News(redis), billing=True, contexts=16, clock=clock)
    assert (await plans.limits("t_1")).streams == 1
    await store.execute("UPDATE plans SET streams = 9 WHERE id = 'free'")
    clock.now += plans_module.KEPT_UNTOLD_S - 0.1
    assert (await plans.limits("t_1")).streams == 1
    clock.now += 0.2
    assert (await plans.limits("t_1")).streams == 9


async def test_while_postgresql_is_away_what_was_known_is_good_for_an_hour(store: Store, redis: Redis) -> None:
    await tenant(store, "t_1", "free")
    clock, news = Clock(), News(redis)
    plans = Plans(store, news, billing=True, contexts=16, clock=clock)
    await plans.limits("t_1")
    await plans.permille("tone")
    away = await Store("postgresql://voicewire@/postgres?host=/nowhere").open()
    plans._store = away
    await news.tell(plans_module.TENANTS_TOPIC, "t_1")
    clock.now += plans_module.STALE_S - 1
    assert (await plans.limits("t_1")).streams == 1
    assert await plans.permille("tone") == 1_000
    with pytest.raises(Busy):
        await plans.limits("t_2")
    clock.now += 2
    for question in (plans.limits("t_1"), plans.permille("tone")):
        with pytest.raises(Busy):
            await question
    await away.close()


async def test_a_plan_that_is_new(store: Store, redis: Redis) -> None:
    plans = Plans(store, News(redis), billing=True, contexts=16)
    team = replace(await plans.get("pro"), id="team", name="Team", price_cents=15_000, position=9, rollover_months=2)
    await plans.put(team, "operator")
    assert await plans.get("team") == team
    assert (await plans.all(public=True))[-1] == team
