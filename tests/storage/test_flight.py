"""One of several gateways makes a block: two of them on one real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from redis.asyncio import Redis

from voicewire.storage.flight import FLIGHT_KEY, LEASE_S, Flight
from voicewire.storage.redis import open_redis
from voicewire.types import KEY_PREFIX

KEY = bytes(range(32))
NAME = KEY_PREFIX + FLIGHT_KEY.format(key=KEY.hex())
PATIENT_S = 60.0
Start = Callable[..., Flight]


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel, again and again: redis-py can take a cancel for the end of its own wait."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=0.1)


@pytest.fixture
async def start(redis: Redis) -> AsyncIterator[Start]:
    running: list[asyncio.Task[None]] = []

    def start(wait_s: float = PATIENT_S) -> Flight:
        flight = Flight(redis, wait_s=wait_s)
        running.extend(map(asyncio.create_task, (flight.renew(), flight.poll())))
        return flight

    yield start
    await end(*running)


async def test_one_makes_it_and_the_other_waits_for_it(start: Start) -> None:
    one, other = start(), start()
    assert await one.lead(KEY)
    waiting = asyncio.create_task(other.lead(KEY))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    one.made(KEY)
    assert await waiting is False
    assert (one.waited, other.waited) == (0, 1)
    assert await start().lead(KEY) is False  # also who comes later


async def test_of_many_at_once_one_leads(start: Start) -> None:
    flights = [start() for _ in range(8)]
    leading = [asyncio.create_task(flight.lead(KEY)) for flight in flights]
    done, waiting = await asyncio.wait(leading, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == [True]
    flights[leading.index(done.pop())].made(KEY)
    assert await asyncio.gather(*waiting) == [False] * 7


async def test_what_one_gives_up_another_makes(start: Start) -> None:
    one, other = start(), start()
    assert await one.lead(KEY)
    waiting = asyncio.create_task(other.lead(KEY))
    one.given_up(KEY)
    assert await waiting is True
    other.made(KEY)
    assert await start().lead(KEY) is False


async def test_who_asks_twice_at_once_waits_once_and_makes_the_other(start: Start) -> None:
    one, other = start(), start()
    assert await one.lead(KEY)
    asking = [asyncio.create_task(other.lead(KEY)) for _ in range(2)]
    done, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == [True]
    one.made(KEY)
    assert await asyncio.gather(*waiting) == [False]


async def test_a_lease_is_kept_as_long_as_its_gateway_lives(start: Start, redis: Redis) -> None:
    one = start()
    assert await one.lead(KEY)
    await redis.pexpire(NAME, 100_000)
    async with asyncio.timeout(PATIENT_S):
        while await redis.pttl(NAME) > LEASE_S * 1000:  # until it is renewed
            await asyncio.sleep(0.05)
    assert await redis.exists(NAME)


async def test_what_a_dead_gateway_was_making_another_makes(start: Start, redis: Redis) -> None:
    dead, other = Flight(redis), start()
    assert await dead.lead(KEY)  # it never runs: nothing is renewed
    waiting = asyncio.create_task(other.lead(KEY))
    await redis.pexpire(NAME, 300)
    assert await waiting is True
    dead.made(KEY)  # a zombie says so, and changes nothing
    assert 0 < await redis.pttl(NAME) <= LEASE_S * 1000


async def test_nobody_waits_for_ever(start: Start) -> None:
    one, other = start(), start(0.1)
    assert await one.lead(KEY)
    assert await other.lead(KEY) is True
    other.made(KEY)  # it has no lease
    third = asyncio.create_task(start().lead(KEY))
    await asyncio.sleep(0.1)
    assert not third.done()
    one.made(KEY)
    assert await third is False


async def test_without_redis_each_makes_its_own() -> None:
    flight = Flight(open_redis("redis://127.0.0.1:1"))
    assert await flight.lead(KEY)
    assert flight.failures == 1
    assert await flight.lead(KEY)
    assert flight.failures == 1  # it was not asked again
    flight.made(KEY)


async def test_who_waits_makes_it_when_redis_goes(redis: Redis, start: Start) -> None:
    one = start()
    assert await one.lead(KEY)
    gone = Flight(open_redis("redis://127.0.0.1:1"), wait_s=PATIENT_S)
    task = asyncio.create_task(gone.poll())
    gone._redis, away = redis, gone._redis
    waiting = asyncio.create_task(gone.lead(KEY))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    gone._redis = away
    assert await waiting is True
    await end(task)
