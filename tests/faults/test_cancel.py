"""Cancel: nothing follows, what was heard is known, and the engine is free. A worker that dies is not noticed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect as dial

from tests.faults.listener import Listener
from tests.faults.serving import KEY, Server, serving
from tests.faults.test_resume import FAST, TEXT, hear, speak
from voicewire.frames import unpack_audio
from voicewire.tab import REFUND_MS_MAX

SOCKETS = 4
CONTEXTS = 8  # at once on each


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    tone = {"delay_s": 0.001, "rtf": 0.002}
    async with serving(tmp_path / "data", tone=tone, cache_bytes=1 << 20, workers=2, **FAST) as started:
        yield started


class Cancelling:
    """One socket on which contexts are opened and cancelled at random moments; checks all that comes."""

    def __init__(self, seed: int, count: int) -> None:
        self.ended: dict[str, dict[str, Any]] = {}
        self._chance = random.Random(seed)
        self._count = count
        self._channels: dict[int, str] = {}
        self._words: dict[str, list[list[int]]] = {}
        self._sent_ms: dict[str, float] = {}
        self._texts: dict[str, str] = {}
        self._cancelled_at: dict[str, float | None] = {}
        self._freed = asyncio.Semaphore(CONTEXTS)

    async def run(self, url: str) -> None:
        address = url.replace("http", "ws", 1) + "/v1/stream"
        headers = {"Authorization": f"Bearer {KEY}"}
        async with dial(address, additional_headers=headers, compression=None, proxy=None) as socket:
            speaking = asyncio.gather(*(self._speak(socket, f"c{index}") for index in range(self._count)))
            while len(self.ended) < self._count:
                self._take(await socket.recv())
            await speaking
            await socket.send('{"type":"ping"}')
            while (data := await socket.recv()) != '{"type":"pong"}':
                self._take(data)

    async def _speak(self, socket: Any, name: str) -> None:
        chance = self._chance
        async with self._freed:
            at = chance.randrange(len(TEXT) - 60)
            self._texts[name] = TEXT[at : at + chance.randint(5, 200)]
            self._words[name], self._sent_ms[name] = [], 0.0
            await socket.send(json.dumps(speak(name, self._texts[name], lead_ms=chance.choice([200, 600_000]))))
            await asyncio.sleep(chance.choice([0, 0, 0.001, 0.005, 0.02, 0.1]))
            played = chance.choice([None, 0.0, 60.0, float(chance.randint(1, 3_000))])
            self._cancelled_at[name] = played
            cancel = {"type": "cancel", "context": name} | ({} if played is None else {"played_ms": played})
            await socket.send(json.dumps(cancel))
            while name not in self.ended:
                await asyncio.sleep(0.002)

    def _take(self, data: str | bytes) -> None:
        if isinstance(data, bytes):
            channel, _, _, pts, packets = unpack_audio(data)
            name = self._channels[channel]
            assert name not in self.ended, f"audio of {name} came behind its end"
            self._sent_ms[name] = pts / 24 + 20 * len(packets)
            return
        message = json.loads(data)
        name = message.get("context", "")
        if message.get("code") == "unknown_context":  # it was done before the cancel came
            return
        assert name not in self.ended, f"{message} came behind the end"
        match message["type"]:
            case "opened":
                self._channels[message["channel"]] = name
            case "words":
                self._words[name] += message["words"]
            case "done" | "cancelled":
                self.ended[name] = message
                self._check(name, message)

    def _check(self, name: str, end: dict[str, Any]) -> None:
        """The split is at the last word begun before what was played, of the words that came."""
        sent, text = self._sent_ms[name], self._texts[name]
        if end["type"] == "done":
            assert end["audio_ms"] == sent
            return
        asked = self._cancelled_at[name]
        played = sent if asked is None else min(asked, sent)
        assert end["played_ms"] == int(played)
        assert end["billed_ms"] == max(int(played), sent - REFUND_MS_MAX)
        assert end["billed_ms"] + end["refunded_ms"] == sent
        assert end["heard"][0] == 0
        assert end["heard"][1] == end["unheard"][0]
        assert end["unheard"][1] == len(text)
        begun = [word[1] for word in self._words[name] if word[2] < int(played)]
        later = [word[1] for word in self._words[name] if word[2] <= int(played) + 1]
        low, high = (begun or [0])[-1], (later or [0])[-1]
        assert low <= end["heard"][1]
        behind = text[high : end["heard"][1]]
        assert end["heard"][1] == len(text) or not any(map(str.isalnum, behind)), "a word that was not heard"


@pytest.mark.parametrize("interleavings", [200, pytest.param(1_000, marks=pytest.mark.nightly)])
async def test_nothing_follows_cancelled_and_the_engine_is_free(server: Server, interleavings: int) -> None:
    cancelling = [Cancelling(seed, interleavings // SOCKETS) for seed in range(SOCKETS)]
    async with asyncio.timeout(100):
        await asyncio.gather(*(each.run(server.url) for each in cancelling))
    kinds = [end["type"] for each in cancelling for end in each.ended.values()]
    assert len(kinds) == interleavings
    assert kinds.count("cancelled") > interleavings // 4
    await server.metric_becomes("voicewire_pool_running", 0)
    await server.metric_becomes("voicewire_pool_queued", 0)
    assert await server.metric("voicewire_pool_failed_total") == 0


async def test_a_name_that_is_cancelled_and_used_at_once_ends_before_it_begins(server: Server) -> None:
    address = server.url.replace("http", "ws", 1) + "/v1/stream"
    headers = {"Authorization": f"Bearer {KEY}"}
    told = []
    async with dial(address, additional_headers=headers, compression=None, proxy=None) as socket:
        await socket.send(json.dumps(speak("c", TEXT)))
        for _ in range(20):
            while not isinstance(await socket.recv(), bytes):
                pass
            await socket.send('{"type":"cancel","context":"c"}')
            await socket.send(json.dumps(speak("c", TEXT)))
            async with asyncio.timeout(10):
                while (type := type_of(await socket.recv())) != "opened":
                    told.append(type)
            assert "cancelled" in told
            told.clear()


def type_of(data: str | bytes) -> str:
    return "" if isinstance(data, bytes) else json.loads(data)["type"]


@pytest.mark.nightly
async def test_a_cancelled_block_gives_its_worker_back(tmp_path: Path) -> None:
    async with serving(tmp_path, tone={"rtf": 0.5, "lanes": 1}, **FAST) as server:
        address = server.url.replace("http", "ws", 1) + "/v1/stream"
        headers = {"Authorization": f"Bearer {KEY}"}
        async with dial(address, additional_headers=headers, compression=None, proxy=None) as socket:
            await socket.send(json.dumps(speak("c1", TEXT)))
            while not isinstance(await socket.recv(), bytes):
                pass
            assert await server.metric("voicewire_pool_running") == 1
            await socket.send('{"type":"cancel","context":"c1"}')
            await server.metric_becomes("voicewire_pool_running", 0, polls=20)
            await server.metric_becomes("voicewire_pool_queued", 0, polls=1)


def workers(server: Server) -> list[int]:
    """The worker processes of a server."""
    children = (
        Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text(encoding="ascii").split()
    )
    return [int(pid) for pid in children if b"voicewire.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.nightly
async def test_workers_that_die_amid_an_utterance_are_not_noticed(tmp_path: Path) -> None:
    async with serving(tmp_path / "whole", **FAST) as server:
        whole = await hear(server.url, [speak()])
    async with serving(tmp_path / "crash", tone={"rtf": 0.02}, **FAST) as server:
        async with Listener(server.url, [speak()]) as listener:
            await listener.connect()
            for frames in (10, 300):
                await listener.hear_frames("c1", frames)
                for pid in workers(server):
                    os.kill(pid, signal.SIGKILL)
            await listener.hear()
        assert await server.metric("voicewire_pool_restarts_total") == 2
    assert listener.told["c1"].outcome() == whole.told["c1"].outcome()
    assert listener.closes == []


async def test_a_block_that_kills_workers_ends_its_context_only(tmp_path: Path) -> None:
    async with serving(tmp_path, tone={"rtf": 0.01, "crash_on": "poison"}, **FAST) as server:
        poisoned = speak("a", "This is fine. But this poison is not. And this never comes.")
        listener = await hear(server.url, [poisoned, speak("b", TEXT[:100])])
        failed, done = (listener.told[name].end or {} for name in "ab")
        assert (failed["type"], failed["code"], failed["retryable"]) == ("error", "engine_failed", True)
        assert done["type"] == "done"
        assert await server.metric("voicewire_pool_running") == 0
