"""Two gateways that share a folder and a Redis, each with an engine of its own: what both want, one of them makes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.engines.pooled import new_pool
from tests.storage.test_flight import end
from tests.test_forms import OPUS
from tests.test_forms import heard as in_format
from tests.test_synthesis import TEXT, order_of, recite
from voicewire.cache.fs import FsBackend
from voicewire.cache.shelf import Shelf
from voicewire.clips import Clips
from voicewire.engines.pooling import Pool
from voicewire.pipeline import Pipeline
from voicewire.storage.flight import Flight

PATIENT_S = 60.0
LISTENERS = 50


@dataclass(frozen=True)
class Gateway:
    """What of one is needed here."""

    pool: Pool
    pipeline: Pipeline
    running: list[asyncio.Task[None]]

    @property
    def made_ms(self) -> int:
        return self.pool.stats().rendered_ms

    async def die(self) -> None:
        """End as if killed: nothing is renewed, written or told any more."""
        await end(*self.running)


@asynccontextmanager
async def started(folder: Path, redis: Redis, rtf: float) -> AsyncIterator[Gateway]:
    async with AsyncExitStack() as stack:
        pool = new_pool({"rtf": rtf})
        await pool.start()
        stack.push_async_callback(pool.close)
        backend = FsBackend(folder, 1 << 24, shared=True)
        await backend.open()
        stack.push_async_callback(backend.close)
        shelf, flight = Shelf(backend, look_s=PATIENT_S), Flight(redis, wait_s=PATIENT_S)
        running = [*map(asyncio.create_task, (shelf.run(), flight.renew(), flight.poll()))]
        gateway = Gateway(pool, Pipeline({"tone": pool}, Clips(1 << 20), shelf, flight), running)
        stack.push_async_callback(gateway.die)
        yield gateway


@pytest.mark.parametrize("rtf", [0.02, pytest.param(0.0, marks=pytest.mark.nightly)])
async def test_what_both_want_is_made_once(tmp_path: Path, redis: Redis, rtf: float) -> None:
    async with started(tmp_path, redis, rtf) as one, started(tmp_path, redis, rtf) as two:
        heard = await asyncio.gather(*(recite(each.pipeline) for each in (one, two) for _ in range(LISTENERS)))
        assert all(each == heard[0] for each in heard)
        assert one.made_ms + two.made_ms == 20 * len(heard[0])
        assert await in_format(one.pipeline, OPUS) == await in_format(two.pipeline, OPUS)
        assert one.made_ms + two.made_ms == 20 * len(heard[0])  # by no engine
        await one.pipeline.shelf.drain()
        await two.pipeline.shelf.drain()
        third = FsBackend(tmp_path, 1 << 24)
        await third.open()
        await third.refresh()
        assert third.held.clips == 6  # of each block two clips, and the take
        await third.close()


async def test_what_a_dead_gateway_was_making_the_other_makes(tmp_path: Path, redis: Redis) -> None:
    async with started(tmp_path, redis, 0.0) as other:
        order = order_of(text=TEXT)
        dead = Flight(redis)
        assert await dead.lead(other.pipeline.key(order))  # and it never runs
        waiting = asyncio.create_task(recite(other.pipeline))
        while not other.pipeline.joined:
            again = asyncio.create_task(recite(other.pipeline))
            await asyncio.sleep(0.05)
        assert other.made_ms == 0
        [name] = await redis.keys("*flight*")
        await redis.pexpire(name, 100)
        assert 20 * len(await waiting) == other.made_ms > 0
        assert await again


async def test_without_redis_both_speak_all_the_same(tmp_path: Path) -> None:
    away = Redis.from_url("redis://127.0.0.1:1")
    async with started(tmp_path, away, 0.0) as one, started(tmp_path, away, 0.0) as two:
        heard = await asyncio.gather(recite(one.pipeline), recite(two.pipeline))
        assert heard[0] == heard[1]
    await away.aclose()
