"""Workers elsewhere are killed, stopped, poisoned and gone, and gateways die: nobody hears a hole, or pays twice."""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import redis_server
from tests.faults.listener import Listener
from tests.faults.serving import KEY, Server, serving
from tests.faults.test_resume import FAST, hear, speak
from tests.faults.workers import Worker, staff, start_worker

TEXT = "One two, three. Four five six. Seven eight nine ten. "  # no first block is shorter, however many wait
LONGER = f"{TEXT}Eleven twelve thirteen fourteen fifteen sixteen. "
SLOW: dict[str, Any] = {"rtf": 0.3, "lanes": 2}
KILLS, STREAMS = 20, 40
POISON = "poison"


@asynccontextmanager
async def shared_redis(folder: Path) -> AsyncIterator[str]:
    """A Redis for gateways and workers alike."""
    folder.mkdir()
    socket = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(redis_server(), *options, stdout=quiet)
    try:
        async with asyncio.timeout(10):
            while not socket.exists():
                await asyncio.sleep(0.02)
        yield f"unix://{socket}"
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def town(folder: Path, workers: int, **tone: Any) -> AsyncIterator[tuple[Server, list[Worker], str]]:
    """A gateway without an engine, and workers."""
    async with shared_redis(folder / "r") as url, staff(url, folder / "w", workers, **SLOW | tone) as staffed:
        settings: dict[str, Any] = FAST | {
            "engines": "none",
            "redis_url": url,
            "cache_bytes": 0,
            "queue_wait_ms": 60_000,
        }
        async with serving(folder / "gateway", **settings) as server:
            yield server, staffed, url


def own(text: str = TEXT, **options: Any) -> dict[str, Any]:
    """A request that shares no work with any other: the tone engine has no use for seeds."""
    return speak(text=text, seed=secrets.randbelow(1 << 31), **options)


@asynccontextmanager
async def begun(
    url: str, count: int, text: str = TEXT, frames: int = 5, **options: Any
) -> AsyncIterator[list[Listener]]:
    """So many listeners, each with some frames heard."""
    async with AsyncExitStack() as stack:
        made = [Listener(url, [own(text, **options)]) for _ in range(count)]
        listeners = [await stack.enter_async_context(each) for each in made]
        await asyncio.gather(*(listener.connect() for listener in listeners))
        await asyncio.gather(*(listener.hear_frames("c1", frames) for listener in listeners))
        yield listeners


async def billed_ms(server: Server, expected_ms: int) -> int:
    """What was billed altogether, in PostgreSQL, as soon as that is what is expected."""
    async with httpx.AsyncClient(trust_env=False, headers={"X-API-Key": KEY}) as client:
        for _ in range(100):
            found = int((await client.get(f"{server.url}/v1/usage")).json()["total"]["audio_ms"])
            if found >= expected_ms:
                break
            await asyncio.sleep(0.1)
    return found


def refused_ms(listener: Listener) -> int:
    """For how long somebody was sent away before anything was heard; 0: not at all."""
    told = listener.told["c1"]
    assert told.end
    return 0 if told.frames or told.end.get("code") != "busy" else int(told.end["retry_after_ms"])


def alike(listeners: list[Listener], whole: Listener) -> None:
    for listener in listeners:
        end = listener.told["c1"].end
        assert end
        assert end["type"] == "done", str(end)
        assert listener.told["c1"].outcome() == whole.told["c1"].outcome()


async def test_a_killed_worker_costs_a_pause_and_no_more(tmp_path: Path) -> None:
    async with town(tmp_path, 2) as (server, workers, _):
        whole = await hear(server.url, [own()])
        async with begun(server.url, 4) as listeners:
            workers[0].harm(signal.SIGKILL)
            await asyncio.gather(*(listener.hear() for listener in listeners))
        alike(listeners, whole)
        assert await server.metric("voicewire_pool_failed_total") == 0
        assert await server.metric("voicewire_pool_retries_total") > 0


