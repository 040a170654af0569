"""A context on the clock: its blocks in the making, what they cost, and what the journal keeps of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from voicewire.auth.principal import Principal
from voicewire.clips import Clip
from voicewire.context import Context
from voicewire.errors import OverQuota, VoicewireError
from voicewire.pipeline import BlockInMaking, Order
from voicewire.server.live.journal import Kept
from voicewire.server.live.keeping import Keeper
from voicewire.server.live.machinery import Machinery
from voicewire.server.spoken import Spoken
from voicewire.timeline import Making
from voicewire.types import Slice


class Host(Protocol):
    """The session that a context belongs to."""

    id: str
    principal: Principal
    attached: bool

    def pump(self, live: LiveContext, now: float) -> None: ...

    def rendered(self, live: LiveContext, index: int, slice: Slice) -> None: ...

    def paid(self, live: LiveContext) -> None: ...

    def fail(self, live: LiveContext, error: VoicewireError) -> None: ...

    def close(self, error: VoicewireError) -> None: ...


class LiveContext:
    """What the ticker and the engines call."""

    __slots__ = ("_host", "_machinery", "bill", "context", "due", "ending", "keeper", "makings")

    def __init__(
        self, host: Host, machinery: Machinery, context: Context, kept: Kept | None = None, key: str = ""
    ) -> None:
        settings, plan = machinery.settings, context.plan
        window = int(settings.resume_s * plan.format.rate_hz)
        speaker = replace(host.principal, key=key) if key else host.principal
        spoken = Spoken(speaker, f"{host.id}.{plan.number}", plan.model, plan.voice)
        self._host = host
        self._machinery = machinery
        self.context = context
        self.keeper = Keeper(context, window, settings.resume_bytes_max, kept)
        self.bill = machinery.meter.open(spoken, context.tab)
        self.due = math.inf
        self.ending = False  # its bill is being made up
        self.makings: dict[int, BlockInMaking] = {}
        context.settled = False

    # called by the ticker and by engines

    def tick(self, now: float) -> None:
        self._host.pump(self, now)

    def broken(self, error: Exception) -> None:  # noqa: ARG002 - the ticker has logged it
        self._host.close(VoicewireError("internal"))

    def rendered(self, index: int, slice: Slice) -> None:
        if slice.last and (making := self.makings.pop(index, None)):
            plan = self.context.plan
            audio_ms = making.frames * plan.format.frame_ms
            self._machinery.meter.paces.learn(self.bill.spoken, making.block, audio_ms, plan.speed)
        self._host.rendered(self, index, slice)

    def failed(self, index: int, error: VoicewireError) -> None:
        self.makings.pop(index, None)
        self._host.fail(self, error)

    # making, once it is paid for

    def make(self, making: Making) -> None:
        """Have a block made, or taken from the clips."""
        order, pipeline = self._order(making), self._machinery.pipeline
        clip = pipeline.clip(order)
        if clip is None and pipeline.stored(order):
            self._machinery.meter.start(self._make_stored(making, order))
        else:
            self._make_or_pay(making, order, clip)

    async def _make_stored(self, making: Making, order: Order) -> None:
        """Have a block made that is probably on the shelf."""
        clip = await self._machinery.pipeline.find(order)
        if not self.context.over and self._host.attached:
            self._make_or_pay(making, order, clip)
            self._host.paid(self)

    def _make_or_pay(self, making: Making, order: Order, clip: Clip | None) -> None:
        """Who may surely be heard waits for no hold."""
        plan = self.context.plan
        self.context.timeline.name(making.index, self._machinery.pipeline.name(order))
        clip_ms = None if clip is None else clip.frames * plan.format.frame_ms
        if self.bill.trusted(making, plan.speed, clip_ms):
            self._make(making, order, clip)
            self.bill.note(making, plan.speed, clip_ms)
        else:
            self._machinery.meter.start(self._make_paid(making, order, clip, clip_ms))

    async def _make_paid(self, making: Making, order: Order, clip: Clip | None, clip_ms: int | None) -> None:
        try:
            paid = await self._pay(making, clip_ms)
        except VoicewireError as error:
            self.failed(making.index, error)
            return
        if self.context.over or not self._host.attached:
            return
        if paid:
            self._make(making, order, clip)
        else:
            self.context.timeline.bar(making.index)  # what is paid is still heard
        self._host.paid(self)

    async def _pay(self, making: Making, clip_ms: int | None) -> bool:
        """Whether the credit is enough, if need be with what earlier blocks held and did not use."""
        while True:
            try:
                await self.bill.pay(making, self.context.plan.speed, clip_ms)
            except OverQuota as error:
                if error.row_code != "insufficient_credit":
                    raise
                if not await self.bill.released(making.index):
                    return False
            else:
                return True

    def _make(self, making: Making, order: Order, clip: Clip | None) -> None:
        if clip is not None:
            for slice in clip.gathered():
                self.context.rendered(making.index, slice, cached=True)
            return
        try:
            self.makings[making.index] = self._machinery.pipeline.make(order, making, self)
        except VoicewireError as error:
            self.failed(making.index, error)

    def _order(self, making: Making) -> Order:
        plan = self.context.plan
        voice = (plan.model, plan.voice, plan.language, plan.speed, plan.seed)
        principal = self._host.principal
        return Order(principal.tenant, *voice, plan.format, making.block, principal.limits.weight, plan.phonemes)

    def repace(self, now: float) -> None:
        """The listener is at another place, or has paused: what is being made is due at another time."""
        for index, due in self.context.dues(now):
            if making := self.makings.get(index):
                making.postpone(due)

    def drop(self, blocks: Sequence[int]) -> None:
        """Stop making `blocks`: nobody will hear them."""
        for index in blocks:
            if making := self.makings.pop(index, None):
                making.drop()

    def leave(self) -> None:
        """Nothing is sent any more. What is being made is finished for the clips, without a listener."""
        self.due = math.inf
        for making in self.makings.values():
            making.leave()
        self.makings.clear()
        if not self.ending:
            self._machinery.meter.start(self.bill.park())
