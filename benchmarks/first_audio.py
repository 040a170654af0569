"""First audio: text message sent → first Opus frame received, idle and with other listeners beside it.

The reference, in the same run: the same sentences through engine and encoder in this process, without a
server, a socket or another process. Clips are off.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time

import uvloop

from benchmarks.harness import SENTENCES, Client, Served, connect, percentile, report, served
from voicewire.engines.espeak import open_engine
from voicewire.render import Encoders, render
from voicewire.types import Format, Job, Utterance


class Asker(Client):
    """Asks again and again, and cancels as soon as the first frame is there."""

    def __init__(self) -> None:
        super().__init__()
        self.first: asyncio.Future[float] | None = None
        self.over = asyncio.Event()

    def audio(self, payload: memoryview, now: float) -> None:  # noqa: ARG002
        if self.first is not None and not self.first.done():
            self.first.set_result(now)

    def message(self, message: dict[str, object]) -> None:
        if message["type"] in {"cancelled", "done", "error"}:
            assert message["type"] != "error", message
            self.over.set()

    async def ask(self, number: int, text: str) -> float:
        """Return the seconds until the first frame."""
        self.first = asyncio.get_running_loop().create_future()
        self.over.clear()
        sent = time.perf_counter()
        self.send({"type": "speak", "context": f"c{number}", "text": text})
        seconds = await self.first - sent
        self.send({"type": "cancel", "context": f"c{number}"})
        await self.over.wait()
        return seconds


class Listener(Client):
    """Listens all the time: one utterance after another, in real time."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.random = random.Random(id(self))

    def message(self, message: dict[str, object]) -> None:
        if message["type"] == "done":
            asyncio.get_running_loop().call_later(max(0.0, 0.1), self.speak)

    def speak(self) -> None:
        self.number += 1
        text = " ".join(self.random.choice(SENTENCES) for _ in range(4))
        self.send({"type": "speak", "context": f"c{self.number}", "text": text})


async def measure(server: Served, asks: int, listeners: int) -> list[float]:
    others = []
    for _ in range(listeners):
        listener = await connect(Listener, server)
        assert isinstance(listener, Listener)
        others.append(listener)
        asyncio.get_running_loop().call_later(random.random() * 5, listener.speak)
    await asyncio.sleep(8 if listeners else 0.5)
    asker = await connect(Asker, server)
    assert isinstance(asker, Asker)
    seconds = []
    for number in range(asks):
        seconds.append(await asker.ask(number, SENTENCES[number % 3]))
        await asyncio.sleep(0.03)
    for client in (asker, *others):
        client.transport.disconnect()
    return seconds[20:]


def reference(asks: int) -> list[float]:
    engine = open_engine()
    encoders = Encoders()
    seconds = []
    for number in range(asks):
        job = Job(Utterance(SENTENCES[number % 3], engine.model.default_voice), Format(), 0)
        started = time.perf_counter()
        slices = render(engine, job, encoders)
        next(slices)
        seconds.append(time.perf_counter() - started)
        slices.close()
    engine.close()
    return seconds[20:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asks", type=int, default=300)
    parser.add_argument("--listeners", type=int, default=200)
    options = parser.parse_args()
    alone = reference(options.asks)
    with served(cache_bytes=0) as server:
        idle = uvloop.run(measure(server, options.asks, 0))
        busy = uvloop.run(measure(server, options.asks, options.listeners))
    report(
        name="first_audio",
        idle_p50_ms=percentile(idle, 0.5) * 1e3,
        idle_p99_ms=percentile(idle, 0.99) * 1e3,
        listeners=options.listeners,
        busy_p50_ms=percentile(busy, 0.5) * 1e3,
        busy_p99_ms=percentile(busy, 0.99) * 1e3,
        reference="engine and encoder in process",
        reference_p50_ms=percentile(alone, 0.5) * 1e3,
        reference_p99_ms=percentile(alone, 0.99) * 1e3,
        ratio_p50=percentile(idle, 0.5) / percentile(alone, 0.5),
        targets={"idle_p50_ms": 2, "idle_p99_ms": 5, "busy_p99_ms": 20},
    )


if __name__ == "__main__":
    main()
