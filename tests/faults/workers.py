"""Workers to be harmed: each a process of its own, on a Redis that its gateways share."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.serving import ENDS_S, STARTS_S


@dataclass
class Worker:
    """A running worker, of which nothing is known but its process."""

    process: asyncio.subprocess.Process

    def harm(self, number: int) -> None:
        self.process.send_signal(number)

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit status."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        async with asyncio.timeout(ENDS_S):
            return await self.process.wait()


async def start_worker(redis_url: str, folder: Path, *, lanes: int = 4, **tone: object) -> Worker:
    """Start a worker with the tone engine in one process, and wait until it serves."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VOICEWIRE_")}
    environ["TONE"] = json.dumps({"lanes": lanes} | tone)
    options = ["worker", "--engine", "tone", "--redis", redis_url, "--workers", "1"]
    command = [sys.executable, "-m", "tests.faults.tone_worker", *options]
    with (folder / "worker.log").open("ab") as log:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=log, env=environ)
    assert process.stdout
    async with asyncio.timeout(STARTS_S):
        said = await process.stdout.readline()
    assert b"speaks tone" in said, (folder / "worker.log").read_text()
    return Worker(process)


@asynccontextmanager
async def staff(redis_url: str, folder: Path, count: int, **tone: object) -> AsyncIterator[list[Worker]]:
    """So many workers; those that are in the list at the end are killed."""
    folder.mkdir(exist_ok=True)
    workers: list[Worker] = []
    try:
        workers += await asyncio.gather(*(start_worker(redis_url, folder, **tone) for _ in range(count)))  # type: ignore[arg-type]  # of the engine, lanes among them
        yield workers
    finally:
        for worker in workers:
            await worker.end(signal.SIGKILL)
