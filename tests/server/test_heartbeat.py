"""What a gateway says of itself, over a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from voicewire.remote.presence import Beat, Fleet, Member
from voicewire.remote.scripts import FleetCalls
from voicewire.remote.turns import end
from voicewire.server import heartbeat as module
from voicewire.server.heartbeat import Heartbeat
from voicewire.storage.redis import open_redis

PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.01)


@contextlib.asynccontextmanager
async def beating(heartbeat: Heartbeat) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(heartbeat.run())
    try:
        yield task
    finally:
        await end([task])


async def seen(fleet: Fleet, streams: int) -> Member:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for member in await fleet.members():
                if member.beat.streams == streams:
                    return member
            await asyncio.sleep(0.01)


async def test_it_says_how_things_are_until_it_leaves(redis: Redis) -> None:
    fleet, streams = Fleet(redis, FleetCalls()), [0]
    heartbeat = Heartbeat(fleet, "g1", lambda: Beat(kind="gateway", streams=len(streams)))
    async with beating(heartbeat):
        assert (await seen(fleet, 1)).name == "g1"
        streams.append(0)
        assert (await seen(fleet, 2)).beat.kind == "gateway", "what is said is of that moment"
    await heartbeat.leave()
    assert await fleet.members() == []


async def test_without_redis_it_tries_again(redis: Redis, tmp_path: Path) -> None:
    said = asyncio.Semaphore(0)

    def beat() -> Beat:
        said.release()
        return Beat(kind="gateway")

    away = open_redis(f"unix://{tmp_path}/none.sock")
    heartbeat = Heartbeat(Fleet(away, FleetCalls()), "g1", beat)
    async with beating(heartbeat) as task, asyncio.timeout(PATIENCE_S):
        for _ in range(3):
            await said.acquire()
        assert not task.done()
    await heartbeat.leave()
    await away.aclose()
    assert await Fleet(redis, FleetCalls()).members() == []
