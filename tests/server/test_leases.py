"""Places of streams as a gateway keeps them, on a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest
from redis.asyncio import Redis

from voicewire.auth.principal import Limits, Principal
from voicewire.errors import Busy, OverQuota
from voicewire.server.leases import Leases
from voicewire.server.limits import GENERAL_MINUTE, Limiter
from voicewire.server.tasks import supervise
from voicewire.storage.rates import Bucket, Lease, Places, Rates, Taken

KEY = "vw:leases:{t}:"
CALLER = Principal("k1", "t", frozenset({"speak"}), "key", limits=Limits(streams=1, requests_minute=2))


async def plan(tenant: str) -> Limits:
    return Limits(streams=2, requests_minute=3) if tenant == "t" else Limits(streams=10**6, requests_minute=10**6)


@pytest.fixture
async def leases(redis: Redis) -> AsyncIterator[Leases]:
    leases = Leases(Rates(redis), renew_s=0.05)
    async with contextlib.AsyncExitStack() as stack:
        supervise(stack, "leases", leases.run)
        yield leases


async def test_what_is_held_is_renewed_and_what_is_dropped_is_free(redis: Redis, leases: Leases) -> None:
    assert (await leases.take(Lease("t", "s", (Places("", 1),)))).allowed
    await redis.zadd(KEY, {"s": 1}, xx=True)  # as if its end were near
    async with asyncio.timeout(10):
        while await redis.zscore(KEY, "s") == 1:
            await asyncio.sleep(0.01)
        leases.drop("s")
        leases.drop("s")
        while await redis.exists(KEY):
            await asyncio.sleep(0.01)
    assert len(leases) == 0


async def test_a_redis_that_is_away_for_a_moment_ends_nothing(redis: Redis, leases: Leases) -> None:
    assert (await leases.take(Lease("t", "s", (Places("", 1),)))).allowed
    await redis.set(KEY, "no set")  # every command on it fails
    await asyncio.sleep(0.2)
    await redis.delete(KEY)
    leases.drop("s")
    assert (await leases.take(Lease("t", "another", (Places("", 1),)))).allowed


async def test_a_key_is_counted_in_its_tenant_and_by_itself(redis: Redis, leases: Leases) -> None:
    limiter = Limiter(Rates(redis), leases, plan)
    await limiter.enter(CALLER, "s1")
    with pytest.raises(OverQuota) as refused:
        await limiter.enter(CALLER, "s2")
    assert (refused.value.row_code, refused.value.fields) == ("too_many_streams", {"limit": 1})
    for _ in range(2):
        await limiter.admit_context(CALLER)
    with pytest.raises(OverQuota) as refused:
        await limiter.admit_context(CALLER)
    assert refused.value.row_code == "rate_limited"
    assert 0 < (refused.value.retry_after_ms or 0) <= 30_000
    limiter.leave("s1")
    await limiter.left()
    await limiter.enter(CALLER, "s2")


async def test_who_comes_again_while_its_own_end_is_under_way_is_let_in(redis: Redis) -> None:
    class Ending(Leases):
        async def take(self, lease: Lease, buckets: Sequence[Bucket] = ()) -> Taken:
            taken = await super().take(lease, buckets)
            if taken.full:
                self.drop("s1")
            return taken

    ending = Ending(Rates(redis))  # which nothing but the caller gives back
    limiter = Limiter(Rates(redis), ending, plan)
    await limiter.enter(CALLER, "s1")
    await limiter.enter(CALLER, "s2")
    with pytest.raises(OverQuota):
        await limiter.enter(CALLER, "s3")


async def test_who_is_not_counted_does_not_wait_for_redis() -> None:
    class NoRates(Rates):
        def __init__(self) -> None:
            """Without a Redis: whatever is asked fails."""

    limiter = Limiter(NoRates(), Leases(NoRates()), plan)
    somebody = Principal("k1", "home", frozenset({"speak"}), "key", limits=await plan("home"))
    await limiter.admit_context(somebody)
    await limiter.enter(somebody, "s1")
    limiter.leave("s1")


async def test_without_postgresql_the_caller_s_own_limits_count(redis: Redis, leases: Leases) -> None:
    async def away(tenant: str) -> Limits:
        raise Busy(tenant and "busy")

    limiter = Limiter(Rates(redis), leases, away)
    for _ in range(2):
        await limiter.admit_context(CALLER)
    with pytest.raises(OverQuota):
        await limiter.admit_context(CALLER)


async def burst(limiter: Limiter, times: int) -> None:
    for _ in range(times):
        limiter.general(CALLER)


async def test_what_costs_nothing_is_bounded_too(redis: Redis, leases: Leases) -> None:
    limiter = Limiter(Rates(redis), leases, plan)
    for _ in range(GENERAL_MINUTE):
        limiter.general(CALLER)
    with pytest.raises(OverQuota) as refused:
        await burst(limiter, GENERAL_MINUTE)  # more than comes back in the time that it takes
    assert refused.value.retry_after_ms
    limiter.general(Principal("k2", "t", frozenset(), "key"))
