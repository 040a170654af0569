"""Thousands of strange messages in every dialect, at a real server, while somebody else is listening to it."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect

from tests.fuzz.attackers import OPTIONS, WAIT_S, Attacker
from tests.fuzz.dialects import NAMES, dialects
from tests.fuzz.gateway import Watched, watched
from tests.fuzz.mutations import HUGE_CHARS, LONG_CHARS
from tests.ports import free_port

SEED = 20_261_121
FEW, MANY = 150, 10_000
SIDES = 3  # connections at once
GROWN_BYTES_MAX = 96 << 20
STRANGE_SHARE = 0.05  # of what was said, at least so much was answered by an error or a close
SENTENCE = "Nobody else is to hear of it."
SETTINGS = {
    "VOICEWIRE_TEXT_CHARS_MAX": str(LONG_CHARS // 2),
    "VOICEWIRE_BODY_BYTES_MAX": str(HUGE_CHARS // 2),
    "VOICEWIRE_CACHE": "noop",
    "VOICEWIRE_CACHE_BYTES": "0",  # all of it is made
}


@pytest.fixture(scope="module")
def target() -> Iterator[tuple[Watched, int]]:
    port = free_port()
    with watched({**SETTINGS, "VOICEWIRE_WYOMING_PORT": str(port)}) as server:
        yield server, port


async def listened(server: Watched, until: asyncio.Event) -> set[bytes]:
    """Somebody else, who has one sentence spoken again and again: return what was heard, which is always the same."""
    heard = set()
    headers = {"Authorization": f"Bearer {server.key}"}
    async with connect(f"{server.socket_url}/v1/stream", additional_headers=headers, **OPTIONS) as stream:
        assert json.loads(await stream.recv())["type"] == "ready"
        while True:
            over = until.is_set()  # once more behind the last strange message
            pcm = {"codec": "pcm_s16le", "rate": 16_000}
            await stream.send(json.dumps({"type": "speak", "context": "a", "text": SENTENCE, "format": pcm}))
            audio = b""
            async with asyncio.timeout(WAIT_S):
                while isinstance(said := await stream.recv(), bytes) or json.loads(said)["type"] != "done":
                    assert isinstance(said, bytes) or json.loads(said)["type"] in {"opened", "block", "words"}, said
                    audio += said[12:] if isinstance(said, bytes) else b""
            heard.add(audio)
            if over:
                return heard


@asynccontextmanager
async def somebody_else(server: Watched) -> AsyncIterator[None]:
    until = asyncio.Event()
    listening = asyncio.create_task(listened(server, until))
    try:
        yield
    finally:
        until.set()
        heard = await listening
    assert len(heard) == 1
    assert heard.pop().strip(b"\x00")


async def besiege(server: Watched, dialect: Attacker, seed: int, most: int) -> Counter[str]:
    """Say about `most` messages over several connections at once; return what came back."""
    found: Counter[str] = Counter()

    async def side(number: int) -> None:
        chance = random.Random(f"{seed}-{number}")
        while found["said"] < most:
            found.update(await dialect.attack(server, chance, most - found["said"]))

    async with asyncio.TaskGroup() as group:
        for number in range(SIDES):
            group.create_task(side(number))
    return found


async def attacked(target: tuple[Watched, int], name: str, seed: int, most: int) -> Counter[str]:
    """The whole of it for one dialect."""
    server, port = target
    dialect = dialects(port)[name]
    print(f"VOICEWIRE_FUZZ_SEED={seed}", name)
    logged, spoken = server.log.stat().st_size, await dialect.speak(server)
    assert spoken.strip(b"\x00\xff")
    before_bytes = server.memory_bytes()
    async with somebody_else(server):
        found = await besiege(server, dialect, seed, most)
    print(dict(found), f"{(server.memory_bytes() - before_bytes) >> 20} MiB more")
    assert await dialect.speak(server) == spoken
    assert server.memory_bytes() - before_bytes < GROWN_BYTES_MAX
    said = server.log.read_text(encoding="utf-8")[logged:]
    assert "Traceback" not in said, said[-10_000:]
    assert " ERROR " not in said, said[-10_000:]
    assert server.key not in said
    return found


@pytest.mark.parametrize("name", NAMES)
async def test_some_strange_messages(target: tuple[Watched, int], name: str) -> None:
    found = await attacked(target, name, SEED, FEW)
    assert found["said"] >= FEW
    assert found.total() - found["said"] - found["spoken"] > STRANGE_SHARE * found["said"], "they were strange"


@pytest.mark.nightly
@pytest.mark.parametrize("name", NAMES)
async def test_ten_thousand_strange_messages(target: tuple[Watched, int], name: str) -> None:
    seed = int(os.environ.get("VOICEWIRE_FUZZ_SEED") or random.SystemRandom().randrange(1 << 32))
    found = await attacked(target, name, seed, MANY)
    assert found["said"] >= MANY
