"""One text of a job, spoken: part by part into its folder, each part billed once whatever is killed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from voicewire.auth.principal import Principal
from voicewire.catalogue import Choice, Names, require_model
from voicewire.pipeline import Pipeline
from voicewire.recital import Recital, SpeechOrder
from voicewire.server.bill import Bill
from voicewire.server.jobs.parts import Part, parts_of
from voicewire.server.jobs.records import Item
from voicewire.server.jobs.shelf import Mark, Shelf, Spool
from voicewire.server.jobs.work import Lost, Work
from voicewire.server.metering import Meter
from voicewire.server.spoken import Spoken
from voicewire.storage.ledger import Ledger
from voicewire.tab import Tab
from voicewire.timeline import Run
from voicewire.types import Block, Codec, Format, Priority

FRAME_MS = 20
AHEAD_MS = 10_000  # made before it is written
WRITTEN_AT_ONCE = 1 << 18  # bytes of samples: one visit to the disk


@dataclass(slots=True)
class Progress:
    """How far a text is. `until`: when the lease ends that is known to be held, by this process's clock."""

    until: float
    rate_hz: int
    samples: int = 0
    blocks: list[int] = field(default_factory=list)  # of each part that is spoken …
    begun: int = 0  # … and of the one that is not

    @property
    def done_ms(self) -> int:
        return self.samples * 1000 // self.rate_hz

    def check(self) -> None:
        """Raise `Lost` where somebody else may have the text by now: nothing is written any more."""
        if time.monotonic() > self.until:
            raise Lost


@dataclass(slots=True)
class _Buffer:
    """Runs of a part, until they are written."""

    offset: int  # code points before the part
    before: int  # samples before the part
    pcm: bytearray = field(default_factory=bytearray)
    marks: list[Mark] = field(default_factory=list)

    def take(self, run: Run) -> None:
        for packet in run.packets:
            self.pcm += packet
        for start, stop, begins, ends in run.words:
            self.marks.append((self.offset + start, self.offset + stop, self.before + begins, self.before + ends))

    def drain(self) -> tuple[bytes, list[Mark]]:
        pcm, marks = bytes(self.pcm), self.marks
        self.pcm, self.marks = bytearray(), []
        return pcm, marks


@dataclass(frozen=True, slots=True)
class Speaker:
    """Speaks texts. `confirm` tells who a caller is by now, and raises `Unauthorized` where that is nobody."""

    work: Work
    shelf: Shelf
    pipeline: Pipeline
    meter: Meter
    ledger: Ledger
    catalogue: Callable[[str], Names]  # of a tenant
    confirm: Callable[[Principal], Awaitable[Principal]]
    heard: Callable[[float], None]  # seconds of audio that were made

    async def speak(self, item: Item, progress: Progress) -> None:
        """Speak what is left of a text, to its end. Raises `Lost`, and what an engine or the payer did."""
        caller = await self.confirm(_lasting(item.caller))
        choice = self.catalogue(caller.tenant).resolve(item.model, item.manner.voice, item.manner.language)
        require_model(caller.limits.models, choice.model.id)
        parts = await asyncio.to_thread(parts_of, item.text, choice.language, choice.model.max_chars)
        spool = await asyncio.to_thread(self.shelf.open, item.job, item.number, item.samples, item.words_bytes)
        try:
            progress.blocks = list(item.blocks) if spool.whole else []
            progress.samples = spool.samples
            for index in range(len(progress.blocks), len(parts)):
                await self._part(item, caller, choice, parts[index], spool, progress)
            progress.check()
            made = await asyncio.to_thread(spool.finish, item.manner, item.text)
            await self.work.complete(item, progress.done_ms, made.size_bytes, made.sha256)
            await asyncio.to_thread(spool.drop)
        finally:
            await asyncio.to_thread(spool.close)

    async def _part(
        self, item: Item, caller: Principal, choice: Choice, part: Part, spool: Spool, progress: Progress
    ) -> None:
        manner, index = item.manner, len(progress.blocks)
        format = Format(Codec.PCM_S16LE, manner.rate_hz, FRAME_MS)
        spoken = Spoken(caller, item.stream(index), choice.model.id, choice.voice)
        if item.epoch > 1:
            await self.ledger.recall(caller.tenant, spoken.stream)
        sharing = (Priority.BATCH, caller.limits.weight)
        order = SpeechOrder(caller.tenant, choice, manner.speed, manner.seed, format, *sharing)
        bill = self.meter.open(spoken, Tab(format.frame_samples, format.rate_hz), counted=index > 0)
        before = progress.samples
        await self._recite(order, part, bill, spool, progress)
        await asyncio.to_thread(spool.sync)
        await self.ledger.told(caller.tenant, spoken.stream)
        progress.blocks.append(progress.begun)
        progress.begun = 0
        await self.work.advance(item, progress.blocks, progress.samples, spool.words_bytes, progress.done_ms)
        self._learn(spoken, part, (progress.samples - before) * 1000 // manner.rate_hz, manner.speed)

    def _learn(self, spoken: Spoken, part: Part, audio_ms: int, speed: float) -> None:
        self.heard(audio_ms / 1000)
        if audio_ms:
            self.meter.paces.learn(spoken, Block(part.start, part.text, part.text, 0), audio_ms, speed)

    async def _recite(self, order: SpeechOrder, part: Part, bill: Bill, spool: Spool, progress: Progress) -> None:
        """Speak a part and bill it; what breaks off is parked, and goes on under the same name."""
        buffer = _Buffer(part.start, progress.samples)
        runs = Recital(self.pipeline, order, part.text, AHEAD_MS, bill).runs()
        try:
            async for run in runs:
                buffer.take(run)
                progress.begun = run.block + 1
                progress.samples += len(run.packets) * order.format.frame_samples
                if len(buffer.pcm) >= WRITTEN_AT_ONCE:
                    progress.check()
                    await asyncio.to_thread(spool.write, *buffer.drain())
                bill.handed()
            progress.check()
            await asyncio.to_thread(spool.write, *buffer.drain())
        except BaseException:
            await runs.aclose()
            await asyncio.shield(self.meter.start(bill.park()))
            raise
        await bill.finish()

    async def give_back(self, item: Item, progress: Progress) -> None:
        """A text that fails costs nothing: what was billed of it goes back."""
        spoken = Spoken(item.caller, "", item.model, item.manner.voice)
        for index, blocks in enumerate([*progress.blocks, progress.begun]):
            stream = item.stream(index)
            billed = await self.ledger.recall(item.caller.tenant, stream)
            for block in sorted(billed.union(range(blocks))):
                await self.ledger.amend(replace(spoken, stream=stream).item(block, cached=False), 0, 0)


def _lasting(caller: Principal) -> Principal:
    """A person who asked is not there when a job goes on: neither the token's end nor a logout ends it."""
    return replace(caller, id=caller.user, expires=None) if caller.kind == "user" else caller
