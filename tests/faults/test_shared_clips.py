"""What was spoken is kept beyond the gateway that made it, for the other gateways, and is made by one of them only."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.faults.listener import Listener
from tests.faults.serving import Server, serving

TEXT = "The first block is this one here. The second block is quite another one, and a little longer, too."
RENDERED = "voicewire_pool_rendered_seconds_total"
FAST: dict[str, Any] = {
    "journal_ms": 10,
    "cache_wait_ms": 10_000,
    "key_pepper": "p" * 32,
}  # a machine that stalls is not what is tested
LISTENERS = 25

pytestmark = pytest.mark.nightly  # `tests/cache/test_gateways.py` shows it in one process, in a second


def speak(context: str, text: str = TEXT) -> dict[str, Any]:
    return {"type": "speak", "context": context, "text": text, "lead_ms": 30_000}


async def hear(server: Server, text: str = TEXT) -> Listener:
    async with Listener(server.url, [speak("c", text)]) as listener:
        await listener.hear_all()
    return listener


def audio(listener: Listener) -> list[bytes]:
    return [packet for _, _, packet in listener.told["c"].frames]


async def test_a_restart_forgets_nothing(tmp_path: Path, redis_url: str, postgres_url: str) -> None:
    settings = FAST | {"redis_url": redis_url, "postgres_url": postgres_url}
    async with serving(tmp_path, **settings) as server:
        first = await hear(server)
        await server.metric_becomes("voicewire_cache_written_total", 4)  # of each block the clip, and the take
        await server.end(signal.SIGKILL)
    async with serving(tmp_path, **settings) as server:
        again = await hear(server)
        assert await server.metric(RENDERED) == 0
        assert await server.metric("voicewire_cache_hits_total") == 2
    assert audio(again) == audio(first)
    assert again.told["c"].end
    assert again.told["c"].end["type"] == "done"


async def test_of_two_gateways_one_makes_what_both_want(tmp_path: Path, redis_url: str, postgres_url: str) -> None:
    settings = FAST | {"redis_url": redis_url, "postgres_url": postgres_url, "cache_dir": str(tmp_path / "cache")}
    async with (
        serving(tmp_path / "one", tone={"rtf": 0.05}, **settings) as one,
        serving(tmp_path / "two", tone={"rtf": 0.05}, **settings) as two,
    ):
        alone = await hear(one, "What nobody else says.")
        before_s = await one.metric(RENDERED)
        heard = await asyncio.gather(*(hear(server) for server in (one, two) for _ in range(LISTENERS)))
        rendered_s = await one.metric(RENDERED) - before_s + await two.metric(RENDERED)
        waited = sum([await server.metric("voicewire_clips_waited_total") for server in (one, two)])
        assert await asyncio.gather(hear(two, "What nobody else says."))
        assert await two.metric("voicewire_cache_hits_total") >= 1
    assert all(audio(each) == audio(heard[0]) for each in heard)
    done = heard[0].told["c"].end
    assert done
    assert rendered_s == pytest.approx(done["audio_ms"] / 1000)  # once, by both together
    assert waited >= 1
    assert audio(alone)


async def test_what_a_killed_gateway_was_making_the_other_makes(
    tmp_path: Path, redis_url: str, postgres_url: str
) -> None:
    settings = FAST | {"redis_url": redis_url, "postgres_url": postgres_url, "cache_dir": str(tmp_path / "cache")}
    async with (
        serving(tmp_path / "one", tone={"rtf": 1.0}, **settings) as one,
        serving(tmp_path / "two", **settings) as two,
    ):
        dying = asyncio.create_task(hear(one))
        while not await one.metric("voicewire_pool_running"):
            await asyncio.sleep(0.02)
        waiting = asyncio.create_task(hear(two))
        await one.end(signal.SIGKILL)
        dying.cancel()
        listener = await waiting
    assert listener.told["c"].end
    assert listener.told["c"].end["type"] == "done"
