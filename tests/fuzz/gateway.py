"""A real server that is watched: what it logs, and how much memory it has."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.conftest import started

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


@contextlib.contextmanager
def watched(settings: Mapping[str, str]) -> Iterator[Watched]:
    """Start a server with `settings`, which logs everything; stop it at the end of the block."""
    everything = {"VOICEWIRE_ENGINES": "tone", "VOICEWIRE_LOG_LEVEL": "debug", **settings}
    with tempfile.NamedTemporaryFile(prefix="voicewire-", suffix=".log") as log:
        try:
            with started(everything, log=log) as served:
                yield Watched(served.url, served.key, served.process, Path(log.name))
        except AssertionError:
            sys.stderr.write(Path(log.name).read_text(encoding="utf-8", errors="replace"))
            raise
