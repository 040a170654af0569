"""Two gateways and up to three workers, each on a machine of its own: what they serve, and what a cut link costs.

A worker's engine is the tone engine, which sleeps for a tenth of its audio's length, so that it can keep ten streams
in sound whatever the processor does. `ratio` is what three workers deliver by three times what one does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import picows

from benchmarks.harness import KEY, SENTENCES, Client, report
from benchmarks.namespaces import Machine, machines
from voicewire.storage.embedded_postgres import EmbeddedPostgres
from voicewire.storage.embedded_redis import find_server

RTF = 0.1
STREAMS = 48  # more than three workers can keep in sound
WARM_S, MEASURE_S = 4.0, 10.0
CUT_S = 6.0
STARTS_S = 90.0
REDIS_PORT, PORT = 16379, 18080
NAMES = ("hub", "gateway1", "gateway2", "worker1", "worker2", "worker3")
TEXT = " ".join(SENTENCES)
SETTINGS = {
    "engines": "none",
    "default_model": "tone",
    "cache_bytes": 0,
    "lead_ms_max": 600_000,
    "prefetch_ms": 60_000,
    "queue_wait_ms": 60_000,
    "bootstrap_key": KEY,
    "key_pepper": "p" * 32,
    "jwt_secret": "s" * 32,
}


class Reader(Client):
    """Has one text after another read, as fast as it comes."""

    frames = done = refused = failed = 0

    def audio(self, payload: memoryview, now: float) -> None:  # noqa: ARG002 - as the client has it
        self.frames += 1

    def message(self, message: dict[str, object]) -> None:
        match message["type"]:
            case "ready":
                self.speak()
            case "done":
                self.done += 1
                self.speak()
            case "error":
                self.refused += message["code"] == "busy"
                self.failed += message["code"] != "busy"
                wait_ms = message.get("retry_after_ms", 1_000)
                assert isinstance(wait_ms, int)
                asyncio.get_running_loop().call_later(wait_ms / 1000, self.speak)

    def speak(self) -> None:
        seed = secrets.randbelow(1 << 31)  # of no use to the engine, and another block for whoever keeps blocks
        self.send({"type": "speak", "context": secrets.token_hex(4), "text": TEXT, "lead_ms": 600_000, "seed": seed})


async def load(urls: Sequence[str], seconds: float) -> None:
    """Read through all gateways; report once a second what has come in all."""
    headers = {"Authorization": f"Bearer {KEY}"}
    readers: list[Reader] = []
    for nth in range(STREAMS):
        _, reader = await picows.ws_connect(
            Reader, urls[nth % len(urls)], extra_headers=headers, enable_auto_pong=False
        )
        assert isinstance(reader, Reader)
        readers.append(reader)
    begun = time.monotonic()
    while (now := time.monotonic() - begun) < seconds:
        sums = {name: sum(getattr(each, name) for each in readers) for name in ("frames", "done", "refused", "failed")}
        print(json.dumps(sums | {"at": now}), flush=True)
        await asyncio.sleep(0.5)


class Town:
    """What runs, by whom it is ended."""

    def __init__(self, stack: contextlib.ExitStack, where: dict[str, Machine], folder: Path, postgres: str) -> None:
        self._stack = stack
        self._where = where
        self._folder = folder
        self._postgres = postgres
        self._ports = {"gateway1": PORT, "gateway2": PORT + 1}

    @property
    def urls(self) -> list[str]:
        return [f"ws://{self._where[name].address}:{port}/v1/stream" for name, port in self._ports.items()]

    @property
    def _redis(self) -> str:
        return f"redis://{self._where['hub'].address}:{REDIS_PORT}/0"

    def start_redis(self) -> None:
        options = ["--port", str(REDIS_PORT), "--bind", self._where["hub"].address, "--protected-mode", "no"]
        self._start("hub", [find_server(), *options, "--save", "", "--dir", str(self._folder)], "Ready to accept")

    def start_gateway(self, name: str) -> None:
        given = SETTINGS | {"redis_url": self._redis, "postgres_url": self._postgres}
        (self._folder / name).mkdir()
        listen = ["--host", self._where[name].address, "--port", str(self._ports[name])]
        command = [sys.executable, "-m", "voicewire", "serve", *listen, "--data", str(self._folder / name)]
        self._start(name, command, "speaks on", **given)

    def start_worker(self, name: str) -> None:
        options = ["--engine", "tone", "--workers", "1", "--redis", self._redis, "--name", name]
        command = [sys.executable, "-m", "benchmarks.sleepy", str(RTF), "worker", *options]
        self._start(name, command, "speaks tone")

    def measure(self, seconds: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "benchmarks.workers", "--load", str(seconds), *self.urls]
        return subprocess.Popen([*self._where["hub"].prefix, *command], stdout=subprocess.PIPE, text=True)

    def _start(self, name: str, command: Sequence[str], sign: str, **settings: object) -> None:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("VOICEWIRE_")}
        environ |= {f"VOICEWIRE_{key.upper()}": str(value) for key, value in settings.items()}
        prefix = self._where[name].prefix
        process = self._stack.enter_context(
            subprocess.Popen([*prefix, *command], env=environ, stdout=subprocess.PIPE, text=True)
        )
        self._stack.callback(process.terminate)
        assert process.stdout
        patience = threading.Timer(STARTS_S, process.kill)  # then its output ends, too
        patience.start()
        self._stack.callback(patience.cancel)
        for line in process.stdout:
            if sign in line:
                patience.cancel()
                return
        raise SystemExit(f"{name} did not start")


def told(process: subprocess.Popen[str]) -> Iterator[dict[str, float]]:
    assert process.stdout
    for line in process.stdout:
        yield json.loads(line)


def audio_s_per_s(town: Town) -> tuple[float, int]:
    """Seconds of audio that came in a second, and how many requests failed."""
    with town.measure(WARM_S + MEASURE_S) as process:
        seen = [each for each in told(process) if each["at"] >= WARM_S]
    first, last = seen[0], seen[-1]
    return (last["frames"] - first["frames"]) * 0.02 / (last["at"] - first["at"]), int(last["failed"])


def cut(town: Town, machine: Machine) -> dict[str, object]:
    """Cut a worker's link for a while, and see what comes before, meanwhile and after."""
    rates: list[tuple[float, float]] = []
    last: dict[str, float] = {}
    with town.measure(WARM_S + 3 * CUT_S + 4.0) as process:
        for now in told(process):
            at = now["at"]
            if last and at >= WARM_S:
                rates.append((at, (now["frames"] - last["frames"]) * 0.02 / (at - last["at"])))
            if at >= WARM_S + CUT_S > last.get("at", 0.0):
                machine.link(up=False)
            if at >= WARM_S + 2 * CUT_S > last.get("at", 0.0):
                machine.link(up=True)
            last = now

    def mean(begin: float, end: float) -> float:
        inside = [rate for at, rate in rates if begin <= at < end]
        return sum(inside) / len(inside)

    return {
        "before_cut": mean(WARM_S, WARM_S + CUT_S),
        "while_cut": mean(WARM_S + CUT_S, WARM_S + 2 * CUT_S),
        "healed": mean(WARM_S + 2 * CUT_S + 3.0, WARM_S + 3 * CUT_S + 4.0),
        "failed_by_cut": int(last["failed"]),
        "refused_by_cut": int(last["refused"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--load", type=float, default=0.0)
    parser.add_argument("urls", nargs="*")
    arguments = parser.parse_args()
    if arguments.load:
        asyncio.run(load(arguments.urls, arguments.load))
        return
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vw-")))
        where = stack.enter_context(machines(NAMES))
        postgres = EmbeddedPostgres(folder)
        url = asyncio.run(postgres.start())
        stack.callback(lambda: asyncio.run(postgres.stop()))
        town = Town(stack, where, folder, url)
        town.start_redis()
        for name in ("gateway1", "gateway2"):
            town.start_gateway(name)
        served, failed = [], 0
        for name in NAMES[3:]:
            town.start_worker(name)
            time.sleep(2.0)  # until both gateways have seen it
            rate, errors = audio_s_per_s(town)
            served.append(rate)
            failed += errors
        healing = cut(town, where["worker1"]) if where["worker1"].wire else {}
        report(
            name="workers",
            namespaces=bool(where["worker1"].wire),
            audio_s_per_s_of_1=served[0],
            audio_s_per_s_of_2=served[1],
            audio_s_per_s_of_3=served[2],
            failed=failed,
            reference="three times one worker",
            ratio=served[2] / (3 * served[0]),
            **healing,
        )


if __name__ == "__main__":
    main()
