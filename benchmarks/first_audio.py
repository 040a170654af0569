"""First audio: text message sent → first Opus frame received, idle and with other listeners beside it.

Two references, in the same run. `fifo` is the leanest server that speaks who comes first, first: asked in turns with
ours while both are idle, then each beside a crowd of its own, one after the other and again. Both have the same cores:
the server the first, a worker the other, or one each where there is a crowd. `engine` is engine and encoder alone, in
this process, one after another. Clips are off. The targets of milliseconds are those of a machine where a study of such
a server took what `STUDIED_MS` says; on any other one, the ratios say whether they are met.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass

import uvloop

from benchmarks.asking import Asker, BareAsker, BareListener, Crowd, Listener, Refused
from benchmarks.fifo import served_in_turn
from benchmarks.harness import SENTENCES, Served, connect, percentile, pin_workers, report, served
from voicewire.engines.espeak import open_engine
from voicewire.render import Encoders, render
from voicewire.types import Format, Job, Utterance

PAUSE_S = 0.03  # between asks
COLD = 10  # the first asks, which do not count
ROUNDS = 2
STUDIED_MS = {"idle_p50": 1.44, "idle_p99": 3.2, "busy_p99": 34.0}
TARGETS_MS = {"idle_p50": 2.0, "idle_p99": 5.0, "busy_p99": 20.0}


@dataclass
class Ours:
    """Asks voicewire."""

    server: Served
    listener: type[Listener] = Listener
    asker: Asker | None = None
    number: int = 0
    refused: int = 0

    async def ask(self, text: str) -> float:
        """Return the seconds until the first frame; who is refused comes back when told to."""
        if self.asker is None:
            asker = await connect(Asker, self.server)
            assert isinstance(asker, Asker)
            self.asker = asker
        while True:
            self.number += 1
            try:
                return await self.asker.ask(self.number, text)
            except Refused as refused:
                self.refused += 1
                await asyncio.sleep(refused.retry_s)

    def leave(self) -> None:
        if self.asker:
            self.asker.transport.disconnect()
        self.asker = None


@dataclass
class Bare:
    """Asks the reference."""

    server: Served
    listener: type[Listener] = BareListener

    async def ask(self, text: str) -> float:
        """Return the seconds until the first frame."""
        asker = await connect(BareAsker, self.server)
        assert isinstance(asker, BareAsker)
        await asyncio.sleep(PAUSE_S)
        seconds = await asker.ask(text)
        asker.transport.disconnect()
        return seconds

    def leave(self) -> None:
        """There is nothing to leave."""


async def in_turns(asks: int, *sides: Ours | Bare) -> list[list[float]]:
    """Return each side's seconds."""
    seconds: list[list[float]] = [[] for _ in sides]
    for number in range(asks):
        for side, taken in zip(sides, seconds, strict=True):
            taken.append(await side.ask(SENTENCES[number % 3]))
            await asyncio.sleep(PAUSE_S)
    for side in sides:
        side.leave()
    return [taken[COLD:] for taken in seconds]


async def beside_a_crowd(asks: int, listeners: int, side: Ours | Bare) -> tuple[list[float], float]:
    """Return the seconds, and the frames a second that reach the others."""
    crowd = Crowd()
    await crowd.gather(side.listener, side.server, listeners)
    (seconds,) = await in_turns(asks, side)
    return seconds, crowd.leave()


def engine_alone(asks: int) -> list[float]:
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
    return seconds[COLD:]


def figures(name: str, seconds: list[float]) -> dict[str, float]:
    return {f"{name}_p50_ms": percentile(seconds, 0.5) * 1e3, f"{name}_p99_ms": percentile(seconds, 0.99) * 1e3}


def ratios(found: dict[str, float]) -> dict[str, float]:
    return {f"ratio_{name}": found[f"{name}_ms"] / found[f"reference_{name}_ms"] for name in TARGETS_MS}


def idle(asks: int) -> dict[str, float]:
    with served([0], cache_bytes=0, cache="noop") as server, served_in_turn(1) as bare:
        pin_workers(server, [1])
        ours, theirs = uvloop.run(in_turns(asks, Ours(server), Bare(bare)))
    return figures("idle", ours) | figures("reference_idle", theirs)


def busy(asks: int, listeners: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {"busy": [], "reference_busy": []}
    frames: dict[str, list[float]] = {"busy": [], "reference_busy": []}
    with served([0], cache_bytes=0, cache="noop") as server, served_in_turn(2) as bare:
        pin_workers(server, [0, 1])
        ours, theirs = Ours(server), Bare(bare)
        for name, side in (("busy", ours), ("reference_busy", theirs)) * ROUNDS:
            taken, per_s = uvloop.run(beside_a_crowd(asks // ROUNDS, listeners, side))
            seconds[name] += taken
            frames[name].append(per_s)
    found = figures("busy", seconds["busy"]) | figures("reference_busy", seconds["reference_busy"])
    rates = {f"{name}_frames_per_s": sum(rates) / len(rates) for name, rates in frames.items()}
    return found | rates | {"busy_refused": ours.refused}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asks", type=int, default=300)
    parser.add_argument("--listeners", type=int, default=200)
    options = parser.parse_args()
    found = idle(options.asks) | busy(options.asks, options.listeners)
    report(
        name="first_audio",
        listeners=options.listeners,
        reference="the leanest server that speaks who comes first, first",
        **found,
        **ratios(found),
        **figures("engine", engine_alone(options.asks)),
        targets_ms=TARGETS_MS,
        target_ratios={name: round(TARGETS_MS[name] / STUDIED_MS[name], 2) for name in TARGETS_MS},
    )


if __name__ == "__main__":
    main()
