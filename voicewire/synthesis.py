"""A block being made, for all who want it: who asks while it is being made joins, and hears it from its beginning."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from voicewire.clips import frames_of
from voicewire.engines.pooling import Pool
from voicewire.engines.ticket import Ticket
from voicewire.errors import VoicewireError
from voicewire.timeline import Making
from voicewire.types import Block, Format, Job, Priority, Slice, Utterance

LITTLE_S = 0.1  # by how much a listener may be elsewhere than was thought, and nothing is changed
TOLD_AT_ONCE = 16  # listeners, between which the loop does other work

LOGGER = logging.getLogger(__name__)


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
    weight: float = 1.0  # of the tenant, where there is more to do than can be done
    phonemes: bool = False  # of a model that knows them

    @cached_property
    def job(self) -> Job:
        utterance = Utterance(self.block.spoken, self.voice, self.language, self.speed, self.seed, self.phonemes)
        return Job(utterance, self.format, self.block.pause_ms)


class Listener(Protocol):
    """Who waits for blocks, by index. Never called again after `BlockInMaking.drop` or `leave`."""

    def rendered(self, index: int, slice: Slice) -> None: ...

    def failed(self, index: int, error: VoicewireError) -> None: ...


class Flight(Protocol):
    """Knows which of several gateways makes a block; `storage.flight.Flight` is the real one."""

    waited: int  # blocks that others made for this one

    async def lead(self, key: bytes) -> bool: ...

    def made(self, key: bytes) -> None: ...

    def given_up(self, key: bytes) -> None: ...


class Synthesis:
    """The sink of a pool, for all listeners of one block. `ended` hears of the end before any of them does."""

    def __init__(
        self,
        pool: Pool,
        order: Order,
        deadline: float,
        priority: Priority,
        ended: Callable[[Synthesis], None],
        *,
        record: bool = False,
    ) -> None:
        self.order = order
        self.priority = priority
        self.slices: list[Slice] = []
        self.recording = b""  # what the engine gave, if that is wanted, once it is complete
        self.left_out = False  # it was wanted, and there was no time for it
        self._record = record
        self.error: VoicewireError | None = None
        self.lead: asyncio.Task[None] | None = None  # asks whether to make it here
        self.fetched = False  # it was made elsewhere
        self.of_take = False  # it is encoded of what an engine gave before
        self.pool = pool
        self._deadline = deadline
        self._ticket: Ticket | None = None
        self._ended = ended
        self._kept = False  # made to its end, whoever listens
        self._listeners: dict[BlockInMaking, None] = {}
        self._behind: dict[BlockInMaking, None] = {}  # have not heard all of it

    def submit(self) -> None:
        """Have it made here. Raises as `Pool.submit` does."""
        order, priority = self.order, self.priority
        job = replace(order.job, record=True) if self._record else order.job
        self._ticket = self.pool.submit(
            job, self._deadline, self, tenant=order.tenant, priority=priority, weight=order.weight
        )

    @property
    def complete(self) -> bool:
        return bool(self.slices) and self.slices[-1].last

    def join(self, making: Making, listener: Listener) -> BlockInMaking:
        """Tell one more listener, of what was made before on the loop's next turn."""
        joined = BlockInMaking(self, making, listener)
        self._listeners[joined] = None
        if making.due < self._deadline:
            self._postpone(making.due)
        if self.slices or self.error:
            self._tell_later([joined])
        return joined

    def repaced(self, before: float, due: float) -> None:
        """A listener is at another place, or has paused. The block is due when the first of all runs dry."""
        if abs(due - before) < LITTLE_S:
            return
        if due < self._deadline:
            self._postpone(due)
        elif before <= self._deadline:
            self._postpone(min(listener.due for listener in self._listeners))

    def _postpone(self, due: float) -> None:
        self._deadline = due
        if self._ticket:
            self.pool.postpone(self._ticket, due)

    def slice(self, slice: Slice) -> None:
        """More was made."""
        if slice.recording != b"":
            self.recording, self.left_out = slice.recording or b"", slice.recording is None
            slice = slice._replace(recording=b"")
        self.take([slice])

    def take(self, slices: Iterable[Slice]) -> None:
        """More was made. Who came first hears it first, and at once."""
        self.slices += slices
        if self.complete:
            self._ticket = None
            self._ended(self)
        self._tell_all()

    def failed(self, error: VoicewireError) -> None:
        """It will not be made any further."""
        self.error, self._ticket = error, None
        self._ended(self)
        self._tell_all()

    def part(self, listener: BlockInMaking, *, kept: bool) -> None:
        """A listener goes. The block is made to its end, `kept`, or as long as anybody listens."""
        self._kept = self._kept or kept
        self._listeners.pop(listener, None)
        if self._listeners or self.complete or self.error:
            return
        if self._kept:
            self._postpone(math.inf)
        else:
            self._stop()

    def _stop(self) -> None:
        self._ended(self)
        if self.lead:
            self.lead.cancel()
        ticket, self._ticket = self._ticket, None
        if ticket:
            self.pool.cancel(ticket)

    def _tell_all(self) -> None:
        first, *others = self._listeners or [None]
        if first:
            first.hear()
        if others:
            self._tell_later(others)

    def _tell_later(self, listeners: Iterable[BlockInMaking | None]) -> None:
        if not self._behind:
            asyncio.get_running_loop().call_soon(self._tell_some)
        self._behind |= dict.fromkeys(filter(None, listeners))

    def _tell_some(self) -> None:
        for each in [*itertools.islice(self._behind, TOLD_AT_ONCE)]:
            del self._behind[each]
            each.hear()
        if self._behind:
            asyncio.get_running_loop().call_soon(self._tell_some)


class BlockInMaking:
    """One listener's part in a block that is being made."""

    __slots__ = ("_heard", "_index", "_listener", "_synthesis", "block", "due")

    def __init__(self, synthesis: Synthesis, making: Making, listener: Listener) -> None:
        self._synthesis = synthesis
        self._index = making.index
        self._listener: Listener | None = listener
        self._heard = 0  # slices
        self.block = making.block
        self.due = making.due

    @property
    def frames(self) -> int:
        """Codec frames heard so far."""
        return frames_of(self._synthesis.slices[: self._heard])

    def hear(self) -> None:
        """Tell the listener what it has not heard. Its own mistake must not end what others listen to."""
        try:
            self._hear()
        except Exception:
            LOGGER.exception("a listener of a block failed")
            self._give_up()

    def _hear(self) -> None:
        synthesis = self._synthesis
        while self._listener and self._heard < len(synthesis.slices):
            self._heard += 1
            self._listener.rendered(self._index, synthesis.slices[self._heard - 1])
        if self._listener and synthesis.error:
            listener, self._listener = self._listener, None
            synthesis.part(self, kept=True)
            listener.failed(self._index, synthesis.error)
        elif self._listener and synthesis.complete and self._heard == len(synthesis.slices):
            self.leave()  # it has heard all

    def _give_up(self) -> None:
        listener = self._listener
        self.drop()
        try:
            if listener:
                listener.failed(self._index, VoicewireError("internal"))
        except Exception:
            LOGGER.exception("a listener of a block could not be told")

    def postpone(self, due: float) -> None:
        """The listener runs dry at another time; infinity: it has paused."""
        before, self.due = self.due, due
        if self._listener:
            self._synthesis.repaced(before, due)

    def drop(self) -> None:
        """Stop: nobody wants it any more."""
        self._listener = None
        self._synthesis.part(self, kept=False)

    def leave(self) -> None:
        """Go on without this listener: whoever comes back finds the clip."""
        self._listener = None
        self._synthesis.part(self, kept=True)
