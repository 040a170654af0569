"""Peers that do not read, or too slowly, or are not there any more: gone soon, bounded, and nobody else's trouble."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed

from tests.faults.listener import Listener
from tests.faults.proxy import Harm, fault_proxy
from tests.faults.serving import KEY, Server, serving
from tests.faults.test_resume import FAST, TEXT, hear, speak
from voicewire.server.live.wire import CLOSE_S

GONE_S = 20
BUFFERED_BYTES_MAX = 256 * 1024
SETTINGS = FAST | {"text_chars_max": 100_000}
PCM = {"codec": "pcm_s16le", "rate": 48_000}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with serving(tmp_path_factory.mktemp("data"), ping_s=1.5, stall_s=1, hello_s=1, **SETTINGS) as started:
        yield started


@contextlib.contextmanager
def connected(port: int, window_bytes: int = 0) -> Iterator[socket.socket]:
    with socket.socket() as connection:
        if window_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
        connection.connect(("127.0.0.1", port))
        yield connection


def handshake(port: int, host: str = "127.0.0.1", *, key: str = KEY) -> bytes:
    lines = [
        "GET /v1/stream HTTP/1.1",
        f"Host: {host}:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        *([f"Authorization: Bearer {key}"] if key else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


async def greet(deaf: socket.socket, port: int) -> None:
    """Shake hands; what comes behind that is never read."""
    deaf.sendall(handshake(port))
    assert (await asyncio.to_thread(deaf.recv, 12)).endswith(b"101")


def masked(message: dict[str, Any]) -> bytes:
    """A text message as a client sends it, the mask being zero: RFC 6455, section 5.3."""
    data = json.dumps(message).encode()
    assert 126 <= len(data) < 1 << 16
    return bytes((0x81, 0x80 | 126)) + len(data).to_bytes(2, "big") + bytes(4) + data


async def test_four_who_never_read_are_gone_and_others_lose_nothing(server: Server) -> None:
    whole = await hear(server.url, [speak(text=TEXT[:150])])
    with contextlib.ExitStack() as stack:
        for window_bytes in (0, 0, 4_096, 4_096):  # a peer's kernel may read megabytes for it, or next to nothing
            deaf = stack.enter_context(connected(server.port, window_bytes))
            await greet(deaf, server.port)
            deaf.sendall(masked(speak("deaf", TEXT * 20, format=PCM)))
        await server.metric_becomes("voicewire_streams", 4)
        healthy = [Listener(server.url, [speak(text=TEXT[:150], lead_ms=1_000)]) for _ in range(4)]
        began = time.monotonic()
        async with peak_bytes(server) as peaks, asyncio.timeout(GONE_S):
            await asyncio.gather(*(listener.hear_all() for listener in healthy))
            for listener in healthy:
                assert listener.socket
                await listener.socket.close()
            await server.metric_becomes("voicewire_streams", 0, polls=400)
        assert time.monotonic() - began < GONE_S
    for listener in healthy:
        assert listener.told["c1"].outcome() == whole.told["c1"].outcome()
        assert listener.closes == []
    assert 0 < max(peaks) <= BUFFERED_BYTES_MAX
    await server.metric_becomes("voicewire_pool_running", 0)


@contextlib.asynccontextmanager
async def peak_bytes(server: Server) -> AsyncIterator[list[float]]:
    """Look, ever again, at what the server holds for the peer for whom it holds most."""
    found: list[float] = []

    async def look() -> None:
        while True:
            found.append(await server.metric("voicewire_outbox_bytes"))
            await asyncio.sleep(0.02)

    looking = asyncio.create_task(look())
    try:
        yield found
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


async def ask_for_ever(deaf: socket.socket) -> None:
    ask = masked({"type": "ping", "padding": "x" * 200}) * 100
    async with asyncio.timeout(GONE_S):
        while True:
            await asyncio.get_running_loop().sock_sendall(deaf, ask)


async def test_who_asks_without_reading_the_answers_is_gone(server: Server) -> None:
    with connected(server.port) as deaf:
        await greet(deaf, server.port)
        deaf.setblocking(False)
        async with peak_bytes(server) as peaks:
            with pytest.raises(ConnectionError):
                await ask_for_ever(deaf)
    await server.metric_becomes("voicewire_streams", 0, polls=400)
    assert max(peaks) <= BUFFERED_BYTES_MAX


async def send_until_reset(deaf: socket.socket, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while True:
            await asyncio.get_running_loop().sock_sendall(deaf, b"x")
            await asyncio.sleep(0.1)


async def test_who_breaks_the_protocol_without_reading_is_gone(server: Server) -> None:
    with connected(server.port, 4_096) as deaf:
        await greet(deaf, server.port)
        deaf.sendall(masked(speak("deaf", TEXT * 20, format=PCM)))
        while await server.metric("voicewire_outbox_bytes") < 10_000:
            await asyncio.sleep(0.05)
        deaf.sendall(b"\x81\x01x")  # not masked
        deaf.setblocking(False)
        with pytest.raises(ConnectionError):
            await send_until_reset(deaf, CLOSE_S + 2)


async def test_large_frames_do_not_make_a_healthy_reader_a_slow_one(server: Server) -> None:
    format = {"codec": "pcm_f32le", "rate": 48_000, "frame_ms": 100, "bundle": 50}
    async with peak_bytes(server) as peaks:
        listener = await hear(server.url, [speak(format=format)])
    assert listener.told["c1"].end
    assert listener.closes == []
    assert max(peaks) <= BUFFERED_BYTES_MAX


@pytest.mark.nightly
async def test_a_link_too_slow_is_told_so_and_goes_on_over_a_better_one(server: Server) -> None:
    whole = await hear(server.url, [speak(format=PCM)])
    async with fault_proxy(server.url, [Harm(rate=20_000)]) as proxy, Listener(proxy.url, [speak(format=PCM)]) as slow:
        await slow.connect()
        with pytest.raises(ConnectionClosed):
            await slow.hear()
        assert slow.closes == [4008]
        await slow.connect()
        await slow.hear()
    assert slow.told["c1"].outcome() == whole.told["c1"].outcome()


@pytest.mark.nightly
async def test_a_link_slower_than_the_codec_is_given_up_and_goes_on_over_a_better_one(server: Server) -> None:
    whole, closed = await hear(server.url, [speak()]), 'voicewire_streams_closed_total{why="slow_consumer"}'
    before = await server.metric(closed)
    async with (
        fault_proxy(server.url, [Harm(rate=2_000)]) as proxy,
        Listener(proxy.url, [speak(lead_ms=600_000)]) as slow,
    ):
        await slow.connect()
        with pytest.raises(ConnectionClosed):
            await slow.hear()
        await server.metric_becomes(closed, before + 1)
        await slow.connect()
        await slow.hear()
    assert slow.told["c1"].outcome() == whole.told["c1"].outcome()


async def test_half_a_handshake_stops_nobody(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for index in range(200):
            slow = stack.enter_context(connected(server.port))
            slow.sendall(handshake(server.port)[: 1 + index % 120])
        listener = await hear(server.url, [speak(text=TEXT[:60])])
    assert listener.told["c1"].end


@pytest.mark.parametrize("said", ["", '{"type":"ping"}'])
async def test_who_does_not_say_hello_is_closed(server: Server, said: str) -> None:
    address = server.url.replace("http", "ws", 1) + "/v1/stream"
    async with dial(address, compression=None, proxy=None) as stranger:
        if said:
            await stranger.send(said)
        error = json.loads(await stranger.recv())
        with pytest.raises(ConnectionClosed) as closed:
            await stranger.recv()
    assert error["code"] == "no_hello"
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 4504


def in_namespace(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def veth() -> Iterator[tuple[str, str, str]]:
    """A network namespace with a wire to it: our address, its name, and our end of the wire."""
    name, here, there = f"vw{os.getpid()}", f"vwa{os.getpid() % 10_000}", f"vwb{os.getpid() % 10_000}"
    try:
        in_namespace("ip", "netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespaces here: {error}")
    try:
        in_namespace("ip", "link", "add", here, "type", "veth", "peer", "name", there)
        in_namespace("ip", "link", "set", there, "netns", name)
        in_namespace("ip", "addr", "add", "198.18.77.1/30", "dev", here)
        in_namespace("ip", "link", "set", here, "up")
        in_namespace("ip", "-n", name, "addr", "add", "198.18.77.2/30", "dev", there)
        in_namespace("ip", "-n", name, "link", "set", there, "up")
        yield "198.18.77.1", name, there
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no wire into a network namespace here: {error.stderr!r}")
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", here], check=False, capture_output=True)


DEAF = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as connection:
    for data in sys.argv[3:]:
        connection.sendall(bytes.fromhex(data))
        print(len(connection.recv(1000)), flush=True)
    while connection.recv(65536):
        pass
"""


@pytest.mark.nightly
async def test_a_peer_whose_network_is_gone_is_gone(tmp_path: Path, veth: tuple[str, str, str]) -> None:
    host, name, there = veth
    async with serving(tmp_path, host=host, ping_s=1.0, **SETTINGS) as server:
        said = (handshake(server.port, host).hex(), masked(speak(text=TEXT * 5, lead_ms=500)).hex())
        command = ["ip", "netns", "exec", name, sys.executable, "-c", DEAF, host, str(server.port), *said]
        peer = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            assert peer.stdout
            assert int(await peer.stdout.readline()) > 0
            assert int(await peer.stdout.readline()) > 0
            await server.metric_becomes("voicewire_streams", 1)
            in_namespace("ip", "-n", name, "link", "set", there, "down")
            await server.metric_becomes("voicewire_streams", 0, polls=200)
            await server.metric_becomes("voicewire_pool_running", 0)
        finally:
            peer.kill()
            await peer.wait()
