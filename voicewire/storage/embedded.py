"""What the embedded servers share: a folder for one gateway, a child of ours in it, and what it left behind."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import IO, NoReturn

from voicewire.config import ConfigError

START_S = 10.0  # to answer at all
LOAD_S = 60.0  # to read its files, answering that it does
STOP_S = 10.0
WATCH_S = 0.25
POLL_S = 0.02
LOG_BYTES_MAX = 1 << 20
LOG_TAIL_BYTES = 2_000
SOCKET_PATH_BYTES_MAX = 103  # of sun_path, without its NUL, where it is shortest

log = logging.getLogger(__name__)


class StartError(ConfigError):
    """The server cannot start with this data folder on this machine; the message says why and what to do."""


class FolderLock:
    """Keeps a data folder for one gateway, for as long as its process lives."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "lock"
        self._file: IO[str] | None = None
        self._made: list[Path] = []  # what was not there before

    def acquire(self) -> None:
        """Make the folder, for its owner only, and lock it. Raises `StartError` when that cannot be."""
        try:
            self._made = [path for path in (self._path, self._folder) if not path.exists()]
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = self._path.open("a+", encoding="ascii")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._refuse()
        except OSError as error:
            self.release()
            raise StartError(f"the data folder {self._folder} cannot be used: {error.strerror}") from error
        assert self._file is not None
        if not self._path.exists() or self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino:
            self._refuse()  # whoever had it has removed it
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self, *, discard: bool = False) -> None:
        """Let the folder go; with `discard`, as it was before, as long as nobody has put anything into it."""
        if self._file is None:
            return
        if discard:
            with contextlib.suppress(OSError):  # it is in use for something else
                for path in self._made:
                    path.rmdir() if path == self._folder else path.unlink()
        self._file.close()
        self._file = None

    def _refuse(self) -> NoReturn:
        pid = holder(self._folder)
        self.release()
        raise StartError(
            f"{self._folder} is in use by another voicewire{f' (process {pid})' if pid else ''};"
            " give each its own data folder"
        ) from None


def holder(folder: Path) -> int | None:
    """The process that says it keeps `folder`, if any does now."""
    try:
        with (folder / "lock").open("r", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read(20).strip() or 0)
    except (OSError, ValueError):
        pass
    return None


class Home:
    """The folder of one embedded server: where its process, its socket and its log are.

    `names` says which programs may be the server, by the name that the system has for a process.
    """

    def __init__(self, folder: Path, socket: str, pidfile: str, logfile: str, names: Callable[[str], bool]) -> None:
        self.folder = folder
        self._socket = socket
        self._pidfile = folder / pidfile
        self._logfile = folder / logfile
        self._names = names
        self._alias: Path | None = None
        self._made = False

    def make(self) -> None:
        """Make the folder, for its owner only. Raises `StartError`."""
        try:
            self._made = not self.folder.exists()
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self.folder.chmod(0o700)
        except OSError as error:
            raise StartError(f"the folder {self.folder} cannot be used: {error.strerror}") from error

    def reach(self) -> Path:
        """The folder by a path whose socket fits into an address: through a link where the real one does not."""
        path = os.fsencode(self.folder / self._socket)
        if len(path) <= SOCKET_PATH_BYTES_MAX and b"," not in path:  # which parts the hosts of a PostgreSQL address
            return self.folder
        if self._alias is None:
            self._alias = Path(tempfile.mkdtemp(prefix="voicewire-"))
            (self._alias / self.folder.name).symlink_to(self.folder)
        return self._alias / self.folder.name

    def discard(self) -> None:
        """Remove the folder, if it was not there before."""
        if self._made:
            shutil.rmtree(self.folder, ignore_errors=True)

    def forget(self) -> None:
        """Remove the link, if there is one."""
        if self._alias is not None:
            shutil.rmtree(self._alias, ignore_errors=True)
            self._alias = None

    def open_log(self) -> IO[bytes]:
        """Open the log to append; a full one is put aside, and the one before it is dropped."""
        path = self._logfile
        if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")

    def log_tail(self) -> str:
        """The end of the log, for an error; nothing where there is none."""
        try:
            tail = self._logfile.read_bytes()[-LOG_TAIL_BYTES:]
        except OSError:
            return ""
        return "; the end of its log:\n" + tail.decode("utf-8", "replace").strip()

    def process(self) -> int | None:
        """The process of the pidfile, if it is a server at work here: its number may be another's by now."""
        try:
            pid = int(self._pidfile.read_text(encoding="utf-8").split("\n")[0])
        except (OSError, ValueError):
            return None
        return pid if self._at_home(pid) else None

    def end_orphans(self) -> None:
        """Kill what a server that was killed has left at work here. Raises `StartError`."""
        deadline = time.monotonic() + STOP_S
        while orphans := [int(at.name) for at in Path("/proc").glob("[0-9]*") if self._at_home(int(at.name))]:
            if time.monotonic() > deadline:
                raise StartError(f"process {orphans[0]} serves {self.folder} and cannot be ended")
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(POLL_S)

    def _at_home(self, pid: int) -> bool:
        at = Path("/proc") / str(pid)
        try:
            name = (at / "comm").read_text(encoding="utf-8").strip()
            return self._names(name) and (at / "cwd").samefile(self.folder)
        except OSError:
            return False

    def outlived(self, wait_s: float) -> int | None:
        """Wait until no server is at work here; return the one that still is."""
        deadline = time.monotonic() + wait_s
        while (pid := self.process()) is not None and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return pid

    def end_predecessor(self, signals: tuple[int, ...] = (signal.SIGTERM, signal.SIGKILL)) -> None:
        """End a server of this folder that does not answer: two would write one file. Raises `StartError`."""
        pid = self.process()
        for number in signals:
            if pid is None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            pid = self.outlived(STOP_S / 2)
        if pid is not None:
            raise StartError(f"process {pid} serves {self.folder} and cannot be ended")


