"""The Redis client: nothing is sent twice, nothing waits without end. Against the real server, through a proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TimedOut

from voicewire.server import redis as module
from voicewire.server.embedded import EmbeddedRedis
from voicewire.server.redis import CONNECTIONS_MAX, open_redis


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    server = EmbeddedRedis(tmp_path)
    yield await server.start()
    await server.stop()


@asynccontextmanager
async def resetting(upstream: str, path: Path, command: bytes) -> AsyncIterator[str]:
    """A proxy that passes all on, and resets in place of the reply to `command`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(upstream.removeprefix("unix://"))
        while request := await reader.read(65_536):
            there_writer.write(request)
            reply = await there_reader.read(65_536)
            if command in request:
                break
            writer.write(reply)
        writer.transport.abort()
        there_writer.close()

    async with await asyncio.start_unix_server(serve, path):
        yield f"unix://{path}"


async def test_a_command_whose_reply_is_lost_is_raised_and_applied_once(url: str, tmp_path: Path) -> None:
    direct = open_redis(url)
    async with resetting(url, tmp_path / "proxy.sock", b"INCR") as proxy:
        client = open_redis(proxy)
        with pytest.raises(Disconnected):
            await client.incr("count")
        await client.aclose()
    assert await direct.get("count") == b"1"
    await direct.aclose()


async def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.05)
    silent = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    async with await asyncio.start_unix_server(serve, tmp_path / "silent.sock"):
        client = open_redis(f"unix://{tmp_path}/silent.sock")
        with pytest.raises((TimedOut, Disconnected)):
            await client.ping()
        silent.set()
        await client.aclose()


async def test_nobody_there_is_an_error_at_once(tmp_path: Path) -> None:
    client = open_redis(f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(Disconnected):
        await client.ping()
    await client.aclose()


async def test_a_burst_waits_for_the_bounded_connections(url: str) -> None:
    client = open_redis(url)
    others = len(await client.client_list()) - 1
    await asyncio.gather(*(client.incr("count") for _ in range(50 * CONNECTIONS_MAX)))
    assert await client.get("count") == str(50 * CONNECTIONS_MAX).encode()
    assert len(await client.client_list()) - others == CONNECTIONS_MAX
    await client.aclose()
