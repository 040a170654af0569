"""A crowd of listeners on tone workers that take as long as Kokoro: this pool, and one that serves who comes first.

Fifty people listen to texts that they ask for at random times; most of them ask for the half minute ahead that a
server grants. Contexts, blocks, deadlines, admission and worker processes are the real ones. The other pool is the
same one, for which every block is due when it is asked for, and which neither refuses nor shortens anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import sys
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from benchmarks.harness import percentile
from voicewire.clips import Clips
from voicewire.context import Context
from voicewire.engines.base import EngineSpec
from voicewire.engines.outlook import Outlook
from voicewire.engines.pool import LocalPool
from voicewire.engines.ticket import Sink, Ticket
from voicewire.errors import Busy, VoicewireError
from voicewire.pipeline import Order, Pipeline
from voicewire.plan import Plan
from voicewire.timeline import Making
from voicewire.types import Codec, Format, Job, Offsets, Slice

BEGIN_S, RTF = 0.165, 0.24  # Kokoro-82M, bfloat16, two threads: a pass takes so long, and so much of its audio's length
COMMAND = (sys.executable, "-m", "voicewire.worker")
TONE = EngineSpec(
    "voicewire.engines.tone:open_engine", {"delay_s": BEGIN_S, "rtf": RTF, "chunk_ms": 60_000, "lanes": 1}
)
WORKERS = 14  # of which fifty who listen at once need nearly all
PEOPLE = 50
COME_S, RUN_S = 20.0, 90.0  # within which they come, and after which nobody asks for more
REST_S = (1.0, 5.0)  # between two texts, at least and in the mean beyond that
LEADS_MS = (3_000, 30_000, 30_000)
PREFETCH_MS = 2_000
SENTENCES = (5, 10)
SENTENCE_CHARS = (60, 110)
WORDS = "a so the when they have light house there sound every morning quietly between understand"
HEARD_S = 0.02  # of silence
FORMAT = Format(Codec.PCM_S16LE)


class FirstCome(LocalPool):
    """The pool to compare with."""

    def submit(self, job: Job, deadline: float, sink: Sink, **fields: Any) -> Ticket:  # noqa: ARG002 - what is compared
        return super().submit(job, time.monotonic(), sink)

    def postpone(self, ticket: Ticket, deadline: float) -> None: ...

    def outlook(self, *_: object, **__: object) -> Outlook:
        return Outlook()


@dataclass
class Ear:
    """What one listener heard of one text."""

    asked_s: float
    first_s: float = -1.0
    underruns: int = 0
    dry_s: float = 0.0
    dry_at: float = 0.0

    def hear(self, audio_s: float, now: float) -> None:
        if self.first_s < 0:
            self.first_s = now - self.asked_s
        elif now > self.dry_at + HEARD_S:
            self.underruns += 1
            self.dry_s += now - self.dry_at
        self.dry_at = max(self.dry_at, now) + audio_s


@dataclass
class Crowd:
    """What was counted."""

    ears: list[Ear] = field(default_factory=list)
    refused: int = 0
    busy_s: float = 0.0  # of workers, while everybody was there

    def report(self, prefix: str) -> dict[str, float]:
        firsts = [ear.first_s for ear in self.ears if ear.first_s >= 0]
        return {
            f"{prefix}_texts": len(firsts),
            f"{prefix}_underruns": sum(ear.underruns for ear in self.ears),
            f"{prefix}_dry_s": sum(ear.dry_s for ear in self.ears),
            f"{prefix}_first_audio_s_p50": percentile(firsts, 0.5),
            f"{prefix}_first_audio_s_p95": percentile(firsts, 0.95),
            f"{prefix}_refused": self.refused,
            f"{prefix}_load": self.busy_s / (WORKERS * (RUN_S - COME_S)),
        }


class Listening:
    """One text that is listened to: a context, its blocks in the making, and an ear."""

    def __init__(self, pipeline: Pipeline, crowd: Crowd, plan: Plan, ear: Ear, begun_s: float) -> None:
        self.context = Context(plan)
        self._pipeline = pipeline
        self._crowd = crowd
        self._ear = ear
        self._begun_s = begun_s
        self._stirred = asyncio.Event()
        self._laid: set[int] = set()
        self._error: VoicewireError | None = None

    async def listen(self, text: str) -> None:
        """Return when all of it was made and sent. Raises `Busy` where it is refused."""
        now = time.monotonic()
        self.context.text(text, now)
        self.context.end()
        while True:
            now = time.monotonic()
            while wanted := self.context.wanted(now):
                for making in wanted:
                    self._make(making)
            self.context.take(now, self.context.frames_at_once)
            if self.context.over:
                return
            wait_s = self.context.due_at(time.monotonic()) - time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if wait_s == math.inf else max(0.005, wait_s)):
                    await self._stirred.wait()
            self._stirred.clear()
            if self._error:
                raise self._error

    def _make(self, making: Making) -> None:
        plan = self.context.plan
        order = Order("home", plan.model, plan.voice, "", plan.speed, None, plan.format, making.block)
        self._pipeline.make(order, making, self)

    def rendered(self, index: int, slice: Slice) -> None:
        now, audio_s = time.monotonic(), len(slice.packets) * FORMAT.frame_ms / 1000
        before = self.context.timeline.made
        self.context.rendered(index, slice, cached=False)
        if (laid := self.context.timeline.made - before) > 0:
            self._ear.hear(laid / FORMAT.rate_hz, now)
        if COME_S < now - self._begun_s < RUN_S:
            self._crowd.busy_s += RTF * audio_s + (0.0 if index in self._laid else BEGIN_S)
        self._laid.add(index)
        self._stirred.set()

    def failed(self, index: int, error: VoicewireError) -> None:  # noqa: ARG002 - one block fails the whole text
        self._error = error
        self._stirred.set()


def text_of(dice: random.Random) -> str:
    """Sentences without a place to cut them, so that blocks are as long as they may be."""
    return " ".join(_sentence(dice, dice.randint(*SENTENCE_CHARS)) for _ in range(dice.randint(*SENTENCES)))


def _sentence(dice: random.Random, chars: int) -> str:
    words = [dice.choice(WORDS.split())]
    while sum(map(len, words)) + len(words) < chars:
        words.append(dice.choice(WORDS.split()))
    return " ".join(words).capitalize() + "."


async def person(number: int, pipeline: Pipeline, crowd: Crowd, begun_s: float) -> None:
    """Come, listen, rest, and so on; who is refused asks again when told to."""
    dice = random.Random(number)
    lead_ms = LEADS_MS[number % len(LEADS_MS)]
    await asyncio.sleep(dice.uniform(0, COME_S))
    for turn in count():
        ear = Ear(time.monotonic())
        crowd.ears.append(ear)
        await _until_heard(pipeline, crowd, ear, begun_s, text_of(dice), f"{number}.{turn}", lead_ms)
        await asyncio.sleep(max(0.0, ear.dry_at - time.monotonic()) + REST_S[0] + dice.expovariate(1 / REST_S[1]))


async def _until_heard(
    pipeline: Pipeline, crowd: Crowd, ear: Ear, begun_s: float, text: str, name: str, lead_ms: int
) -> None:
    while True:
        first_chars = pipeline.first_chars("tone", tenant="home")
        sizes = (lead_ms, PREFETCH_MS, 400, 400, 100_000)
        plan = Plan(
            name, 0, "tone", "middle", "", 1.0, None, FORMAT, False, Offsets.CODEPOINT, *sizes, first_chars=first_chars
        )
        try:
            await Listening(pipeline, crowd, plan, ear, begun_s).listen(text)
        except Busy as error:
            crowd.refused += 1
            await asyncio.sleep((error.retry_after_ms or 0) / 1000)
        else:
            return


async def crowd_on(kind: type[LocalPool]) -> Crowd:
    """Have the crowd listen by a pool of one kind."""
    pool = kind(TONE, command=COMMAND, workers=WORKERS, queue_limit=1_000, stall_s=60.0, nice=0)
    await pool.start()
    crowd, begun_s = Crowd(), time.monotonic()
    pipeline = Pipeline({"tone": pool}, Clips(0))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(RUN_S), asyncio.TaskGroup() as people:
            for number in range(PEOPLE):
                people.create_task(person(number, pipeline, crowd, begun_s))
    await pool.close()
    return crowd


async def compared() -> dict[str, float]:
    """The figures of both, and what the one is by the other."""
    first_come, ours = await crowd_on(FirstCome), await crowd_on(LocalPool)
    figures = first_come.report("first_come") | ours.report("crowd")
    by = figures["first_come_first_audio_s_p95"] / figures["crowd_first_audio_s_p95"]
    return figures | {"crowd_first_audio_ratio_p95": by}
