"""Workers elsewhere are lost, wake up, drain; Redis forgets: blocks go on without a seam, or say that they do not."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.engines.pooled import Listener, Options, expected, job, until
from tests.remote.running import Gateway, Hosted, gateway, hosted
from voicewire.engines.ticket import Ticket
from voicewire.errors import Busy, EngineFailed
from voicewire.remote.flight import Flight, Verdict
from voicewire.remote.keys import Keys
from voicewire.remote.turns import end

TEXT = "one two three four five six seven eight nine ten " * 2
SLOW: Options = {"rtf": 0.1, "lanes": 2}
KEYS = Keys("tone")


@contextlib.asynccontextmanager
async def town(
    url: str, redis: Redis, hosts: int = 2, options: Options = SLOW
) -> AsyncIterator[tuple[Gateway, list[Hosted]]]:
    """A gateway and some workers."""
    async with contextlib.AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(hosted(redis, options)) for _ in range(hosts)]
        here = await stack.enter_async_context(gateway(url, workers[0].pool))
        await until(lambda: here.pool.stats().workers == hosts)
        yield here, workers


async def holder(workers: list[Hosted]) -> Hosted:
    """Who makes a block."""
    await until(lambda: any(each.pool.stats().running for each in workers))
    return next(each for each in workers if each.pool.stats().running)


@pytest.mark.nightly
async def test_a_block_whose_worker_is_lost_goes_on_without_a_seam(redis_url: str, remote: Redis) -> None:
    async with town(redis_url, remote) as (here, workers):
        listener = Listener()
        here.pool.submit(job(TEXT), time.monotonic(), listener)
        await until(lambda: len(listener.slices) >= 3)
        await (await holder(workers)).close()  # and it says nothing more
        await listener.ended.wait()
        assert listener.heard == expected(job(TEXT))
        assert here.pool.stats().retries == 1
        await until(lambda: here.pool.stats().workers == 1)


@pytest.mark.nightly
async def test_a_worker_that_slept_through_its_lease_says_nothing(redis_url: str, remote: Redis) -> None:
    async with town(redis_url, remote) as (here, workers):
        listener = Listener()
        here.pool.submit(job(TEXT), time.monotonic(), listener)
        zombie = await holder(workers)
        await until(lambda: bool(listener.slices))
        await end([zombie.working])
        (other,) = (each for each in workers if each is not zombie)
        await until(lambda: other.host.counts["taken"] == 1)
        zombie.wake()
        await listener.ended.wait()
        assert listener.heard == expected(job(TEXT))
        await until(lambda: bool(zombie.host.counts["refused"]) and not zombie.pool.stats().running)
        assert other.host.counts["lost"] == 0


@pytest.mark.nightly
async def test_a_worker_that_drains_finishes_what_it_holds_and_takes_nothing_more(
    redis_url: str, remote: Redis
) -> None:
    async with town(redis_url, remote) as (here, workers):
        held, later = Listener(), Listener()
        here.pool.submit(job(TEXT), time.monotonic(), held)
        draining = await holder(workers)
        leaving = asyncio.create_task(draining.host.drain(60.0))
        await until(lambda: here.pool.stats().workers == 1)
        here.pool.submit(job(), time.monotonic(), later)
        await leaving
        await asyncio.gather(held.ended.wait(), later.ended.wait())
        assert (held.heard, later.heard) == (expected(job(TEXT)), expected(job()))
        assert draining.host.counts["taken"] == 1
        assert here.pool.stats().retries == 0


@pytest.mark.nightly
async def test_what_outlasts_the_drain_is_given_to_another(redis_url: str, remote: Redis) -> None:
    async with town(redis_url, remote) as (here, workers):
        listener = Listener()
        here.pool.submit(job(TEXT), time.monotonic(), listener)
        await until(lambda: bool(listener.slices))
        draining = await holder(workers)
        await draining.host.drain(0.0)
        await listener.ended.wait()
        assert listener.heard == expected(job(TEXT))
        assert draining.host.counts["released"] == 1


@pytest.mark.nightly
async def test_a_redis_that_forgot_everything_is_told_again(redis_url: str, remote: Redis) -> None:
    async with town(redis_url, remote) as (here, _):
        listeners = [Listener() for _ in range(3)]
        for each in listeners:
            here.pool.submit(job(TEXT), time.monotonic(), each)
        await until(lambda: all(each.slices for each in listeners))
        await remote.flushdb()
        for each in listeners:
            await each.ended.wait()
        assert all(each.heard == expected(job(TEXT)) for each in listeners)


@pytest.mark.nightly
async def test_answers_that_were_lost_are_made_again(redis_url: str, remote: Redis) -> None:
    async with town(redis_url, remote, 1) as (here, _):
        listener = Listener()
        here.pool.submit(job(TEXT), time.monotonic(), listener)
        await until(lambda: bool(listener.slices))
        stream = KEYS.answers(here.exchange.gateway)
        found: Any = await remote.xrange(stream)
        for id, _ in found:
            await remote.xdel(stream, id)
        flight = next(iter(here.pool._flights.values()))
        flight.seq -= 1  # as if one had been cut off before it was read
        await listener.ended.wait()
        assert listener.heard == expected(job(TEXT))
        assert here.pool.stats().retries == 1


async def test_without_any_worker_it_is_busy_and_says_for_how_long(redis_url: str, remote: Redis) -> None:
    async with town(redis_url, remote, 1, {"rtf": 0.5}) as (here, (only,)):
        listener = Listener()
        here.pool.submit(job(TEXT), time.monotonic(), listener)
        await until(lambda: only.pool.stats().running == 1)
        await only.close()
        await listener.ended.wait()
        assert isinstance(listener.error, Busy)
        assert listener.error.retry_after_ms == 1_000
        with pytest.raises(Busy) as caught:
            here.pool.submit(job(), time.monotonic(), Listener())
        assert caught.value.retry_after_ms == 1_000


async def test_a_block_that_is_cancelled_is_no_lease_lost(redis_url: str, remote: Redis) -> None:
    async with hosted(remote, {"rtf": 1.0}, lease_s=60.0) as only, gateway(redis_url, only.pool) as here:
        ticket = here.pool.submit(job(TEXT), time.monotonic(), Listener())
        await until(lambda: only.pool.stats().running == 1)
        here.pool.cancel(ticket)
        await until(lambda: only.pool.stats().running == 0)
        assert only.host.counts["lost"] == 0


@pytest.mark.nightly
async def test_a_block_that_no_engine_outlives_fails_alone(redis_url: str, remote: Redis) -> None:
    async with town(redis_url, remote, 2, {"crash_on": "poison", "rtf": 0.001}) as (here, _):
        poison, *others = [Listener() for _ in range(4)]
        for each in others:
            here.pool.submit(job(TEXT), time.monotonic() + 60, each)
        here.pool.submit(job("some poison here"), time.monotonic(), poison)
        for each in (poison, *others):
            await each.ended.wait()
        assert isinstance(poison.error, EngineFailed)
        assert all(each.heard == expected(job(TEXT)) for each in others)


@pytest.mark.nightly
async def test_a_gateway_that_dies_frees_its_workers(redis_url: str, remote: Redis) -> None:
    async with hosted(remote, {"rtf": 1.0}) as only, gateway(redis_url, only.pool, alive_s=0.5) as dying:
        dying.pool.submit(job(TEXT), time.monotonic(), Listener())
        await until(lambda: only.pool.stats().running == 1)
        await end(dying.tasks)
        await until(lambda: only.pool.stats().running == 0)
        assert await remote.hlen(KEYS.jobs) == 0


def test_an_answer_is_next_or_stale_or_tells_of_a_gap() -> None:
    flight = Flight(Ticket(1, job(), 0.0, Listener()), b"", "due", 0.0)
    flight.ticket.attempts = 1
    assert [flight.judge(1, seq, 0.0) for seq in (0, 0, 1, 3)] == [
        Verdict.NEXT, Verdict.STALE, Verdict.NEXT, Verdict.GAP,
    ]  # fmt: skip
    assert flight.judge(2, 0, 0.0) is Verdict.NEXT
    assert flight.ticket.attempts == 2
    assert flight.judge(1, 2, 0.0) is Verdict.STALE
    assert flight.job("g") == "g.1.0"
    flight.again("live", 0.0)
    assert (flight.job("g"), flight.rung, flight.ticket.attempts) == ("g.1.1", "live", 3)
