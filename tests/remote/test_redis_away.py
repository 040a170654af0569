"""A gateway's end of the queue while Redis is away, or is not the one that it was: no block waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.engines.pooled import Listener, expected, job, until
from tests.remote.running import gateway, hosted
from voicewire.engines.tone import open_engine
from voicewire.errors import Busy
from voicewire.remote import exchange as exchanges
from voicewire.remote.exchange import Exchange
from voicewire.remote.keys import Keys
from voicewire.remote.presence import Beat, Member
from voicewire.remote.remote_pool import RemotePool
from voicewire.remote.turns import end
from voicewire.storage.redis import open_redis

NOBODY = "redis://127.0.0.1:1"
TONE, VOICES = open_engine().model, tuple(open_engine().voices())
WORKER = Member("w", 0.0, Beat(kind="worker", lanes=2))
KEYS = Keys("tone")


@contextlib.asynccontextmanager
async def exchanging(url: str) -> AsyncIterator[Exchange]:
    redis = open_redis(url)
    exchange = Exchange(redis)
    running = asyncio.create_task(exchange.run())
    yield exchange
    await end([running])
    await exchange.close()
    await redis.aclose()


@contextlib.asynccontextmanager
async def staffed(exchange: Exchange, model: str = "tone", no_worker_s: float = 60.0) -> AsyncIterator[RemotePool]:
    """A pool that has seen a worker once, who takes nothing."""
    pool = RemotePool(replace(TONE, id=model), VOICES, exchange, queue_limit=10, no_worker_s=no_worker_s)
    await pool.start()
    pool.staffed([WORKER], 1)
    yield pool
    await pool.close()


async def test_blocks_of_every_model_are_busy_once_nobody_can_be_asked_for_long() -> None:
    async with exchanging(NOBODY) as exchange, contextlib.AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(staffed(exchange, model, 0.5)) for model in ("a", "b")]
        listeners = [Listener() for _ in pools]
        for pool, listener in zip(pools, listeners, strict=True):
            pool.submit(job(), time.monotonic(), listener)
        for pool, listener in zip(pools, listeners, strict=True):
            async with asyncio.timeout(20):
                await listener.ended.wait()
            assert isinstance(listener.error, Busy)
            with pytest.raises(Busy):
                pool.submit(job(), time.monotonic(), Listener())
            assert pool.stats().workers == 0
            pool.staffed([WORKER], 1)
            pool.submit(job(), time.monotonic(), Listener())


async def test_a_gateway_that_was_held_up_blames_nobody_for_it() -> None:
    async with exchanging(NOBODY) as exchange:
        listener = Listener()
        pool = RemotePool(TONE, VOICES, exchange, queue_limit=10, no_worker_s=10.0)
        pool.staffed([WORKER], 1)
        pool.submit(job(), time.monotonic(), listener)
        pool.tick(woken := time.monotonic() + 3_600)
        assert listener.error is None
        for second in range(12):
            pool.tick(woken + second)
        assert isinstance(listener.error, Busy)
        await pool.close()


async def test_a_block_that_redis_lost_alone_is_put_there_again(
    redis_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a replica takes over that had not heard of it."""
    monkeypatch.setattr(exchanges, "CHECK_S", 0.05)
    monkeypatch.setattr(exchanges, "SILENT_S", 0.2)
    async with hosted(redis, {"rtf": 0.001}) as there, gateway(redis_url, there.pool) as here:
        await end([there.working])
        listener = Listener()
        here.pool.submit(job(), time.monotonic(), listener)
        async with asyncio.timeout(20):
            while not await redis.hlen(KEYS.jobs):
                await asyncio.sleep(0.01)
        await redis.delete(KEYS.jobs, *(KEYS.queue(rung) for rung in ("due", "live")))
        there.wake()
        async with asyncio.timeout(20):
            await listener.ended.wait()
        assert listener.heard == expected(job())
        assert here.pool.stats().retries == 1


async def test_a_block_that_only_takes_long_is_left_alone(
    redis_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchanges, "CHECK_S", 0.02)
    monkeypatch.setattr(exchanges, "SILENT_S", 0.0)
    async with hosted(redis, {"rtf": 0.3}) as there, gateway(redis_url, there.pool) as here:
        listener = Listener()
        here.pool.submit(job(), time.monotonic(), listener)
        await until(listener.ended.is_set)
        assert listener.heard == expected(job())
        assert here.pool.stats().retries == 0


async def test_a_model_that_comes_back_has_other_names_for_its_blocks(redis_url: str, redis: Redis) -> None:
    """Else what was said of those before would pass for what is said of these."""
    names: list[set[Any]] = []
    async with exchanging(redis_url) as exchange:
        for _ in range(2):
            async with staffed(exchange) as pool:
                pool.submit(job(), time.monotonic(), Listener())
                async with asyncio.timeout(20):
                    while not (found := set(await redis.hkeys(KEYS.jobs))):
                        await asyncio.sleep(0.01)
                names.append(found)
    assert names[0].isdisjoint(names[1])
