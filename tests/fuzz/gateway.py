"""A real server that is watched: what it logs, and how much memory it has."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.conftest import SERVER_STARTS_S, Served, _greeted

KIB = 1024


class Watched(NamedTuple):
    """Where it is, its first key, its process, and where its log goes."""

    url: str
    key: str
    process: int
    log: Path

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws")

    def memory_bytes(self) -> int:
        """What is resident."""
        status = Path(f"/proc/{self.process}/status").read_text(encoding="ascii")
        [size] = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(size) * KIB


def _started(server: subprocess.Popen[bytes], folder: Path) -> Served:
    try:
        return _greeted(server, folder)
    except AssertionError:
        sys.stderr.write((folder / "log").read_text(encoding="utf-8"))
        raise


@contextlib.contextmanager
def watched(settings: Mapping[str, str]) -> Iterator[Watched]:
    """Start a server with `settings`, which logs everything; stop it at the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="voicewire-"))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VOICEWIRE_")}
    environ |= {"VOICEWIRE_ENGINES": "tone", "VOICEWIRE_DEFAULT_MODEL": "tone", "VOICEWIRE_WORKERS": "1"}
    environ |= {"VOICEWIRE_QUEUE_WAIT_MS": "60000", "VOICEWIRE_LOG_LEVEL": "debug", **settings}
    command = [sys.executable, "-m", "voicewire", "serve", "--port", "0", "--data", str(folder)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environ)
        try:
            served = _started(server, folder)
            yield Watched(served.url, served.key, server.pid, folder / "log")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(SERVER_STARTS_S)
            assert server.stdout
            server.stdout.close()
            shutil.rmtree(folder)
