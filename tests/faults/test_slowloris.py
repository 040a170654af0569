"""Peers that take their time over HTTP: gone when it is over, and nobody else's trouble."""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import httpx
import pytest
import pytest_asyncio

from tests.faults.serving import KEY, Server, serving

SLOW = 200
SILENT = 50
REQUEST_S = 1.0
TRICKLE_S = 1.0
POLL_S = 0.05
POLLS = 400
TCP_ESTABLISHED = 1  # of the states in linux/tcp.h
HEAD = f"POST /v1/tts HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n".encode()


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Ended when all is over; then its log must hold no traceback."""
    folder = tmp_path_factory.mktemp("data")
    settings = {"engines": "tone,espeak", "request_s": REQUEST_S, "trickle_s": TRICKLE_S}
    async with serving(folder, tone={"rtf": 0.02}, **settings) as started:  # type: ignore[arg-type]  # of Config
        yield started


@contextlib.contextmanager
def sockets(port: int, count: int, window_bytes: int = 0) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in opened:
            if window_bytes:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
            each.connect(("127.0.0.1", port))
        yield opened


def alive(connections: Sequence[socket.socket]) -> list[socket.socket]:
    """Those that the server has not closed."""
    readable, _, _ = select.select(connections, [], [], 0)
    return [each for each in connections if each not in readable or not ended(each)]


def ended(connection: socket.socket) -> bool:
    try:
        while connection.recv(65_536, socket.MSG_DONTWAIT):
            pass  # the rest of an answer
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


async def go_on(connection: socket.socket, piece: bytes) -> None:
    """Send a piece every now and then, until it is over."""
    with contextlib.suppress(ConnectionError):
        while not ended_now(connection):
            connection.send(piece)
            await asyncio.sleep(POLL_S)


def ended_now(connection: socket.socket) -> bool:
    return not alive([connection])


async def all_gone(connections: Sequence[socket.socket]) -> None:
    for _ in range(POLLS):
        if not alive(connections):
            return
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"{len(alive(connections))} of {len(connections)} are still there")


async def test_half_said_requests_and_silence_end(server: Server) -> None:
    with sockets(server.port, SLOW) as slow, sockets(server.port, SILENT) as silent:
        for each in slow:
            each.sendall(b"GET /v1/voices HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        trickling = [asyncio.create_task(go_on(each, b"x")) for each in slow[:20]]
        async with httpx.AsyncClient(base_url=server.url, headers={"X-API-Key": KEY}) as client:
            assert (await client.get("/v1/models")).status_code == 200
            await all_gone([*slow, *silent])
            assert (await client.get("/v1/models")).status_code == 200
        await asyncio.gather(*trickling)


async def test_a_second_request_is_given_no_more_time(server: Server) -> None:
    """uvicorn's own timer ends with the first byte behind an answer, be it an empty line."""
    with sockets(server.port, 2) as connections:
        for each in connections:
            each.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.gather(*(asyncio.to_thread(each.recv, 4_096) for each in connections))
        connections[0].sendall(b"GET /health HT")
        empty_lines = asyncio.create_task(go_on(connections[1], b"\r\n"))
        await all_gone(connections)
        await empty_lines


async def test_an_empty_line_behind_a_request_does_not_cut_its_answer(server: Server) -> None:
    """Old clients send one behind a body. Speaking takes longer than a request may."""
    text = "".join(f"Sentence number {number} goes on for a while. " for number in range(50))  # no two alike: no clips
    body = json.dumps({"text": text, "format": "pcm"})
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(HEAD + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    began = time.monotonic()
    answer = await reader.readline()
    writer.write(b"\r\n")
    rest = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert rest.endswith(b"0\r\n\r\n"), "it is whole"
    assert time.monotonic() - began > REQUEST_S, "the test is about an answer that lasts"


async def test_a_body_that_trickles_ends(server: Server) -> None:
    with sockets(server.port, 20) as connections:
        for each in connections:
            each.sendall(HEAD + b'Content-Length: 100000\r\n\r\n{"text": "')
        trickling = [asyncio.create_task(go_on(each, b"a")) for each in connections]
        await all_gone(connections)
        await asyncio.gather(*trickling)


async def test_a_slow_but_steady_body_arrives(server: Server) -> None:
    body = json.dumps({"text": "Slowly said.", "format": "pcm"}) + " " * 6_000
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(HEAD + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    for start in range(0, len(body), 200):  # 2 kB/s, for three times as long as a trickle may last
        writer.write(body[start : start + 200].encode())
        await asyncio.sleep(0.1)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_reader_that_trickles_ends(server: Server) -> None:
    """It takes a little all the time, so the system sees it live, and would wait for ever."""
    body = json.dumps({"text": "Much more is said here than anybody takes. " * 200, "format": "pcm"}).encode()
    with sockets(server.port, 4, 2_048) as connections:
        for each in connections:
            each.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert (await asyncio.to_thread(each.recv, 13)) == b"HTTP/1.1 200 "
        for _ in range(POLLS):
            if not any(map(established, connections)):
                break
            for each in filter(established, connections):
                each.recv(8, socket.MSG_DONTWAIT)
            await asyncio.sleep(POLL_S)
        assert not any(map(established, connections))


def established(connection: socket.socket) -> bool:
    """Whether the system takes it for connected, whatever there is still to read."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_ESTABLISHED


async def test_endless_headers_are_refused(server: Server) -> None:
    with sockets(server.port, 1) as (connection,):
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
        answer = b""
        for number in range(1_000):
            try:
                connection.sendall(f"X-{number}: {'a' * 1_000}\r\n".encode())
            except ConnectionError:
                break
            await asyncio.sleep(0)
        with contextlib.suppress(ConnectionError):
            answer = await asyncio.to_thread(connection.recv, 100)
        assert answer.startswith(b"HTTP/1.1 431 ") or not answer  # the reset may come before it is read
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{server.url}/health")).status_code == 200


@pytest.mark.parametrize("headers", [f"X-Long: {'a' * 9_000}\r\n", "".join(f"X-{n}: a\r\n" for n in range(200))])
async def test_a_handshake_with_more_than_is_taken_is_answered(server: Server, headers: str) -> None:
    """The library gives such a request up without a word, behind all timers of HTTP."""
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    head = f"GET /v1/stream HTTP/1.1\r\nHost: x\r\n{upgrade}"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"{head}Sec-WebSocket-Key: {'A' * 22}==\r\n{headers}\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 431 ")
