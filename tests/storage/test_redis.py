"""The Redis client: nothing is sent twice, nothing waits without end. Against the real server, through a proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as TimedOut

from voicewire.storage import redis as module
from voicewire.storage.embedded_redis import EmbeddedRedis
from voicewire.storage.redis import CONNECTIONS_MAX, open_redis


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


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Redis]:
    client = open_redis(url)
    try:
        yield client
    finally:
        await client.aclose()


async def test_a_command_whose_reply_is_lost_is_raised_and_applied_once(url: str, tmp_path: Path) -> None:
    async with resetting(url, tmp_path / "proxy.sock", b"INCR") as proxy, opened(proxy) as client:
        with pytest.raises(Disconnected):
            await client.incr("count")
    async with opened(url) as direct:
        assert await direct.get("count") == b"1"


async def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.05)
    asked_enough = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked_enough.wait()
        writer.close()

    path = tmp_path / "silent.sock"
    async with await asyncio.start_unix_server(serve, path), opened(f"unix://{path}") as client:
        with pytest.raises((TimedOut, Disconnected)):
            await client.ping()
        asked_enough.set()


async def test_nobody_there_is_an_error_at_once(tmp_path: Path) -> None:
    async with opened(f"unix://{tmp_path}/nobody.sock") as client:
        with pytest.raises(Disconnected):
            await client.ping()


async def test_a_burst_waits_for_the_bounded_connections(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 30.0)
    async with opened(url) as client:
        others = len(await client.client_list()) - 1
        await asyncio.gather(*(client.incr("count") for _ in range(20 * CONNECTIONS_MAX)))
        assert await client.get("count") == str(20 * CONNECTIONS_MAX).encode()
        assert len(await client.client_list()) - others == CONNECTIONS_MAX


async def test_without_a_free_connection_in_time_it_is_an_error(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_MAX", 1)
    monkeypatch.setattr(module, "TIMEOUT_S", 0.05)
    async with opened(url) as client, client.pipeline() as holder:
        await holder.watch("count")
        with pytest.raises(Disconnected, match="No connection available"):
            await client.get("count")


def test_a_connection_that_closes_as_it_is_written_to_is_lost(tmp_path: Path) -> None:
    async def write() -> None:
        server = EmbeddedRedis(tmp_path)
        redis = open_redis(await server.start())
        connection = await redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py
        connection._writer.transport.abort()
        await asyncio.sleep(0)
        with pytest.raises(Disconnected):
            await connection.send_command("PING")
        await redis.connection_pool.release(connection)
        assert await redis.ping()
        await redis.aclose()
        await server.stop()

    uvloop.run(write())
