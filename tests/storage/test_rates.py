"""Rates and leases against a model that is written another way, and against many callers at once."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from voicewire.errors import Busy
from voicewire.storage import rates as rates_module
from voicewire.storage.buckets import Buckets
from voicewire.storage.rates import Bucket, Lease, Places, Rates, Taken
from voicewire.storage.redis import open_redis
from voicewire.storage.scripts import FOLDER

START_US = 1_790_000_000_000_000
SOURCE = (FOLDER / "rates.lua").read_text(encoding="utf-8")
VIRTUAL = SOURCE.replace("redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}")
"""The script with its clock as two more arguments: seconds and microseconds."""

LEASE_MS = 15_000


@dataclass
class Tokens:
    """A bucket as people think of it: so many tokens, which come back one by one."""

    step_us: int
    burst: int
    tokens: Fraction = field(init=False)
    at_us: int = START_US

    def __post_init__(self) -> None:
        self.tokens = Fraction(self.burst)

    def look(self, now_us: int) -> bool:
        self.tokens = min(Fraction(self.burst), self.tokens + Fraction(now_us - self.at_us, self.step_us))
        self.at_us = now_us
        return self.tokens >= 1

    def wait_us(self) -> int:
        return math.ceil(max(Fraction(0), 1 - self.tokens) * self.step_us)

    def full_us(self) -> int:
        return math.ceil((self.burst - self.tokens) * self.step_us)


bursts = st.tuples(st.integers(1_000_000, 90_000_000), st.integers(1, 12))  # shorter ones expire in Redis meanwhile
pauses = st.lists(st.integers(0, 30_000_000), min_size=1, max_size=40)


@given(shapes=st.lists(bursts, min_size=1, max_size=3), pauses=pauses)
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_requests_are_those_of_the_model(redis_address: str, shapes: list[tuple[int, int]], pauses: list[int]) -> None:
    now_us, models = START_US, [Tokens(*shape) for shape in shapes]
    keys = [f"bucket:{at}" for at in range(len(shapes))]
    with BlockingRedis.from_url(redis_address) as redis:
        redis.flushdb()
        for pause in pauses:
            now_us += pause
            told = redis.eval(VIRTUAL, len(keys), *keys, len(keys), *sum(shapes, ()), *divmod(now_us, 1_000_000))
            there = [model.look(now_us) for model in models]
            waits = [model.wait_us() for model in models]
            if all(there):
                for model in models:
                    model.tokens -= 1
            assert (told[0] == 0) == all(there)
            assert told[0] == 0 or waits[told[0] - 1] == max(waits)
            assert told[1] == math.ceil(max(waits) / 1000) * (not all(there))
            for model, left, full_ms in zip(models, told[2::2], told[3::2], strict=True):
                if all(there):
                    assert (left, full_ms) == (math.floor(model.tokens), math.ceil(model.full_us() / 1000))
            assert not [key for key in redis.scan_iter() if redis.ttl(key) == -1]


@given(shape=bursts, pauses=pauses)
@settings(deadline=None)
def test_what_this_process_counts_is_the_same(shape: tuple[int, int], pauses: list[int]) -> None:
    now_us, model, buckets = START_US, Tokens(*shape), Buckets()
    for pause in pauses:
        now_us += pause
        there = model.look(now_us)
        wait_us = model.wait_us()
        model.tokens -= there
        assert buckets.take("a", *shape, now_us) == (wait_us, math.floor(model.tokens), model.full_us())


steps = st.tuples(st.integers(0, 9_000), st.sampled_from(["take", "release", "renew"]), st.integers(0, 5))


@given(limit=st.integers(1, 4), steps=st.lists(steps, min_size=1, max_size=40))
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_leases_are_those_of_the_model(redis_address: str, limit: int, steps: list[tuple[int, str, int]]) -> None:
    now_ms, held = START_US // 1000, dict[str, int]()
    renew = rates_module.RENEW.replace("redis.call('TIME')", "{ARGV[2], ARGV[3]}").replace("i = 2", "i = 4")
    with BlockingRedis.from_url(redis_address) as redis:
        redis.flushdb()
        for pause, what, name in steps:
            now_ms += pause
            stream, clock = f"s{name}", (now_ms // 1000, now_ms % 1000 * 1000)
            if what == "take":
                held = {each: ends for each, ends in held.items() if ends > now_ms}
                allowed = stream in held or len(held) < limit
                told = redis.eval(VIRTUAL, 1, "set", 0, LEASE_MS, stream, "", limit, *clock)
                assert (told[0] == 0) == allowed
                if allowed:
                    held[stream] = now_ms + LEASE_MS
            elif what == "release":
                redis.zrem("set", stream)
                held.pop(stream, None)
            else:
                redis.eval(renew, 1, "set", LEASE_MS, *clock, stream)
                if stream in held:
                    held[stream] = now_ms + LEASE_MS
            assert dict(redis.zrange("set", 0, -1, withscores=True)) == {k.encode(): v for k, v in held.items()}
            assert not held or redis.pttl("set") > 0


async def test_many_callers_on_many_gateways_never_get_more(redis: Redis, redis_url: str) -> None:
    clients = [open_redis(redis_url) for _ in range(4)]
    gateways = [Rates(client) for client in clients]

    async def call(rates: Rates, until: float) -> int:
        allowed = 0
        while time.monotonic() < until:
            allowed += (await rates.take("t_1", 600, 20)).allowed
        return allowed

    before = await redis.time()
    until = time.monotonic() + 1.0
    allowed = sum(await asyncio.gather(*(call(gateways[at % 4], until) for at in range(64))))
    after = await redis.time()
    for client in clients:
        await client.aclose()
    passed_us = (after[0] - before[0]) * 1_000_000 + after[1] - before[1]
    assert 20 < allowed <= 20 + passed_us // 100_000


async def test_the_eleventh_of_ten_hears_when_to_come_back(redis: Redis) -> None:
    rates = Rates(redis)
    taken = [await rates.take("t_1", 10) for _ in range(11)]
    assert [each.remaining for each in taken] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0]
    assert [each.allowed for each in taken] == [True] * 10 + [False]
    assert taken[0] == Taken(allowed=True, limit=10, remaining=9, reset_s=6)
    assert 0 < taken[-1].retry_after_ms <= 6_000
    assert (await rates.take("t_2", 10)).allowed


async def test_what_one_bucket_refuses_is_taken_from_none(redis: Redis) -> None:
    rates = Rates(redis)
    for _ in range(3):
        told = await rates.admit("t", [Bucket("", 100), Bucket("key", 1)], Lease("t", "s", (Places("", 1),)))
    assert (told.allowed, told.limit) == (False, 1)
    assert (await rates.admit("t", [Bucket("", 100)])).remaining == 98
    assert (await rates.lease("t", "s", 1)).allowed
    refused = await rates.admit("t", [Bucket("", 100)], Lease("t", "another", (Places("", 1),)))
    assert (refused.full, refused.limit) == (True, 1)
    assert (await rates.admit("t", [Bucket("", 100)])).remaining == 97


async def test_a_lease_of_a_key_and_of_its_tenant(redis: Redis) -> None:
    rates = Rates(redis)
    places = (Places("", 3), Places("key", 1))
    first = Lease("t", "s1", places)
    assert (await rates.admit("t", (), first)).allowed
    assert (await rates.admit("t", (), Lease("t", "s2", places))).limit == 1
    assert (await rates.lease("t", "s2", 3)).allowed
    assert (await rates.lease("t", "s3", 3)).allowed
    assert (await rates.lease("t", "s4", 3)) == Taken(allowed=False, limit=3, retry_after_ms=1_000, full=True)
    await rates.release([first])
    assert (await rates.admit("t", (), Lease("t", "s2", places))).allowed


async def test_who_goes_on_elsewhere_takes_its_own_place(redis: Redis) -> None:
    rates = Rates(redis)
    before, after = Lease("t", "s:1", (Places("", 1),)), Lease("t", "s:2", (Places("", 1),), replaces="s:1")
    assert (await rates.admit("t", (), before)).allowed
    assert (await rates.admit("t", (), after)).allowed
    await rates.renew([before])  # by a gateway that does not know yet
    await rates.release([before])
    assert not (await rates.lease("t", "another", 1)).allowed


async def test_a_redis_that_lost_its_scripts_is_given_them_again(redis: Redis) -> None:
    rates = Rates(redis)
    lease = Lease("t", "s", (Places("", 1),))
    await redis.script_flush()
    assert (await rates.admit("t", (), lease)).allowed
    await redis.script_flush()
    await rates.renew([lease] * 100)
    assert await redis.pttl("vw:leases:{t}:") > 0


async def test_while_redis_is_away_those_who_are_known_are_counted_here() -> None:
    now = 100.0
    away = open_redis("unix:///nowhere/redis.sock")
    rates = Rates(away, clock=lambda: now)
    assert [(await rates.take("t", 2, known=True)).allowed for _ in range(3)] == [True, True, False]
    assert (await rates.take("another", 2, known=True)).remaining == 1
    assert (await rates.lease("t", "s", 1)).allowed
    with pytest.raises(Busy):
        await rates.take("192.0.2.1", 10)
    now += 30
    assert (await rates.take("t", 2, known=True)).allowed
    await away.aclose()


async def test_a_redis_that_is_back_is_asked_again(redis: Redis, redis_url: str) -> None:
    now = 100.0
    client = open_redis(redis_url)
    rates = Rates(client, clock=lambda: now)
    await redis.client_pause(1_100)  # longer than a command may take
    assert (await rates.take("t", 5, known=True)).remaining == 4
    now += 0.5
    assert (await rates.take("t", 5, known=True)).remaining == 3  # still here
    now += 1.0
    assert (await rates.take("t", 5, known=True)).remaining == 4
    await client.aclose()


def test_names_beyond_the_bound_start_anew() -> None:
    buckets = Buckets(names_max=2)
    for name in ("a", "b", "c"):
        buckets.take(name, 1_000, 1, 0)
    assert len(buckets) == 2
    assert buckets.take("c", 1_000, 1, 0).wait_us == 1_000
    assert buckets.take("a", 1_000, 1, 0).wait_us == 0
