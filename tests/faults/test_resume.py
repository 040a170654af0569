"""A lost connection goes on where it broke off: the same bytes at the same positions, or it is said that it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed

from tests.faults.listener import Listener, Told
from tests.faults.proxy import Break, Harm, fault_proxy
from tests.faults.serving import KEY, Server, serving
from voicewire.client import connect
from voicewire.frames import Done, FormatRequest
from voicewire.script import Audio
from voicewire.types import Codec

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
FAST: dict[str, Any] = {
    "lead_ms_max": 600_000,
    "prefetch_ms": 60_000,
    "resume_bytes_max": 16 << 20,
    "queue_wait_ms": 60_000,  # whom a machine that stalls would refuse is not what is tested
}


def speak(context: str = "c1", text: str = TEXT, **options: Any) -> dict[str, Any]:
    return {"type": "speak", "context": context, "text": text, "lead_ms": 600_000} | options


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with serving(tmp_path_factory.mktemp("data"), **FAST) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def forgetful(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A server that keeps no clips, so that every block is made anew, and takes its time for it."""
    folder = tmp_path_factory.mktemp("data")
    async with serving(folder, cache_bytes=0, cache="noop", tone={"rtf": 0.003}, **FAST) as started:
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
    speaks = [speak("a", format=format, phonemes=True), speak("b", TEXT[40:160], format=format)]
    whole = await hear(server.url, speaks)
    assert len(whole.told["a"].phonemes) > 2 * len(whole.told["a"].words) > 0
    assert not whole.told["b"].phonemes
    size = sum(len(packet) for told in whole.told.values() for _, _, packet in told.frames)
    plan = harms(random.Random(seed), count, size // count)
    async with fault_proxy(server.url, plan, seed=seed) as proxy:
        broken = await hear(proxy.url, speaks, proxy=proxy)
        for name, told in broken.told.items():
            assert told.outcome() == whole.told[name].outcome()
        return proxy.breaks


async def cut_each_format(server: Server) -> int:
    return sum([await cut_and_compare(server, format, 4, seed) for seed, format in enumerate(FORMATS.values())])


async def test_broken_anywhere_the_frames_are_those_of_the_uncut_run(forgetful: Server) -> None:
    assert await cut_each_format(forgetful) >= 10


@pytest.mark.nightly
async def test_broken_anywhere_the_frames_are_those_of_clips_on_disk(tmp_path: Path) -> None:
    async with serving(tmp_path, cache_bytes=64 << 20, cache="fs", **FAST) as server:
        assert await cut_each_format(server) >= 10


@pytest.mark.parametrize("count", [30, pytest.param(200, marks=pytest.mark.nightly)])
async def test_hundreds_of_breaks_lose_and_double_nothing(forgetful: Server, count: int) -> None:
    breaks, seed, formats = 0, 100, list(FORMATS.values())
    while breaks < count:
        breaks += await cut_and_compare(forgetful, formats[seed % len(formats)], 10, seed)
        seed += 1


async def lost_end(server: Server, end: str, **cancel: Any) -> tuple[Listener, dict[str, Any]]:
    """Hear a context to its end, forget the end and its last frame, come back, and return both ends."""
    async with Listener(server.url, [speak()]) as listener:
        await listener.connect()
        if cancel:
            await listener.hear_frames("c1", 3)
            await listener.say({"type": "cancel", "context": "c1"} | cancel)
        await listener.hear()
        told = listener.told["c1"]
        first, told.end = told.end, None
        assert first is not None
        assert first["type"] == end
        if not cancel:
            told.frames.pop()
        assert listener.socket
        listener.socket.transport.abort()
        await listener.connect()
        await listener.hear()
        return listener, first


async def test_a_lost_done_comes_again(server: Server) -> None:
    listener, first = await lost_end(server, "done")
    assert listener.told["c1"].end == first


@pytest.mark.parametrize("played_ms", [None, 40])
async def test_a_lost_cancelled_comes_again(server: Server, played_ms: int | None) -> None:
    listener, first = await lost_end(server, "cancelled", played_ms=played_ms)
    assert listener.told["c1"].end == first


@pytest.mark.nightly
async def test_text_that_was_lost_is_said_by_its_length(server: Server) -> None:
    async with Listener(server.url, []) as listener:
        await listener.connect()
        options = {"context": "c1", "offsets": "utf16", "lead_ms": 600_000}
        await listener.say({"type": "open"} | options)
        await listener.say({"type": "text", "context": "c1", "text": "Hello \N{WAVING HAND SIGN} there. And"})
        await listener.say({"type": "ping"})
        while (await listener.receive())["type"] != "pong":
            pass
        listener.told["c1"] = Told(speak(text="Hello \N{WAVING HAND SIGN} there. And on."))
        assert listener.socket
        listener.socket.transport.abort()
        await listener.connect()
        assert listener.ready["contexts"] == {"c1": {"accepted": 19}}
        await listener.hear()
        end = listener.told["c1"].end
    assert end is not None
    assert end["type"] == "done"
    assert max(listener.told["c1"].blocks) + 1 == end["blocks"]


def operator(server: Server) -> httpx.AsyncClient:
    """Return a client with the operator's key."""
    return httpx.AsyncClient(base_url=server.url, headers={"X-API-Key": KEY}, trust_env=False)


async def refused(listener: Listener, **resume: Any) -> dict[str, Any]:
    """Ask for a session on a new connection; return what is said instead of it."""
    async with Listener(listener.url, []) as other:
        await other.dial({})
        proof = {name: listener.ready[name] for name in ("session", "resume_token")}
        await other.say({"type": "resume", **proof, "received": {}} | resume)
        return await other.receive()


async def test_who_has_no_proof_gets_nothing_and_disturbs_nobody(server: Server) -> None:
    async with Listener(server.url, [speak()]) as listener:
        await listener.connect()
        token = listener.ready["resume_token"]
        nearly = chr(ord(token[0]) ^ 1) + token[1:]
        for wrong in ({"resume_token": nearly}, {"resume_token": ""}, {"session": "s_unknown"}):
            message = await refused(listener, **wrong)
            assert (message["type"], message["code"]) == ("error", "resume_gone")
        await listener.hear()
        assert listener.told["c1"].end
        assert not listener.closes


@pytest.mark.nightly
async def test_after_a_goodbye_there_is_nothing_to_resume(server: Server) -> None:
    listener = await hear(server.url, [speak()])
    await server.metric_becomes("voicewire_streams", 0)
    assert (await refused(listener))["code"] == "resume_gone"


@pytest.mark.nightly
async def test_after_resume_s_it_is_gone(tmp_path: Path) -> None:
    async with serving(tmp_path, resume_s=1, **FAST) as server, Listener(server.url, [speak()]) as listener:
        await listener.connect()
        await listener.hear_frames("c1", 5)
        assert listener.socket
        listener.socket.transport.abort()
        await asyncio.sleep(1.5)
        assert (await refused(listener))["code"] == "resume_gone"


@pytest.mark.nightly
async def test_what_lies_beyond_the_ring_is_said_to_be_gone(tmp_path: Path) -> None:
    speaks = [speak("a"), speak("b", "Short.")]
    async with (
        serving(tmp_path, **FAST | {"resume_bytes_max": 4_096}) as server,
        Listener(server.url, speaks) as listener,
    ):
        await listener.connect()
        await listener.hear_frames("a", 1_000)
        await asyncio.sleep(0.3)  # the journal is written
        del listener.told["a"].frames[3:]
        listener.told["b"].end = None
        assert listener.socket
        listener.socket.transport.abort()
        with pytest.raises(AssertionError, match="is gone"):
            await listener.connect()
        await listener.hear(until="error")
    assert listener.told["a"].end is not None
    assert listener.told["a"].end["code"] == "resume_gone"


async def test_resumed_twice_the_first_connection_is_closed(server: Server) -> None:
    whole = await hear(server.url, [speak()])
    async with Listener(server.url, [speak(lead_ms=500)]) as listener:
        await listener.connect()
        await listener.hear_frames("c1", 5)
        first = listener.socket
        assert first
        await listener.say({"type": "playhead", "context": "c1", "played_ms": 60_000})
        await listener.connect()
        await listener.say({"type": "playhead", "context": "c1", "played_ms": 60_000})
        with contextlib.suppress(ConnectionClosed):
            async for _ in first:
                pass
        assert first.close_code == 4009
        for _ in range(60):
            await listener.say({"type": "playhead", "context": "c1", "played_ms": 60_000})
            if listener.over:
                break
            await listener.hear_frames("c1", min(len(listener.told["c1"].frames) + 20, len(whole.told["c1"].frames)))
        await listener.hear()
    assert listener.told["c1"].outcome() == whole.told["c1"].outcome()


async def test_two_resumes_at_once_leave_one_connection_and_no_stream_counted(server: Server) -> None:
    async with Listener(server.url, [speak(lead_ms=100)]) as listener:
        await listener.connect()
        await listener.hear_frames("c1", 2)
        twins = []
        for _ in range(4):
            twin = Listener(server.url, [])
            twin.ready, twin.told = listener.ready, {"c1": Told(listener.told["c1"].speak)}
            twins.append(twin)
        await asyncio.gather(*(twin.connect() for twin in twins), return_exceptions=True)
        await server.metric_becomes("voicewire_streams", 1)
        for twin in twins:
            assert twin.socket
            await twin.socket.close()
    await server.metric_becomes("voicewire_streams", 0)


@pytest.mark.nightly
async def test_a_paused_context_stays_paused_and_goes_on(server: Server) -> None:
    whole = await hear(server.url, [speak()])
    async with Listener(server.url, [speak(lead_ms=300)]) as listener:
        await listener.connect()
        await listener.hear_frames("c1", 3)
        await listener.say({"type": "playhead", "context": "c1", "played_ms": 20, "paused": True})
        await listener.say({"type": "ping"})
        await listener.hear(until="pong")
        assert listener.socket
        listener.socket.transport.abort()
        await listener.connect()
        count = len(listener.told["c1"].frames)
        await asyncio.sleep(0.5)
        await listener.say({"type": "ping"})
        await listener.hear(until="pong")
        assert len(listener.told["c1"].frames) == count
        await listener.say({"type": "playhead", "context": "c1", "played_ms": 20, "paused": False})
        await listener.hear_frames("c1", count + 10)
    frames = listener.told["c1"].frames
    assert frames == whole.told["c1"].frames[: len(frames)]


@pytest.mark.nightly
async def test_with_a_header_too_the_first_message_may_be_a_resume(server: Server) -> None:
    whole = await hear(server.url, [speak()])
    async with Listener(server.url, [speak()]) as listener:
        await listener.connect()
        await listener.hear_frames("c1", 5)
        assert listener.socket
        listener.socket.transport.abort()
        listener.with_key = True
        await listener.connect()
        await listener.hear()
    assert listener.told["c1"].outcome() == whole.told["c1"].outcome()
    await server.metric_becomes("voicewire_streams", 0)


async def test_a_key_that_was_revoked_resumes_nothing(server: Server) -> None:
    async with operator(server) as http:
        made = (await http.post("/v1/keys", json={"label": "lent"})).json()
        async with Listener(server.url, [speak()], made["key"]) as listener:
            await listener.connect()
            await listener.hear_frames("c1", 5)
            assert (await http.delete(f"/v1/keys/{made['id']}")).status_code == 204
            assert (await refused(listener))["code"] == "unauthorized"


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.nightly)])
async def test_a_server_started_again_on_its_folder_goes_on(tmp_path: Path, number: int) -> None:
    text, settings = TEXT * 4, FAST | {"cache_bytes": 0, "cache": "noop", "drain_s": 0, "text_chars_max": 100_000}
    async with serving(tmp_path / "data", tone={"rtf": 0.02}, **settings) as server:
        whole = await hear(server.url, [speak(text=text)])
        async with Listener(server.url, [speak(text=text)]) as listener:
            await listener.connect()
            await listener.hear_frames("c1", 400)
            assert await server.end(number) == (0 if number == signal.SIGTERM else -number)
            with contextlib.suppress(ConnectionClosed):
                await listener.hear()
            assert not listener.over
            async with serving(tmp_path / "data", tone={"rtf": 0.001}, **settings) as again:
                listener.move(again.url)
                await listener.hear_all()
                assert listener.told["c1"].outcome() == whole.told["c1"].outcome()


