"""What the way through a worker process costs, and what it gives a crowd: see `crowd`.

The first slice is measured beside `render` in this process, and what a slice costs the gateway.

`ratio` is the reference's median by ours, for the first slice of a sentence, one at a time: 1 would be a hand-off
for nothing.
"""

from __future__ import annotations

import asyncio
import gc
import time

import uvloop

from benchmarks.crowd import COMMAND, compared
from benchmarks.harness import percentile, report
from voicewire.engines.base import EngineSpec
from voicewire.engines.espeak import open_engine
from voicewire.engines.pool import LocalPool
from voicewire.errors import VoicewireError
from voicewire.render import Encoders, render
from voicewire.types import Format, Job, Slice, Utterance

ESPEAK = EngineSpec("voicewire.engines.espeak:open_engine")
TIMES = 400
PAUSE_S = 0.005  # between sentences: one listener, an idle machine
FLOOD = 200
SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "It was a bright cold day in April, and the clocks were striking thirteen.",
    "All happy families are alike.",
    "Call me Ishmael.",
    "It is a truth universally acknowledged, that a man in possession of a fortune must be in want of a wife.",
)


class Listener:
    """Notes when a block begins and ends."""

    def __init__(self) -> None:
        self.asked_s = time.perf_counter()
        self.first_s = 0.0
        self.slices = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def slice(self, s: Slice) -> None:
        if s.packets and not self.first_s:
            self.first_s = time.perf_counter() - self.asked_s
        self.slices += 1
        if s.last:
            self.ended.set_result(None)

    def failed(self, error: VoicewireError) -> None:
        self.ended.set_exception(error)


def job(nth: int, voice: str) -> Job:
    return Job(Utterance(SENTENCES[nth % len(SENTENCES)], voice), Format(), 200)


def alone() -> list[float]:
    """Seconds to each first slice without a pool."""
    engine, encoders, taken = open_engine(), Encoders(), []
    gc.collect()
    gc.freeze()  # as the worker does
    for nth in range(TIMES):
        time.sleep(PAUSE_S)
        begun = time.perf_counter()
        slices = render(engine, job(nth, engine.model.default_voice), encoders)
        next(slice for slice in slices if slice.packets)
        taken.append(time.perf_counter() - begun)
        for _ in slices:
            pass
    return taken


async def through(pool: LocalPool) -> list[float]:
    """Seconds to each first slice, one sentence after the other."""
    taken = []
    for nth in range(TIMES):
        await asyncio.sleep(PAUSE_S)
        listener = Listener()
        pool.submit(job(nth, pool.model.default_voice), time.monotonic(), listener)
        await listener.ended
        taken.append(listener.first_s)
    return taken


async def flood(pool: LocalPool) -> tuple[float, float]:
    """Seconds of this process's processor time per slice and per block, with many blocks at once."""
    listeners = []
    begun = time.process_time()
    for nth in range(FLOOD):
        listeners.append(Listener())
        pool.submit(job(nth, pool.model.default_voice), time.monotonic(), listeners[-1])
    await asyncio.gather(*(listener.ended for listener in listeners))
    used = time.process_time() - begun
    return used / sum(listener.slices for listener in listeners), used / FLOOD


async def measure() -> tuple[list[float], tuple[float, float]]:
    pool = LocalPool(ESPEAK, command=COMMAND, workers=1, queue_limit=2 * FLOOD)
    await pool.start()
    firsts, costs = await through(pool), min([await flood(pool) for _ in range(5)])
    await pool.close()
    return firsts, costs


def main() -> None:
    reference = alone()
    firsts, (slice_s, block_s) = uvloop.run(measure())
    report(
        name="pool",
        first_slice_ms_p50=percentile(firsts, 0.5) * 1e3,
        first_slice_ms_p99=percentile(firsts, 0.99) * 1e3,
        handoff_ms_p50=(percentile(firsts, 0.5) - percentile(reference, 0.5)) * 1e3,
        gateway_us_per_slice=slice_s * 1e6,
        gateway_us_per_block=block_s * 1e6,
        reference="render, in this process",
        reference_ms_p50=percentile(reference, 0.5) * 1e3,
        reference_ms_p99=percentile(reference, 0.99) * 1e3,
        ratio=percentile(reference, 0.5) / percentile(firsts, 0.5),
        **uvloop.run(compared()),
    )


if __name__ == "__main__":
    main()
