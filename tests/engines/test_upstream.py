"""What the engines over somebody else's server have in common: waiting, cancelling, connections, bounds, workers."""

from __future__ import annotations

import asyncio
import logging
import select
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.contracts.engine_contract import await_something, heard, speak, waits
from tests.engines import upstream_protocols as protocols
from tests.engines.upstream_protocols import KEY
from tests.engines.upstream_server import WAIT_S, Asked, Handler, UpstreamServer, serving
from voicewire.engines import upstream
from voicewire.engines.base import EngineSpec
from voicewire.engines.openai import open_engine
from voicewire.engines.pool import LocalPool
from voicewire.engines.upstream import BUFFER_SAMPLES, Samples
from voicewire.engines.upstream_engine import UpstreamEngine
from voicewire.engines.voice_list import distinct, parse_voices
from voicewire.errors import Busy, EngineFailed, VoicewireError
from voicewire.types import Format, Job, Slice, Utterance, Voice

PCM = "audio/pcm"


@pytest.fixture
def server() -> Iterator[UpstreamServer]:
    with serving(protocols.openai) as server:
        yield server


@pytest.fixture
def engine(server: UpstreamServer) -> Iterator[UpstreamEngine]:
    engine = open_engine(f"{server.url}/v1", KEY, voices="alloy", lanes=3, timeout_s=WAIT_S)
    yield engine
    engine.close()


def held_back(handler: Handler, asked: Asked) -> None:
    """Texts with "slow" in them are answered when a test says so."""
    if "slow" in asked.body["input"]:
        handler.server.go_on.wait(WAIT_S)
    protocols.openai(handler, asked)


def endless(handler: Handler, _: Asked) -> None:
    with handler.streamed(PCM) as send:
        handler.server.until_left(send, bytes(9_600))


def readable(engine: UpstreamEngine) -> bool:
    return bool(select.select([engine], [], [], 0)[0])


def test_an_utterance_without_an_answer_holds_up_no_other(engine: UpstreamEngine, server: UpstreamServer) -> None:
    server.answer = held_back
    slow = engine.synthesize(Utterance("A slow one.", "alloy"))
    assert waits(engine, next(slow))
    assert len(speak(engine, "A quick one.").pcm) > 0
    assert waits(engine, next(slow))
    assert not readable(engine)
    server.go_on.set()
    await_something(engine)
    first = next(slow)
    assert len(first.pcm) > 0
    assert all(len(chunk.pcm) for chunk in heard(engine, slow))
    assert not readable(engine), "what has ended does not wake anybody"


def test_closing_an_utterance_ends_its_request(engine: UpstreamEngine, server: UpstreamServer) -> None:
    server.answer = endless
    stream = heard(engine, utterance := engine.synthesize(Utterance("Hello.", "alloy")))
    next(stream)
    assert not server.left.is_set()
    utterance.close()
    assert server.left.wait(WAIT_S)
    assert not readable(engine)


def test_closing_an_utterance_that_waits_ends_its_request(engine: UpstreamEngine, server: UpstreamServer) -> None:
    def never(handler: Handler, asked: Asked) -> None:
        server.go_on.set()
        endless(handler, asked)

    server.answer = never
    utterance = engine.synthesize(Utterance("Hello.", "alloy"))
    next(utterance)
    assert server.go_on.wait(WAIT_S)
    utterance.close()
    assert server.left.wait(WAIT_S)


def test_connections_are_kept(engine: UpstreamEngine, server: UpstreamServer) -> None:
    for _ in range(4):
        speak(engine, "Once more.")
    assert len(server.asked) == 4
    assert server.connections == 1


def test_more_than_its_lanes_are_busy_and_closing_frees_one(engine: UpstreamEngine, server: UpstreamServer) -> None:
    server.answer = held_back
    streams = [engine.synthesize(Utterance("A slow one.", "alloy")) for _ in range(4)]
    for stream in streams[:3]:
        next(stream)
    with pytest.raises(Busy):
        next(streams[3])
    streams[0].close()
    assert len(speak(engine, "A quick one.").pcm) > 0
    for stream in streams:
        stream.close()


