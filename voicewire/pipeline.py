"""The one way from a block to its audio, clip or engine, and `speak`, the whole way for a whole text."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Protocol

from voicewire.blocks import FIRST_CHARS, Splitter
from voicewire.cache.noop import Noop
from voicewire.cache.shelf import Shelf
from voicewire.catalogue import Choice
from voicewire.clips import Clip, Clips, Keys, Take, clip_key, take_key
from voicewire.consents import Consents
from voicewire.engines.outlook import Outlook
from voicewire.engines.pooling import Pool
from voicewire.errors import BadRequest, Busy, OverQuota, VoicewireError
from voicewire.forms import Forms
from voicewire.synthesis import BlockInMaking, Flight, Listener, Order, Synthesis
from voicewire.tab import Tab
from voicewire.timeline import MAKING_AT_ONCE, Making, Run, Timeline
from voicewire.types import Block, Format, Priority, Slice

__all__ = ["BlockInMaking", "Listener", "Order", "Payer", "Pipeline", "Recital", "Request"]

FEED_CHARS = 1_000  # of a whole text, split without a pause
WAIT_MAX_S = 2.0
SHORTER_FIRST = ((0.1, 36), (0.03, 48))
"""How long newcomers wait, in seconds, and how many characters their first block may have then.

A listener hears 36 characters for as long as Kokoro on a processor takes for the 130 behind them. The sizes are few, so
that clips are found again.
"""

LOGGER = logging.getLogger(__name__)


class Payer(Protocol):
    """Who pays for a whole text, block by block."""

    tab: Tab

    async def pay(self, making: Making, speed: float, clip_ms: int | None) -> None:
        """Pay for a block before it is made; `clip_ms` is its length if it was before. Raises `OverQuota` or `Busy`."""
        ...


class Pipeline:
    """Engines and clips behind one door: clips in memory, on the shelf behind it, made of takes, and in the making.

    `public` says of a model and a voice of it whether all tenants share what was made with them.
    """

    def __init__(
        self,
        pools: Mapping[str, Pool],
        clips: Clips,
        shelf: Shelf | None = None,
        flight: Flight | None = None,
        public: Callable[[str, str], bool] = lambda *_: False,
        wait_max_s: float = WAIT_MAX_S,
    ) -> None:
        self.clips = clips
        self.pools = pools
        self.shelf = shelf or Shelf(Noop())
        self.joined = 0  # blocks that were in the making already
        self.refused: Counter[str] = Counter()  # utterances by model: their first block would have waited too long
        self._flight = flight
        self._public = public
        self._wait_max_s = wait_max_s
        self._shares = self.shelf.keeps or clips.size_bytes > 0
        self._forms = Forms(self.shelf)
        self._consents = Consents(pools)
        self._latest: tuple[Order | None, Keys] = (None, Keys(b"", b"", ""))  # asked for several times in a row
        self._syntheses: dict[bytes, Synthesis] = {}

    def close(self) -> None:
        """Nothing is made any more."""
        self._forms.close()

    def figures(self) -> dict[str, int]:
        """Return what was counted of clips in memory, and of the cache behind."""
        clips, held = self.clips, self.shelf.held
        waited = self._flight.waited if self._flight else 0
        memory = {"bytes": clips.used_bytes, "hits": clips.hits, "misses": clips.misses, "joined": self.joined}
        memory |= {"waited": waited, "encoded": self._forms.encoded}
        behind = {"bytes": held.size_bytes, "clips": held.clips, "evicted": held.evicted, **asdict(self.shelf.stats)}
        return {
            **{f"clips_{name}": value for name, value in memory.items()},
            **{f"cache_{name}": value for name, value in behind.items()},
        }

    def key(self, order: Order) -> bytes:
        """Return the name of the block's clip."""
        return self._keys(order).clip

    def _keys(self, order: Order) -> Keys:
        latest, keys = self._latest
        if latest is not order:
            pool = self.pools.get(order.model)
            version = pool.model.version if pool else ""
            consent = self._consents.of(order.model, order.voice)
            take = take_key(self._scope(order), order.model, version, order.job.utterance, consent)
            keys = Keys(take, clip_key(take, order.job), consent)
            self._latest = order, keys
        return keys

    def name(self, order: Order) -> str:
        """Return the key for clients to ask for; empty where no clip is kept."""
        return self.key(order).hex() if self._shares else ""

    def _scope(self, order: Order) -> str:
        return "" if self._public(order.model, order.voice) else order.tenant

    def clip(self, order: Order) -> Clip | None:
        """Return the block's clip if it is in memory."""
        return self.clips.get(self.key(order))

    def stored(self, order: Order) -> bool:
        """Whether `find` may find what `clip` did not. Returns at once."""
        key = self.key(order)
        return key not in self._syntheses and self.shelf.may_have(key)

    async def find(self, order: Order) -> Clip | None:
        """Return the block's clip, wherever it is."""
        clip = self.clip(order)
        if clip is None and self.stored(order):
            asked = self.shelf.ask(self._keys(order).take)
            clip = await self.audio(self.key(order))
            if asked and clip is None:
                await asyncio.shield(asked)  # so that `make` need not; others may wait for the same
        return clip

    async def audio(self, key: bytes) -> Clip | None:
        """Return a clip by its name, whosever it is; none in a voice whose consent is not in force."""
        clip = self.clips.peek(key)
        if clip is None and (clip := await self._shelved(key)):
            self.clips.put(key, clip)
        return clip if clip and self._consents.hold(clip.consent) else None

    async def _shelved(self, key: bytes) -> Clip | None:
        found = await self.shelf.get(key) if self.shelf.may_have(key) else None
        return found if isinstance(found, Clip) else None

    def make(
        self, order: Order, making: Making, listener: Listener, *, priority: Priority = Priority.LIVE
    ) -> BlockInMaking:
        """Have the block made by the time that it is due, of its take or by an engine, or join those who wait for it.

        Raises `Busy` when too much is waiting, or a first block would wait too long, and `BadRequest` for a model that
        only another gateway has.
        """
        pool = self.pools.get(order.model)
        if pool is None:
            raise BadRequest("unknown_model", model=order.model)
        take, key, _ = keys = self._keys(order)
        synthesis = self._syntheses.get(key)
        if synthesis and synthesis.priority <= priority:
            self.joined += 1
            return synthesis.join(making, listener)
        ended = partial(self._ended, keys)
        synthesis = Synthesis(pool, order, making.due, priority, ended, record=self.shelf.keeps_takes)
        if clip := self.clips.peek(key):  # made while its listener did something else
            synthesis.fetched = True
            synthesis.take(clip.slices)
        else:
            if not making.index and not self._recorded(take):
                self._admit(pool, order, priority)
            self._begin(synthesis, take, key, first=not making.index)
        return synthesis.join(making, listener)

    def _admit(self, pool: Pool, order: Order, priority: Priority) -> None:
        """Refuse an utterance while it can be refused: no block behind the first is, once somebody listens."""
        outlook = pool.outlook(priority, tenant=order.tenant, weight=order.weight)
        if retry_ms := outlook.retry_ms(self._wait_max_s):
            self.refused[order.model] += 1
            raise Busy(retry_after_ms=retry_ms)

    def first_chars(self, model: str, *, tenant: str, weight: float = 1.0, priority: Priority = Priority.LIVE) -> int:
        """Return how long a first block may be: load makes it shorter, before it makes anybody wait."""
        pool = self.pools.get(model)
        outlook = pool.outlook(priority, tenant=tenant, weight=weight) if pool else Outlook()
        waits_s = max(outlook.wait_s, outlook.waited_s)
        return next((chars for seconds, chars in SHORTER_FIRST if waits_s >= seconds), FIRST_CHARS)

    def _begin(self, synthesis: Synthesis, take: bytes, key: bytes, *, first: bool) -> None:
        recorded = self._recorded(take)
        if recorded or self._flight:
            leading = self._replay(synthesis, take, key, first=first) if recorded else self._lead(synthesis, key)
            synthesis.lead = asyncio.create_task(leading, name="who makes a block")
            synthesis.lead.add_done_callback(partial(_report, synthesis))
        else:
            synthesis.submit()
        if self._shares:
            self._syntheses[key] = synthesis

    def _recorded(self, take: bytes) -> bool:
        return self.shelf.keeps_takes and self.shelf.may_have(take)

    async def _replay(self, synthesis: Synthesis, take: bytes, key: bytes, *, first: bool) -> None:
        """Have the block encoded of its take; where there turns out to be none, have it made."""
        order = synthesis.order
        if await self._forms.encode(take, order.job, synthesis.slice):
            return
        try:
            if first:
                self._admit(synthesis.pool, order, synthesis.priority)
        except Busy as error:
            synthesis.failed(error)
        else:
            await self._lead(synthesis, key)

    async def _lead(self, synthesis: Synthesis, key: bytes) -> None:
        """Have the block made here, unless another gateway does."""
        if self._flight and not await self._flight.lead(key) and (clip := await self._shelved(key)):
            synthesis.fetched = True
            synthesis.take(clip.slices)
            return
        try:
            synthesis.submit()
        except VoicewireError as error:
            synthesis.failed(error)

    def _ended(self, keys: Keys, synthesis: Synthesis) -> None:
        """A block was made, or will not be."""
        take, key, consent = keys
        if self._syntheses.get(key) is synthesis:
            del self._syntheses[key]
        ended = partial(self._flight.made, key) if self._flight else lambda: None
        if synthesis.complete and self._consents.hold(consent):
            order = synthesis.order
            clip = Clip(self._scope(order), order.format, tuple(synthesis.slices), consent)
            self.clips.put(key, clip)
            if not synthesis.fetched:
                self.shelf.put(key, clip, ended)
            if synthesis.recording:
                self.shelf.put(take, Take(synthesis.recording))
        elif self._flight:
            self._flight.given_up(key)

    def speak(self, request: Request, text: str, *, ahead_ms: int, payer: Payer | None = None) -> Recital:
        """Speak a whole text; nothing is made before the first run is asked for."""
        return Recital(self, request, text, ahead_ms, payer)


def _report(synthesis: Synthesis, lead: asyncio.Task[None]) -> None:
    if not lead.cancelled() and (error := lead.exception()):
        LOGGER.error("nobody can be asked to make a block", exc_info=error)
        synthesis.failed(VoicewireError("internal"))


@dataclass(frozen=True, slots=True)
class Request:
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
