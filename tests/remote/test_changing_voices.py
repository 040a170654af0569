"""Voices that come and go while an engine is open: its pool hears of it, and from its worker every gateway."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.engines.pooled import LONG, Listener, job, new_pool, until
from tests.remote.running import hosted
from voicewire.engines.pool import LocalPool
from voicewire.remote.presence import Fleet
from voicewire.remote.scripts import FleetCalls

CHANGING = "tests.engines.changing:open_engine"


def has(path: Path, *ids: str) -> None:
    """Say what there is, at once."""
    beside = path.with_suffix(".new")
    beside.write_text(" ".join(ids))
    beside.replace(path)


def ids(pool: LocalPool) -> list[str]:
    return [voice.id for voice in pool.voices]


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_pool_has_the_voices_that_its_engine_has_now(tmp_path: Path, workers: int) -> None:
    path = tmp_path / "voices"
    has(path, "middle", "low")
    pool = new_pool({"path": str(path)}, workers, factory=CHANGING)
    await pool.start()
    try:
        assert ids(pool) == ["middle", "low"]
        listener = Listener()
        pool.submit(job(LONG), time.monotonic(), listener)
        has(path, "middle")
        await until(lambda: ids(pool) == ["middle"])
        has(path, "high", "middle")
        await until(lambda: ids(pool) == ["middle", "high"])
        async with asyncio.timeout(30):
            await listener.ended.wait()
        assert listener.error is None
        has(path)
        await until(lambda: ids(pool) == [])
    finally:
        await pool.close()


async def test_gateways_hear_what_a_worker_elsewhere_has_now(remote: Redis, tmp_path: Path) -> None:
    path, fleet = tmp_path / "voices", Fleet(remote, FleetCalls())
    has(path, "middle", "low")

    async def said(*expected: str) -> None:
        async with asyncio.timeout(30):
            while [[*expected]] != [[voice.id for voice in each.beat.voices] for each in await fleet.members()]:
                await asyncio.sleep(0.05)

    async with hosted(remote, {"path": str(path)}, factory=CHANGING):
        await said("middle", "low")
        has(path, "low")
        await said("low")