@pytest.mark.parametrize("after", ["nothing", "headers", "audio"])
def test_silence_of_the_upstream_fails_in_time(server: UpstreamServer, after: str) -> None:
    def stall(handler: Handler, _: Asked) -> None:
        if after == "nothing":
            server.go_on.wait(WAIT_S)
        with handler.streamed(PCM) as send:
            send(bytes(480) if after == "audio" else b"")
            server.go_on.wait(WAIT_S)

    server.answer = stall
    engine = open_engine(f"{server.url}/v1", KEY, voices="alloy", timeout_s=0.3)
    with pytest.raises(EngineFailed) as caught:
        speak(engine, "Hello.")
    assert caught.value.fields["problem"] == "the upstream does not answer in time"
    engine.close()


def test_an_upstream_that_trickles_fails_in_time(server: UpstreamServer) -> None:
    def trickle(handler: Handler, _: Asked) -> None:
        with handler.streamed(PCM) as send:
            server.until_left(send, bytes(2))

    server.answer = trickle
    engine = open_engine(f"{server.url}/v1", KEY, voices="alloy", timeout_s=0.3)
    with pytest.raises(EngineFailed) as caught:
        speak(engine, "Hello.")
    assert caught.value.fields["problem"] == "the upstream does not answer in time"
    assert server.left.wait(WAIT_S)
    engine.close()


def test_audio_that_nobody_takes_is_not_fetched_without_bound(engine: UpstreamEngine, server: UpstreamServer) -> None:
    sent, stopped = [0], threading.Event()
    piece = bytes(1 << 16)

    def much(handler: Handler, _: Asked) -> None:
        handler.connection.settimeout(0.5)  # nobody reads: the kernel's buffers are full
        with handler.streamed(PCM) as send:
            try:
                while sent[0] < 1 << 28:
                    send(piece)
                    sent[0] += len(piece)
            except TimeoutError:
                stopped.set()
                handler.connection.settimeout(None)

    server.answer = much
    stream = engine.synthesize(Utterance("Hello.", "alloy"))
    next(stream)
    assert stopped.wait(WAIT_S)
    assert sent[0] < 1 << 26, "256 Ki samples and what the kernel keeps"
    chunk = next(stream)
    assert 0 < len(chunk.pcm) < BUFFER_SAMPLES + (1 << 17)
    stream.close()


def test_an_upstream_that_never_ends_is_broken(
    engine: UpstreamEngine, server: UpstreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "AUDIO_S_MAX", 1)
    server.answer = endless
    with pytest.raises(EngineFailed, match="could not speak") as caught:
        speak(engine, "Hello.")
    assert "more than 1 s" in str(caught.value.fields["problem"])
    assert server.left.wait(WAIT_S)


def test_a_large_error_is_not_read_to_its_end(engine: UpstreamEngine, server: UpstreamServer) -> None:
    server.answer = lambda handler, _: handler.whole(bytes(4 << 20), "application/json", 500)
    with pytest.raises(EngineFailed):
        speak(engine, "Hello.")


def test_closing_the_engine_ends_what_is_open_and_its_thread(server: UpstreamServer) -> None:
    server.answer = endless
    engine = open_engine(f"{server.url}/v1", KEY, voices="alloy")
    stream = engine.synthesize(Utterance("Hello.", "alloy"))
    next(stream)
    await_something(engine)
    engine.close()
    assert server.left.wait(WAIT_S)
    assert not [thread for thread in threading.enumerate() if thread.name == "upstream"]


def test_samples_may_be_cut_anywhere() -> None:
    data = bytes(range(201))
    for size in (1, 2, 3, 7, 201):
        samples = Samples()
        joined = b"".join(samples.push(data[at : at + size]).tobytes() for at in range(0, len(data), size))
        assert joined == data[:200]


