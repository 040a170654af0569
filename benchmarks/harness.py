"""What the benchmarks share: a served voicewire, a lean client, percentiles, and the one JSON line at the end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import picows

KEY = "vw_test_benchmark_only_0000000000000000"
SENTENCES = (
    "The quick brown fox jumps over the lazy dog near the bank of the river, and then it runs back again.",
    "I told you that the train would leave at seven, but nobody in this house ever listens to me.",
    "Streaming speech has to begin quickly, it must never stall, and it should stop the moment you ask.",
)


@dataclass(frozen=True, slots=True)
class Served:
    """A voicewire in a process of its own."""

    port: int
    pid: int
    key: str = KEY

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/stream"


@contextlib.contextmanager
def served(cores: Sequence[int] | None = None, **settings: object) -> Iterator[Served]:
    """Serve on a free port from a folder of its own; `settings` become `VOICEWIRE_*` variables."""
    with tempfile.TemporaryDirectory() as folder, served_from(folder, cores, **settings) as server:
        yield server


@contextlib.contextmanager
def served_from(folder: str, cores: Sequence[int] | None = None, **settings: object) -> Iterator[Served]:
    """Serve as `served` does, from a folder that may have been served from before."""
    variables = {f"VOICEWIRE_{name.upper()}": str(value) for name, value in settings.items()}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VOICEWIRE_")}
    environ |= {"VOICEWIRE_BOOTSTRAP_KEY": KEY} | variables
    command = [sys.executable, "-m", "voicewire", "serve", "--port", "0", "--data", folder]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = re.search(r":(\d+)\s*$", process.stdout.readline())
            assert found, "the server did not start"
            if cores is not None:
                pin(process.pid, cores)
            yield Served(int(found[1]), process.pid)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def pin(process: int, cores: Sequence[int]) -> None:
    """Let all threads of a process run on these cores only."""
    for thread in Path(f"/proc/{process}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def pin_workers(server: Served, cores: Sequence[int]) -> None:
    """Let each worker run on one core only, in turn."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    workers = [child for child in children if b"voicewire.worker" in Path(f"/proc/{child}/cmdline").read_bytes()]
    assert workers, "the server has no workers"
    for number, worker in enumerate(workers):
        pin(int(worker), [cores[number % len(cores)]])


def pin_others(server: Served, cores: Sequence[int]) -> None:
    """Let the server's Redis, PostgreSQL and workers run on these cores only: its own are for the gateway alone."""
    waiting = [server.pid]
    while waiting:
        parent = waiting.pop()
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            pin(int(child), cores)
            waiting.append(int(child))


class Client(picows.WSListener):
    """A WebSocket client that costs little; subclasses say what to do with a message."""

    transport: picows.WSTransport

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport

    def send(self, message: dict[str, object]) -> None:
        self.send_text(json.dumps(message).encode())

    def send_text(self, data: bytes) -> None:
        self.transport.send(picows.WSMsgType.TEXT, data)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.BINARY:
            self.audio(frame.get_payload_as_memoryview(), time.perf_counter())
        elif frame.msg_type == picows.WSMsgType.TEXT:
            self.unread(frame.get_payload_as_ascii_text())
        elif frame.msg_type == picows.WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())

    def audio(self, payload: memoryview, now: float) -> None:
        """One binary message."""

    def unread(self, text: str) -> None:
        """One text message, not read."""
        self.message(json.loads(text))

    def message(self, message: dict[str, object]) -> None:
        """One text message."""


async def connect(client: type[Client], server: Served) -> Client:
    """Open a stream with the benchmark's key."""
    _, listener = await picows.ws_connect(
        client, server.url, extra_headers={"Authorization": f"Bearer {server.key}"}, enable_auto_pong=False
    )
    assert isinstance(listener, Client)
    return listener


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of `values` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def report(**figures: object) -> None:
    """Print the one JSON line that ends a benchmark."""
    print(json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}))
