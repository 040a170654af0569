"""The one way from a block to its audio: a clip, a take, or an engine."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial

from voicewire.blocks import FIRST_CHARS
from voicewire.cache.noop import Noop
from voicewire.cache.shelf import Shelf
from voicewire.clips import Clip, Clips, Keys, Take, clip_key, take_key
from voicewire.consents import Consents
from voicewire.engines.outlook import Outlook
from voicewire.engines.pooling import Pool
from voicewire.errors import BadRequest, Busy, VoicewireError
from voicewire.forms import Forms
from voicewire.synthesis import BlockInMaking, Flight, Listener, Order, Synthesis
from voicewire.timeline import Making
from voicewire.types import Codec, Priority

__all__ = ["BlockInMaking", "Listener", "Order", "Pipeline"]

WAIT_MAX_S = 2.0
SHORTER_FIRST = ((0.1, 36), (0.03, 48))
"""How long newcomers wait, in seconds, and how many characters their first block may have then.

A listener hears 36 characters for as long as Kokoro on a processor takes for the 130 behind them. The sizes are few, so
that clips are found again.
"""

LOGGER = logging.getLogger(__name__)


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
        """Return the name of the block's clip; empty where none is kept."""
        return self._keys(order).clip

    def _keys(self, order: Order) -> Keys:
        latest, keys = self._latest
        if latest is not order and self._shares:
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

    def rouse(self, model: str) -> None:
        """Hear that text for `model` is probably about to come: who is to make its first block gets ready."""
        if pool := self.pools.get(model):
            pool.rouse()

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
        order, synthesis.of_take = synthesis.order, True
        if await self._forms.encode(take, order.job, synthesis.slice):
            return
        synthesis.of_take = False
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
            if synthesis.recording:
                self.shelf.put(take, Take(synthesis.recording))
            if not synthesis.fetched and not self._spared(synthesis, take):
                self.shelf.put(key, clip, ended)
        elif self._flight:
            self._flight.given_up(key)

    def _spared(self, synthesis: Synthesis, take: bytes) -> bool:
        """Whether a clip is not written: it is as large as samples are, nobody was told its name, or waits elsewhere.

        Its take says the same in half the bytes; where there was no time for that, there is none for the clip.
        """
        linear = synthesis.order.format.codec is Codec.PCM_S16LE
        if not linear or synthesis.priority is Priority.LIVE or self._flight is not None:
            return False
        taken = synthesis.of_take or bool(synthesis.recording)  # which is not made of what is very long
        return synthesis.left_out or (taken and self._recorded(take))


def _report(synthesis: Synthesis, lead: asyncio.Task[None]) -> None:
    if not lead.cancelled() and (error := lead.exception()):
        LOGGER.error("nobody can be asked to make a block", exc_info=error)
        synthesis.failed(VoicewireError("internal"))