def test_voices_are_read_as_they_are_written() -> None:
    voices = parse_voices("a, b:Bea:de:female ,c::fr", "m", "en")
    assert voices == (Voice("a", "A", "m", "en"), Voice("b", "Bea", "m", "de", "female"), Voice("c", "C", "m", "fr"))
    for wrong in (":x", "a:b:c:robot", "a:b:c:male:d"):
        with pytest.raises(ValueError, match="id:name"):
            parse_voices(wrong, "m", "en")
    twins = [Voice("a", "Sam", "m", "en"), Voice("b", "sam", "m", "en"), Voice("a", "Ann", "m", "en")]
    assert [(voice.id, voice.name) for voice in distinct(twins)] == [("a", "Sam"), ("b", "b")]


class Heard:
    """A sink."""

    def __init__(self) -> None:
        self.packets = 0
        self.ended = asyncio.Event()
        self.error: VoicewireError | None = None

    def slice(self, slice: Slice) -> None:
        self.packets += len(slice.packets)
        if slice.last:
            self.ended.set()

    def failed(self, error: VoicewireError) -> None:
        self.error = error
        self.ended.set()


@asynccontextmanager
async def pool_of(server: UpstreamServer) -> AsyncIterator[LocalPool]:
    options: dict[str, str | int | float | bool] = {}
    options |= {"url": f"{server.url}/v1", "key": KEY, "voices": "alloy", "lanes": 3, "timeout_s": WAIT_S}
    spec = EngineSpec("voicewire.engines.openai:open_engine", options)
    pool = LocalPool(spec, command=(sys.executable, "-m", "voicewire.worker"), workers=1, queue_limit=10, stall_s=60)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


def job(text: str) -> Job:
    return Job(Utterance(text, "alloy"), Format())


async def test_a_worker_serves_others_while_one_waits_and_pays_for_no_warming(server: UpstreamServer) -> None:
    server.answer = held_back
    async with asyncio.timeout(60), pool_of(server) as pool:
        assert not server.asked
        slow, quick, dropped = Heard(), Heard(), Heard()
        pool.submit(job("A slow one."), time.monotonic(), slow)
        ticket = pool.submit(job("Another slow one."), time.monotonic(), dropped)
        pool.submit(job("A quick one."), time.monotonic(), quick)
        await quick.ended.wait()
        assert quick.packets > 20
        assert not slow.packets
        pool.cancel(ticket)
        server.go_on.set()
        await slow.ended.wait()
        assert slow.packets > 20
        assert (slow.error, quick.error, dropped.packets) == (None, None, 0)
        assert pool.stats().restarts == 0


async def test_an_error_of_the_upstream_ends_its_block_alone(server: UpstreamServer) -> None:
    def refuse_some(handler: Handler, asked: Asked) -> None:
        if "no" in asked.body["input"]:
            handler.json({"error": {"code": "rate_limit_exceeded"}}, 429, {"Retry-After": "2"})
        else:
            protocols.openai(handler, asked)

    server.answer = refuse_some
    async with asyncio.timeout(60), pool_of(server) as pool:
        refused, spoken = Heard(), Heard()
        pool.submit(job("no"), time.monotonic(), refused)
        pool.submit(job("Yes."), time.monotonic(), spoken)
        await refused.ended.wait()
        await spoken.ended.wait()
        assert isinstance(refused.error, Busy)
        assert refused.error.retry_after_ms == 2_000
        assert spoken.error is None


async def test_the_key_is_in_no_command_line_environment_or_log(
    server: UpstreamServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer = lambda handler, _: handler.json({"error": {"code": "invalid_api_key", "message": KEY}}, 401)
    async with asyncio.timeout(60), pool_of(server) as pool:
        refused = Heard()
        pool.submit(job("Hello."), time.monotonic(), refused)
        await refused.ended.wait()
        [child] = pool._processes
        assert child._process
        seen = subprocess.check_output(["ps", "-wwep", str(child._process.pid), "-o", "args"], text=True)
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert "voicewire.worker" in seen
    assert KEY not in seen
    assert KEY not in caplog.text
    assert KEY not in repr(pool._launch)
    assert KEY not in repr(refused.error) + str(refused.error and refused.error.fields)
