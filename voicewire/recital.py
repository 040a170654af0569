"""The whole way for a whole text: split, paid block by block, made ahead of who takes it, and given in order."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import Protocol

from voicewire.blocks import Splitter
from voicewire.catalogue import Choice
from voicewire.clips import Clip
from voicewire.errors import OverQuota, VoicewireError
from voicewire.pipeline import BlockInMaking, Order, Pipeline
from voicewire.tab import Tab
from voicewire.timeline import MAKING_AT_ONCE, Making, Run, Timeline
from voicewire.types import Block, Format, Priority, Slice

FEED_CHARS = 1_000  # of a whole text, split without a pause


class Payer(Protocol):
    """Who pays for a whole text, block by block."""

    tab: Tab

    async def pay(self, making: Making, speed: float, clip_ms: int | None) -> None:
        """Pay for a block before it is made; `clip_ms` is its length if it was before. Raises `OverQuota` or `Busy`."""
        ...


@dataclass(frozen=True, slots=True)
class SpeechOrder:
    """How a whole text is to be spoken, for whom."""

    tenant: str
    choice: Choice
    speed: float = 1.0
    seed: int | None = None
    format: Format = field(default_factory=Format)
    priority: Priority = Priority.INTERACTIVE
    weight: float = 1.0  # of the tenant
    phonemes: bool = False

    def order(self, block: Block) -> Order:
        choice = self.choice
        voice = (choice.model.id, choice.voice, choice.language, self.speed, self.seed)
        phonemes = self.phonemes and choice.model.phonemes
        return Order(self.tenant, *voice, self.format, block, self.weight, phonemes)


class Recital:
    """A whole text on its way, made at most `ahead_ms` before it is taken."""

    def __init__(
        self, pipeline: Pipeline, request: SpeechOrder, text: str, ahead_ms: int, payer: Payer | None = None
    ) -> None:
        self._pipeline = pipeline
        self._payer = payer
        self._request = request
        format = request.format
        self._timeline = Timeline(format.frame_samples, format.rate_hz, request.speed)
        self._tab = payer.tab if payer else Tab(format.frame_samples, format.rate_hz)
        self._ahead = ahead_ms * format.rate_hz // 1000
        self._arrived = asyncio.Event()
        self._error: VoicewireError | None = None
        self._refusal: OverQuota | None = None  # nobody pays any further
        self._makings: dict[int, BlockInMaking] = {}
        model = request.choice.model
        first_chars = pipeline.first_chars(
            model.id, tenant=request.tenant, weight=request.weight, priority=request.priority
        )
        self._splitter = Splitter(
            language=request.choice.language or "en", max_chars=model.max_chars, first_chars=first_chars
        )
        self._begun_s = math.inf  # when the first sound was taken
        self._text = text
        self._split = 0  # code points of it
        self._ended = False

    async def runs(self) -> AsyncGenerator[Run, None]:
        """Yield the audio and words in order; raises what an engine or the payer did. Closing it stops the engine."""
        taken = 0
        try:
            while not self._timeline.idle or not self._ended:
                await self._feed()
                await self._want(taken)
                self._raise()
                while self._timeline.ready:
                    run = self._timeline.ready.popleft()
                    taken += len(run.packets) * self._request.format.frame_samples
                    self._tab.laid(run)
                    self._begun_s = min(self._begun_s, time.monotonic())
                    yield run
                    self._tab.hand_over(taken)
                    await self._feed()
                    await self._want(taken)
                if self._timeline.pieces and not self._timeline.barred:
                    await self._arrived.wait()
                    self._arrived.clear()
        finally:
            for making in self._makings.values():
                making.drop()

    def _raise(self) -> None:
        if self._error:
            raise self._error
        if self._refusal and self._timeline.barred:
            raise self._refusal

    async def _feed(self) -> None:
        """Cut blocks for what is made next, and no more: a book at once would hold up every stream."""
        while len(self._timeline.pieces) <= MAKING_AT_ONCE and not self._ended:
            part = self._text[self._split : self._split + FEED_CHARS]
            self._split += len(part)
            self._ended = self._split == len(self._text)
            for block in (*self._splitter.push(part), *(self._splitter.end() if self._ended else ())):
                self._timeline.add(block)
            if not self._ended:
                await asyncio.sleep(0)

    async def _want(self, taken: int) -> None:
        while asked := self._timeline.wanted(time.monotonic(), taken, self._ahead):
            for making in asked:
                await self._make(self._heard_at_leisure(making))

    def _heard_at_leisure(self, making: Making) -> Making:
        """Who takes audio faster than it is heard is not in more of a hurry for that."""
        if self._begun_s == math.inf:
            return making
        needed_s = self._begun_s + self._timeline.made / self._request.format.rate_hz
        return replace(making, due=max(making.due, needed_s))

    async def _make(self, making: Making) -> None:
        if making.block.silent:
            self.rendered(making.index, Slice([], (), True))
            return
        order = self._request.order(making.block)
        clip = await self._pipeline.find(order)
        if not await self._paid(making, clip):
            return
        if clip is None:
            self._makings[making.index] = self._pipeline.make(order, making, self, priority=self._request.priority)
            return
        for slice in clip.slices:
            self._lay(making.index, slice, cached=True)

    async def _paid(self, making: Making, clip: Clip | None) -> bool:
        """Whether a block may be made; if not, what was paid before it is still heard."""
        if self._payer is None:
            return True
        clip_ms = None if clip is None else clip.frames * self._request.format.frame_ms
        try:
            await self._payer.pay(making, self._request.speed, clip_ms)
        except OverQuota as error:
            self._refusal = error
            self._timeline.bar(making.index)
            return False
        return True

    def rendered(self, index: int, slice: Slice) -> None:
        self._lay(index, slice, cached=False)

    def failed(self, index: int, error: VoicewireError) -> None:  # noqa: ARG002 - one block fails the whole text
        self._error = error
        self._arrived.set()

    def _lay(self, index: int, slice: Slice, *, cached: bool) -> None:
        self._timeline.lay(index, slice, cached=cached)
        if slice.last:
            self._makings.pop(index, None)
        self._arrived.set()
