"""Redis and PostgreSQL under a running server: killed, away, late, and left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from tests.faults.serving import Server, at_work, serving
from voicewire.storage.embedded_postgres import EmbeddedPostgres
from voicewire.storage.migrations import version
from voicewire.storage.store import Store

TONE = {"VOICEWIRE_ENGINES": "tone", "VOICEWIRE_DEFAULT_MODEL": "tone", "VOICEWIRE_WORKERS": "1"}


async def ready(server: Server) -> list[str]:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{server.url}/ready")
    assert answer.status_code == (503 if answer.json()["missing"] else 200)
    return list(answer.json()["missing"])


async def until_missing(server: Server, names: list[str]) -> None:
    async with asyncio.timeout(20):
        while await ready(server) != names:
            await asyncio.sleep(0.05)


async def test_embedded_servers_that_are_killed_come_back_under_the_running_gateway(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        assert await ready(server) == []
        redis = int((tmp_path / "redis/redis.pid").read_text())
        postgres = int((tmp_path / "postgres/postmaster.pid").read_text().split()[0])
        os.kill(redis, signal.SIGKILL)
        os.kill(postgres, signal.SIGKILL)
        async with asyncio.timeout(20):
            while sum("is back" in line for line in server.log) < 2:
                await asyncio.sleep(0.05)
        await until_missing(server, [])
        assert sum("is gone and is started again" in line for line in server.log) == 2
    assert at_work(tmp_path) == {}


@pytest.mark.nightly
async def test_what_a_killed_gateway_leaves_is_taken_over_by_the_next_and_ends_with_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as first:
        await first.end(signal.SIGKILL)
        assert {"redis-server", "postgres"} <= set(at_work(tmp_path).values())
        async with serving(tmp_path) as second:
            assert sum("took over the running" in line for line in second.log) == 2
            assert await ready(second) == []
            await second.end()
            assert at_work(tmp_path) == {}


async def test_a_postgres_that_comes_late_is_said_and_gets_its_schema(tmp_path: Path) -> None:
    folder = tmp_path / "pg"  # a socket of its path is at most 107 bytes long
    folder.mkdir()
    url = f"postgresql://voicewire:hunter2@/postgres?host={folder}/postgres"
    async with serving(tmp_path / "data", postgres_url=url) as server:
        assert await ready(server) == ["postgres"]
        assert [line for line in server.log if "PostgreSQL at postgresql://…@" in line]
        assert not [line for line in server.log if "hunter2" in line]
        late = EmbeddedPostgres(folder)
        await late.start()
        await until_missing(server, [])
        store = await Store(url).open()
        assert await version(store)
        await store.close()
        await late.stop()
        assert await ready(server) == ["postgres"]
    assert at_work(folder) == {}


async def test_a_redis_that_is_away_is_said_without_its_password(tmp_path: Path) -> None:
    async with serving(tmp_path, redis_url="redis://someone:hunter2@127.0.0.1:1/3") as server:
        assert await ready(server) == ["redis"]
        assert [line for line in server.log if "Redis at redis://…@127.0.0.1:1/3 cannot be reached" in line]
        assert not [line for line in server.log if "hunter2" in line]


async def test_a_database_of_a_newer_voicewire_refuses_the_start(tmp_path: Path, postgres_url: str) -> None:
    store = await Store(postgres_url).open()
    await store.execute("INSERT INTO migrations (number, name, sha256) VALUES (9999, '9999_later', '')")
    await store.close()
    status, said = await start(tmp_path / "data", {"VOICEWIRE_POSTGRES_URL": postgres_url})
    assert status == 2
    assert "made by a newer voicewire" in said
    assert "\nTraceback" not in said
    assert not (tmp_path / "data").exists()


async def start(
    folder: Path, environ: Mapping[str, str], *, port: int = 0, until_s: float | None = None
) -> tuple[int, str]:
    """Start a server that does not get far; with `until_s`, SIGTERM comes then. Return its status and what it said."""
    command = [sys.executable, "-m", "voicewire", "serve", "--port", str(port), "--data", str(folder)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VOICEWIRE_")}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=kept | TONE | dict(environ))
    if until_s is not None:
        await asyncio.sleep(until_s)
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, (out + err).decode()


async def test_a_taken_port_leaves_no_file(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, said = await start(tmp_path / "data", {}, port=taken.getsockname()[1])
    assert (status, list(tmp_path.iterdir())) == (2, []), said


@pytest.mark.parametrize(
    "wrong",
    [
        {"VOICEWIRE_BOOTSTRAP_KEY": "short"},
        {"VOICEWIRE_PORTS": "1"},
        {"VOICEWIRE_ENGINES": "kokoro", "VOICEWIRE_KOKORO_PATH": "/nowhere", "VOICEWIRE_DEFAULT_MODEL": "kokoro"},
    ],
)
async def test_a_refused_start_leaves_no_process_and_nothing_of_the_servers(
    tmp_path: Path, wrong: dict[str, str]
) -> None:
    status, said = await start(tmp_path / "data", wrong)
    assert status == 2, said
    assert "\nTraceback" not in said
    assert at_work(tmp_path) == {}
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("until_s", [0.8, 0.9, 1.0, 1.1, 1.2, 1.4])
async def test_sigterm_during_the_start_leaves_no_process(tmp_path: Path, until_s: float) -> None:
    _, said = await start(tmp_path / "data", {}, until_s=until_s)
    assert "\nTraceback" not in said
    assert at_work(tmp_path) == {}
