"""A lost connection goes on where it broke off: the same bytes at the same positions, or it is said that it cannot."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.listener import Listener
from tests.faults.proxy import Break, Harm, fault_proxy
from tests.faults.serving import Server, serving

TEXT = (
    "The quick brown fox jumps over the lazy dog. It costs $4.50 today, doesn't it? Well... yes! "
    "A second paragraph begins here, and it is somewhat longer than the first.\n\nIt ends with a number: 1,024. … !!! "
) * 2
FORMATS: dict[str, dict[str, Any]] = {
    "opus": {"codec": "opus"},
    "opus in bundles": {"codec": "opus", "bundle": 5},
    "pcm": {"codec": "pcm_s16le", "rate": 16_000},
    "mulaw": {"codec": "mulaw", "bundle": 3},
}
FAST: dict[str, Any] = {"lead_ms_max": 600_000, "prefetch_ms": 60_000, "resume_bytes_max": 16 << 20}


def speak(context: str = "c1", text: str = TEXT, **options: Any) -> dict[str, Any]:
    return {"type": "speak", "context": context, "text": text, "lead_ms": 600_000} | options


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path / "data", **FAST) as started:
        yield started


async def hear(url: str, speaks: Sequence[dict[str, Any]], **more: Any) -> Listener:
    async with Listener(url, speaks, **more) as listener:
        await listener.hear_all()
    return listener


def harms(chance: random.Random, count: int, mean_bytes: int) -> list[Harm]:
    """Breaks of every kind, anywhere, some amid the handshake."""
    return [Harm(1 + int(chance.expovariate(1 / mean_bytes)), chance.choice(list(Break))) for _ in range(count)]


async def cut_and_compare(server: Server, format: dict[str, Any], count: int, seed: int) -> int:
    """Break two contexts of one session so often; return how many breaks there were."""
    speaks = [speak("a", format=format), speak("b", TEXT[40:160], format=format)]
    whole = await hear(server.url, speaks)
    size = sum(len(packet) for told in whole.told.values() for _, _, packet in told.frames)
    plan = harms(random.Random(seed), count, size // count)
    async with fault_proxy(server.url, plan, seed=seed) as proxy:
        broken = await hear(proxy.url, speaks, proxy=proxy)
        for name, told in broken.told.items():
            assert told.outcome() == whole.told[name].outcome()
        return proxy.breaks


@pytest.mark.parametrize("cache_bytes", [0, 64 << 20])
async def test_broken_anywhere_the_frames_are_those_of_the_uncut_run(tmp_path: Path, cache_bytes: int) -> None:
    async with serving(tmp_path, cache_bytes=cache_bytes, **FAST) as server:
        breaks = [await cut_and_compare(server, format, 4, seed) for seed, format in enumerate(FORMATS.values())]
    assert sum(breaks) >= 10


@pytest.mark.slow
async def test_two_hundred_breaks_lose_and_double_nothing(tmp_path: Path) -> None:
    breaks, seed, formats = 0, 100, list(FORMATS.values())
    async with serving(tmp_path, cache_bytes=0, tone={"rtf": 0.01}, **FAST) as server:
        while breaks < 200:
            breaks += await cut_and_compare(server, formats[seed % len(formats)], 10, seed)
            seed += 1
