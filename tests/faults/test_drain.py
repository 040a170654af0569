"""A server that is told to stop lets running streams finish, and what outlasts it can be resumed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.faults.listener import Listener
from tests.faults.serving import KEY, Server, serving
from tests.faults.test_resume import FAST, TEXT, hear, speak

STREAMS = 20
DRAINING = 1012


async def start(url: str, count: int, lead_ms: int, frames: int) -> list[Listener]:
    """Begin to listen to so many streams, each with some frames heard."""
    listeners = [Listener(url, [speak(lead_ms=lead_ms, text=TEXT[: 60 + 4 * index])]) for index in range(count)]
    await asyncio.gather(*(listener.connect() for listener in listeners))
    await asyncio.gather(*(listener.hear_frames("c1", frames) for listener in listeners))
    return listeners


async def rest(listener: Listener) -> None:
    """Hear the rest, the listener being fast: then the stream is not longer than it must be."""
    while not listener.over:
        await listener.say({"type": "playhead", "context": "c1", "played_ms": 600_000})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await listener.hear()


def workers_of(server: Server) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    found = [int(pid) for pid in children if b"voicewire.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert found
    return found


@pytest.mark.nightly
async def test_running_streams_finish_and_new_ones_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, **FAST) as server:
        wholes = [await hear(server.url, [speak(text=TEXT[: 60 + 4 * index])]) for index in (0, STREAMS - 1)]
        listeners = await start(server.url, STREAMS, 200, 5)
        server.process.send_signal(signal.SIGTERM)
        await listeners[0].hear_until_draining()
        with pytest.raises(InvalidStatus) as refused:
            await Listener(server.url, [speak()]).connect()
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "1"
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{server.url}/ready")).status_code == 503
        await asyncio.gather(*map(rest, listeners))
        assert await server.ended() == 0
    for index, whole in ((0, wholes[0]), (-1, wholes[1])):
        assert listeners[index].told["c1"].outcome() == whole.told["c1"].outcome()
    assert [listener.told["c1"].end["type"] for listener in listeners if listener.told["c1"].end] == ["done"] * STREAMS
    assert [listener.draining for listener in listeners] == [1] * STREAMS


@pytest.mark.nightly
async def test_streams_that_outlast_the_drain_go_on_on_the_next_server(tmp_path: Path) -> None:
    async with serving(tmp_path, drain_s=1, **FAST) as server:
        whole = await hear(server.url, [speak(text=TEXT[:64])])
        listeners = await start(server.url, 3, 200, 5)
        server.process.send_signal(signal.SIGTERM)
        for listener in listeners:
            with pytest.raises(ConnectionClosed):
                await listener.hear()
            assert listener.closes == [DRAINING]
        assert await server.ended() == 0
    async with serving(tmp_path, **FAST) as again:
        for listener in listeners:
            listener.move(again.url)
            await listener.connect()
            await rest(listener)
    assert listeners[1].told["c1"].outcome() == whole.told["c1"].outcome()


@pytest.mark.nightly
async def test_a_second_signal_ends_at_once_and_what_ran_can_be_resumed(tmp_path: Path) -> None:
    async with serving(tmp_path, **FAST) as server:
        (listener,) = await start(server.url, 1, 200, 5)
        server.process.send_signal(signal.SIGINT)
        await listener.hear_until_draining()
        server.process.send_signal(signal.SIGINT)
        with pytest.raises(ConnectionClosed):
            await listener.hear()
        assert await server.ended() == 0
    async with serving(tmp_path, **FAST) as again:
        listener.move(again.url)
        await listener.connect()
        await rest(listener)


async def test_a_server_without_streams_ends_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, Listener(server.url, []) as listener:
        await listener.connect()
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            await listener.receive_all()
        assert await server.ended() == 0
    assert listener.closes == [DRAINING]
    assert KEY not in "".join(server.log)


async def test_processes_that_had_the_signal_too_are_not_replaced_for_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        for pid in [*workers_of(server), server.process.pid]:
            os.kill(pid, signal.SIGTERM)
        assert await server.ended() == 0
    assert not [line for line in server.log if "takes its place" in line]


async def test_processes_that_had_the_signal_too_are_replaced_while_somebody_listens(tmp_path: Path) -> None:
    async with serving(tmp_path, **FAST) as server:
        (listener,) = await start(server.url, 1, 200, 5)
        for pid in [server.process.pid, *workers_of(server)]:
            os.kill(pid, signal.SIGTERM)
        await listener.hear_until_draining()
        await rest(listener)
        assert await server.ended() == 0
    end = listener.told["c1"].end
    assert end is not None
    assert end["type"] == "done"


@pytest.mark.nightly
async def test_a_peer_that_does_not_read_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path, drain_s=1, **FAST) as server:
        (listener,) = await start(server.url, 1, 600_000, 1)
        assert listener.socket
        listener.socket.transport.pause_reading()
        assert await server.end() == 0
        listener.socket.transport.abort()


@pytest.mark.nightly
async def test_a_text_over_http_that_does_not_begin_is_told_and_no_mistake_of_the_server(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, tone={"hang_on": "stuck"}, **FAST | {"drain_s": 1.0}) as server,
        httpx.AsyncClient(base_url=server.url, headers={"X-API-Key": KEY}, trust_env=False, timeout=30) as client,
    ):
        asked = asyncio.create_task(client.post("/v1/tts", json={"text": "stuck"}))
        await server.metric_becomes("voicewire_pool_running", 1)
        server.process.send_signal(signal.SIGTERM)
        answer = await asked
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")
        assert await server.ended() == 0, "and nothing of it in the log"
