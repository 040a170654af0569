"""Servers to be harmed: each a process of its own, whose log must hold no traceback when it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.fresh_database import lay_database

STARTS_S = 60
ENDS_S = 30
KEY = "vw_live_faults00_" + "k" * 43
URL = re.compile(r"http://\S+")


@dataclass
class Server:
    """A running server; `log` is what it has said on its standard error."""

    url: str
    process: asyncio.subprocess.Process
    log: list[str] = field(default_factory=list)
    readers: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for the end and check the log."""
        async with asyncio.timeout(ENDS_S):
            status = await self.process.wait()
            await asyncio.gather(*self.readers)
        assert not [line for line in self.log if "Traceback" in line or "CRITICAL" in line], "".join(self.log)
        return status

    async def metric(self, name: str) -> float:
        """Return a metric; without a label, its sum over all of them."""
        async with httpx.AsyncClient(trust_env=False) as client:
            page = (await client.get(f"{self.url}/metrics", headers={"X-API-Key": KEY})).text
        lines = [line for line in page.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        assert lines or "{" in name, f"there is no metric {name}"  # what a label says may not have happened yet
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    async def metric_becomes(self, name: str, value: float, polls: int = 100) -> None:
        """Wait until a metric has a value, for so many looks at it."""
        for _ in range(polls):
            if (found := await self.metric(name)) == value:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{name} stays {found}, and was to become {value}")


@asynccontextmanager
async def serving(
    data_dir: Path,
    *,
    tone: Mapping[str, object] | None = None,
    ping_s: float = 8.0,
    lease_s: float = 15.0,
    **settings: object,
) -> AsyncIterator[Server]:
    """Run a server with the tone engine; `settings` are fields of `Config`. It is ended, if it still runs."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VOICEWIRE_")}
    given = {"engines": "tone", "default_model": "tone", "workers": 1, "bootstrap_key": KEY} | settings
    environ |= {f"VOICEWIRE_{name.upper()}": str(value) for name, value in given.items()}
    environ |= {"TONE": json.dumps(tone or {}), "PING_S": json.dumps(ping_s), "LEASE_S": json.dumps(lease_s)}
    command = [sys.executable, "-m", "tests.faults.gateway", "serve", "--port", "0", "--data", str(data_dir)]
    pipe = asyncio.subprocess.PIPE
    if "postgres_url" not in given:
        lay_database(data_dir)
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=environ)
    server = Server("", process)
    assert process.stderr
    server.readers.append(asyncio.create_task(_collect(process.stderr, server.log)))
    try:
        server.url = await _greeting(server)
        yield server
    finally:
        if process.returncode is None:
            await server.end()
        await asyncio.gather(*server.readers)
        for pid in at_work(data_dir):  # what a gateway that was killed has left, and no other has taken over
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def at_work(folder: Path) -> dict[int, str]:
    """The processes below a data folder, by name."""
    found = {}
    for at in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (at / "cwd").resolve(strict=True).is_relative_to(folder):
                found[int(at.name)] = (at / "comm").read_text().strip()
    return found


async def _greeting(server: Server) -> str:
    assert server.process.stdout
    async with asyncio.timeout(STARTS_S):
        while line := (await server.process.stdout.readline()).decode():
            if found := URL.search(line):
                server.readers.append(asyncio.create_task(_collect(server.process.stdout, [])))
                return found[0]
    raise AssertionError("the server did not start: " + "".join(server.log))


async def _collect(stream: asyncio.StreamReader, lines: list[str]) -> None:
    while line := await stream.readline():
        lines.append(line.decode(errors="replace"))
