"""The one way from a block to its audio, clip or engine, and `speak`, the whole way for a whole text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from voicewire.blocks import Splitter
from voicewire.catalogue import Choice
from voicewire.clips import Clip, Clips, clip_key, frames_of
from voicewire.engines.pooling import Pool
from voicewire.engines.schedule import Ticket
from voicewire.errors import BadRequest, OverQuota, VoicewireError
from voicewire.tab import Tab
from voicewire.timeline import MAKING_AT_ONCE, Making, Run, Timeline
from voicewire.types import Block, Format, Job, Slice, Utterance

FEED_CHARS = 1_000  # of a whole text, split without a pause


@dataclass(frozen=True)
class Order:
    """A block that somebody wants: everything an engine and an encoder must know."""

    tenant: str
    model: str
    voice: str
    language: str
    speed: float
    seed: int | None
    format: Format
    block: Block

    @cached_property
    def job(self) -> Job:
        utterance = Utterance(self.block.spoken, self.voice, self.language, self.speed, self.seed)
        return Job(utterance, self.format, self.block.pause_ms)

    @cached_property
    def key(self) -> bytes:
        return clip_key(self.tenant, self.model, self.job)


class Listener(Protocol):
    """Who waits for blocks, by index. Never called again after `BlockInMaking.drop` or `leave`."""

    def rendered(self, index: int, slice: Slice) -> None: ...

    def failed(self, index: int, error: VoicewireError) -> None: ...


class Payer(Protocol):
    """Who pays for a whole text, block by block."""

    tab: Tab

    async def pay(self, making: Making, speed: float, clip_ms: int | None) -> None:
        """Pay for a block before it is made; `clip_ms` is its length if it was before. Raises `OverQuota` or `Busy`."""
        ...


class BlockInMaking:
    """A block being made: passes slices on to its listener and keeps them for the clip."""

    __slots__ = ("_clips", "_index", "_key", "_pool", "_slices", "block", "listener", "ticket")

    def __init__(self, pool: Pool, clips: Clips, key: bytes, making: Making, listener: Listener) -> None:
        self._pool = pool
        self._clips = clips
        self._key = key
        self._index = making.index
        self.block = making.block
        self._slices: list[Slice] = []
        self.listener: Listener | None = listener
        self.ticket: Ticket | None = None

    def slice(self, slice: Slice) -> None:
        self._slices.append(slice)
        if slice.last:
            self._clips.put(self._key, tuple(self._slices))
        if self.listener is not None:
            self.listener.rendered(self._index, slice)

    def failed(self, error: VoicewireError) -> None:
        if self.listener is not None:
            self.listener.failed(self._index, error)

    @property
    def frames(self) -> int:
        """Codec frames made so far."""
        return frames_of(self._slices)

    def drop(self) -> None:
        """Stop: nobody wants it any more."""
        self.listener = None
        if self.ticket is not None:
            self._pool.cancel(self.ticket)

    def leave(self) -> None:
        """Go on without a listener: whoever comes back finds the clip."""
        self.listener = None


class Pipeline:
    """Engines and clips behind one door."""

    def __init__(self, pools: Mapping[str, Pool], clips: Clips) -> None:
        self.clips = clips
        self.pools = pools

    def clip(self, order: Order) -> Clip | None:
        """Return the block if it was made before for this tenant."""
        return self.clips.get(order.key)

    def make(self, order: Order, making: Making, listener: Listener) -> BlockInMaking:
        """Have the block made by the time that it is due.

        Raises `Busy` when too much is waiting, `BadRequest` for a model that only another gateway has.
        """
        pool = self.pools.get(order.model)
        if pool is None:
            raise BadRequest("unknown_model", model=order.model)
        block = BlockInMaking(pool, self.clips, order.key, making, listener)
        block.ticket = pool.submit(order.job, making.due, block, tenant=order.tenant)
        return block

    def speak(self, request: Request, text: str, *, ahead_ms: int, payer: Payer | None = None) -> Recital:
        """Speak a whole text; nothing is made before the first run is asked for."""
        return Recital(self, request, text, ahead_ms, payer)


@dataclass(frozen=True, slots=True)
class Request:
    """How a whole text is to be spoken, for whom."""

    tenant: str
    choice: Choice
    speed: float = 1.0
    seed: int | None = None
    format: Format = field(default_factory=Format)

    def order(self, block: Block) -> Order:
        choice = self.choice
        return Order(
            self.tenant, choice.model.id, choice.voice, choice.language, self.speed, self.seed, self.format, block
        )


class Recital:
    """A whole text on its way, made at most `ahead_ms` before it is taken."""

    def __init__(self, pipeline: Pipeline, request: Request, text: str, ahead_ms: int, payer: Payer | None) -> None:
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
        self._splitter = Splitter(language=request.choice.language or "en", max_chars=request.choice.model.max_chars)
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
                await self._make(making)

    async def _make(self, making: Making) -> None:
        if making.block.silent:
            self.rendered(making.index, Slice([], (), True))
            return
        order = self._request.order(making.block)
        clip = self._pipeline.clip(order)
        if not await self._paid(making, clip):
            return
        if clip is None:
            self._makings[making.index] = self._pipeline.make(order, making, self)
            return
        for slice in clip:
            self._lay(making.index, slice, cached=True)

    async def _paid(self, making: Making, clip: Clip | None) -> bool:
        """Whether a block may be made; if not, what was paid before it is still heard."""
        if self._payer is None:
            return True
        clip_ms = None if clip is None else frames_of(clip) * self._request.format.frame_ms
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
