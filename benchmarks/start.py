"""A start: processor time, of the server with its PostgreSQL, its Redis and its workers, and how long until it serves.

Of a server on a folder of its own, once new and then again, with two workers of espeak-ng; and how long the first who
comes then waits for audio. The reference, in the same run, is the processor time of importing the libraries that such
a server cannot do without.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import uvloop

from benchmarks.harness import SENTENCES, Client, Served, connect, report, served_from

LIBRARIES = "asyncpg, fastapi, numpy, redis.asyncio, uvicorn, uvloop, websockets"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Start(NamedTuple):
    """What one start took, in seconds."""

    cpu: float
    wall: float
    audio: float


class First(Client):
    """Hears the beginning of a text."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = asyncio.Event()

    def audio(self, payload: memoryview, now: float) -> None:  # noqa: ARG002 - as the client has it
        self.heard.set()


async def first_audio(server: Served) -> float:
    """Return the seconds from dialling to audio."""
    began = time.perf_counter()
    client = await connect(First, server)
    assert isinstance(client, First)
    client.send({"type": "speak", "context": "c", "text": SENTENCES[0]})
    await client.heard.wait()
    client.transport.disconnect()
    return time.perf_counter() - began


def cpu_s(root: int) -> float:
    """Return the processor time of a process and of all that it has started."""
    ticks, parents = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(") ")[2].split()
            pid = int(stat.parent.name)
            parents[pid], ticks[pid] = int(fields[1]), sum(map(int, fields[11:15]))
    return sum(ticks[pid] for pid in ticks if root in ancestry(pid, parents)) / TICKS_PER_S


def ancestry(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid:
        yield pid
        pid = parents.get(pid, 0)


def start(folder: str) -> Start:
    began = time.perf_counter()
    with served_from(folder, workers=2, log_level="error") as server:
        ready = time.perf_counter()
        return Start(cpu_s(server.pid), ready - began, uvloop.run(first_audio(server)))


@contextmanager
def spent() -> Iterator[list[float]]:
    """Append to the list what children take of the processor meanwhile."""
    found: list[float] = []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    yield found
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def reference() -> float:
    with spent() as found:
        subprocess.run([sys.executable, "-c", f"import {LIBRARIES}"], check=True)
    return found[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    new, again, libraries = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            new.append(start(folder))
            again.append(start(folder))
        libraries.append(reference())
    cpu = statistics.median(each.cpu for each in again)
    report(
        name="start",
        cpu_s=cpu,
        wall_s=statistics.median(each.wall for each in again),
        first_audio_ms=1e3 * statistics.median(each.audio for each in again),
        new_cpu_s=statistics.median(each.cpu for each in new),
        new_wall_s=statistics.median(each.wall for each in new),
        reference="importing its libraries",
        reference_cpu_s=statistics.median(libraries),
        ratio=cpu / statistics.median(libraries),
    )


if __name__ == "__main__":
    main()