async def test_another_gateway_takes_over_from_one_that_was_killed(tmp_path: Path, redis_url: str) -> None:
    settings = FAST | {"cache_bytes": 0, "cache": "noop", "redis_url": redis_url, "text_chars_max": 100_000}
    text = TEXT * 4
    async with (
        serving(tmp_path / "one", tone={"rtf": 0.02}, **settings) as one,
        serving(tmp_path / "two", tone={"rtf": 0.001}, **settings) as two,
    ):
        whole = await hear(two.url, [speak(text=text)])
        async with Listener(one.url, [speak(text=text)]) as listener:
            await listener.connect()
            await listener.hear_frames("c1", 500)
            await one.end(signal.SIGKILL)
            with contextlib.suppress(ConnectionClosed):
                await listener.hear()
            assert not listener.over
            listener.move(two.url)
            await listener.hear_all()
    assert listener.told["c1"].outcome() == whole.told["c1"].outcome()


async def test_our_own_client_mends_what_breaks(server: Server) -> None:
    request = FormatRequest(Codec.PCM_S16LE, 16_000)

    async def listen(url: str) -> tuple[list[tuple[int, int, bytes]], object]:
        heard: list[tuple[int, int, bytes]] = []
        async with connect(url, KEY) as client, client.speak(TEXT, format=request, lead_ms=600_000) as speech:
            async for event in speech:
                if isinstance(event, Audio):
                    heard.append((event.seq, event.pts, b"".join(event.packets)))
                elif isinstance(event, Done):
                    end = (event.audio_ms, event.billed_ms, event.blocks)
        return heard, end

    whole = await listen(server.url)
    plan = [Harm(at, how) for at in (700, 9_000, 40_000) for how in (Break.RESET, Break.CLOSE)]
    async with fault_proxy(server.url, plan) as proxy:
        assert await listen(proxy.url) == whole
        assert proxy.breaks == len(plan)