@pytest.mark.nightly
async def test_twenty_kills_under_forty_streams(tmp_path: Path) -> None:
    async with town(tmp_path, 4, rtf=0.05, lanes=4) as (server, workers, url):
        whole = await hear(server.url, [own(LONGER)])
        told: list[Listener] = [whole]
        dice = random.Random(5)

        async def listen() -> None:
            while len(told) < 5 * STREAMS or not killing.done():
                heard = await hear(server.url, [own(LONGER)])
                if wait_ms := refused_ms(heard):
                    await asyncio.sleep(wait_ms / 1000)
                else:
                    told.append(heard)

        async def kill() -> None:
            for _ in range(KILLS):
                await asyncio.sleep(1.0)
                worker = workers.pop(dice.randrange(len(workers)))
                await worker.end(signal.SIGKILL)
                workers.append(await start_worker(url, tmp_path / "w", **SLOW | {"rtf": 0.05, "lanes": 4}))

        killing = asyncio.create_task(kill())
        await asyncio.gather(*(listen() for _ in range(STREAMS)))
        await killing
        alike(told, whole)
        assert await server.metric("voicewire_pool_failed_total") == 0
        assert await server.metric("voicewire_pool_retries_total") >= KILLS
        ends = [listener.told["c1"].end for listener in told]
        total_ms = sum(end["audio_ms"] for end in ends if end)
        assert await billed_ms(server, total_ms) == total_ms


@pytest.mark.nightly
async def test_a_stopped_worker_that_goes_on_later_delivers_nothing_stale(tmp_path: Path) -> None:
    async with town(tmp_path, 2) as (server, workers, _):
        whole = await hear(server.url, [own(LONGER)])
        async with begun(server.url, 4, LONGER) as listeners:
            workers[0].harm(signal.SIGSTOP)
            await asyncio.gather(*(listener.hear() for listener in listeners))
        workers[0].harm(signal.SIGCONT)
        later = await asyncio.gather(*(hear(server.url, [own(LONGER)]) for _ in range(4)))
        alike([*listeners, *later], whole)
        assert await server.metric("voicewire_pool_retries_total") > 0
        assert await workers[0].end() == 0, "and it can still be told to end"


@pytest.mark.nightly
async def test_a_poisonous_block_fails_alone(tmp_path: Path) -> None:
    async with town(tmp_path, 2, crash_on=POISON) as (server, _, __):
        whole = await hear(server.url, [own()])
        async with begun(server.url, 3) as listeners:
            poisoning = asyncio.create_task(hear(server.url, [own(f"One {POISON} two.")]))
            await asyncio.gather(*(listener.hear() for listener in listeners))
            poisoned = await poisoning
        alike(listeners, whole)
        end = poisoned.told["c1"].end
        assert end
        assert (end["type"], end["code"]) == ("error", "engine_failed")


@pytest.mark.nightly
async def test_without_workers_it_is_busy_until_one_comes(tmp_path: Path) -> None:
    async with town(tmp_path, 1) as (server, workers, url):
        whole = await hear(server.url, [own()])
        await workers.pop().end(signal.SIGKILL)
        await server.metric_becomes("voicewire_pool_workers", 0)
        refused = await hear(server.url, [own()])
        end = refused.told["c1"].end
        assert end
        assert (end["type"], end["code"], end["retryable"]) == ("error", "busy", True)
        assert end["retry_after_ms"] > 0
        workers.append(await start_worker(url, tmp_path / "w", **SLOW))
        await server.metric_becomes("voicewire_pool_workers", 1)
        alike([await hear(server.url, [own()])], whole)


@pytest.mark.nightly
async def test_a_worker_that_is_told_to_end_finishes_first(tmp_path: Path) -> None:
    async with town(tmp_path, 2) as (server, workers, _):
        whole = await hear(server.url, [own(LONGER)])
        async with begun(server.url, 4, LONGER) as listeners:
            assert await workers.pop().end() == 0
            await asyncio.gather(*(listener.hear() for listener in listeners))
        alike(listeners, whole)
        assert await server.metric("voicewire_pool_retries_total") == 0


@pytest.mark.nightly
async def test_listeners_of_a_killed_gateway_go_on_on_the_other(tmp_path: Path, postgres_url: str) -> None:
    tone = {"rtf": 0.05, "lanes": 8}
    async with shared_redis(tmp_path / "r") as url, staff(url, tmp_path / "w", 2, **tone):
        shared = {"redis_url": url, "postgres_url": postgres_url, "key_pepper": "p" * 32, "jwt_secret": "s" * 32}
        settings: dict[str, Any] = FAST | {"engines": "none", "cache_bytes": 0, "lead_ms": 500} | shared
        for name in "ab":
            (tmp_path / name).mkdir()
        async with serving(tmp_path / "a", **settings) as first, serving(tmp_path / "b", **settings) as second:
            whole = await hear(second.url, [own(LONGER, lead_ms=500)])
            async with begun(first.url, STREAMS, LONGER, 20, lead_ms=500) as listeners:
                await asyncio.sleep(0.2)  # for the journal
                await first.end(signal.SIGKILL)
                for listener in listeners:
                    listener.move(second.url)
                await asyncio.gather(*(listener.hear_all() for listener in listeners))
            alike(listeners, whole)