class State(Enum):
    """What an embedded server says of itself."""

    DOWN = auto()
    LOADING = auto()
    READY = auto()


class EmbeddedServer(ABC):
    """A server in its `Home`, started as a child, or taken over from a gateway that was killed.

    Whoever starts one holds the `FolderLock` of the data folder around it.
    """

    def __init__(self, name: str, home: Home) -> None:
        self._name = name
        self._home = home
        self._pid = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._spawning: asyncio.Future[subprocess.Popen[bytes]] | None = None

    @abstractmethod
    def url(self) -> str:
        """The address, whether or not it runs. `stop` removes what a long path needs for one."""

    async def _open(self) -> None:  # noqa: B027 - not every server needs it
        """Prepare to ask for the state."""

    @abstractmethod
    async def _probe(self) -> State:
        """Ask for the state; where it is READY, `_pid` is set. Raises `StartError` for a server that is not ours."""

    @abstractmethod
    def _spawn(self) -> subprocess.Popen[bytes]:
        """End what does not answer, and start a server. Runs in a thread of its own. Raises `StartError`."""

    @abstractmethod
    async def _end(self) -> None:
        """Ask the process `_pid` to end, and let go of what was opened to ask."""

    async def start(self) -> str:
        """Return the server's address once it answers. Raises `StartError`, with the end of its log."""
        await asyncio.to_thread(self._home.make)
        try:
            await self._open()
            if not await self._adopt():
                await self._launch()
        except BaseException:
            await self.stop()
            raise
        return self.url()

    async def watch(self) -> None:
        """Start the server again whenever it ends, at the same address. Runs until it is cancelled."""
        while True:
            await asyncio.sleep(WATCH_S)
            if not await asyncio.to_thread(self._alive):
                log.error("the embedded %s, process %d, is gone and is started again", self._name, self._pid)
                await self._launch()
                log.info("the embedded %s is back, process %d", self._name, self._pid)

    async def stop(self) -> None:
        """End the server, its data on disk. Does nothing where nothing runs."""
        if self._spawning is not None:
            with contextlib.suppress(StartError):  # then there is nothing to end
                self._child = await self._spawning
            self._spawning = None
        await self._end()
        await asyncio.to_thread(self._reap)
        self._pid = 0
        await asyncio.to_thread(self._home.forget)

    def discard(self) -> None:
        """Remove what was not there before the start. The server is stopped."""
        self._home.discard()

    async def _adopt(self) -> bool:
        """Take over the server that a killed gateway left behind, if it answers."""
        if await self._probe() is State.DOWN:
            return False
        await self._ready()
        log.info("took over the running %s, process %d", self._name, self._pid)
        return True

    async def _launch(self) -> None:
        self._pid, self._child = 0, None
        # a child that is born while we are cancelled is still ours to end
        self._spawning = asyncio.ensure_future(asyncio.to_thread(self._spawn))
        self._child = await asyncio.shield(self._spawning)
        self._spawning = None
        await self._ready()

    async def _ready(self) -> None:
        begun = time.monotonic()
        while (state := await self._probe()) is not State.READY:
            self._check_child()
            if time.monotonic() - begun > (LOAD_S if state is State.LOADING else START_S):
                raise StartError(f"the embedded {self._name} did not answer in time{self._home.log_tail()}")
            await asyncio.sleep(POLL_S)

    def _check_child(self) -> None:
        if self._child is not None and self._child.poll() is not None:
            raise StartError(f"the embedded {self._name} ended with {self._child.returncode}{self._home.log_tail()}")

    def _alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return self._home.process() == self._pid

    def _reap(self) -> None:
        child, self._child = self._child, None
        if child is None:
            if self._pid and self._home.outlived(STOP_S) is not None:
                self._home.end_predecessor()
            return
        if not self._pid:
            child.terminate()
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            log.warning("the embedded %s did not stop in %g s and is killed", self._name, STOP_S)
            child.kill()
            child.wait()
