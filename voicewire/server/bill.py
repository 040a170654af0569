"""One stream's bill: holds for its blocks, what was handed over of them, and the end, once."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from voicewire.errors import OverQuota
from voicewire.server.limits import UNCOUNTED
from voicewire.server.spoken import Spoken
from voicewire.storage.rates import Taken
from voicewire.tab import Charge, Price, Tab
from voicewire.timeline import Making

if TYPE_CHECKING:
    from voicewire.server.metering import Meter

UNTOLD_S = 0.7  # of audio: more is told soon …
MUCH_S = 1.0  # … and more than that at once: a gateway that is killed forgives a second at most
HOLD_FACTOR = 1.5  # over the estimate, so that few blocks exceed their hold


class Bill:
    """One stream at the ledger: holds for its blocks, what was handed over, and the end, once."""

    __slots__ = (
        "_admitted",
        "_counted",
        "_handed",
        "_meter",
        "_much",
        "_noted",
        "_noting",
        "_open",
        "_released",
        "_settling",
        "_told",
        "_told_s",
        "_untold",
        "spoken",
        "tab",
    )

    def __init__(self, meter: Meter, spoken: Spoken, tab: Tab, *, counted: bool) -> None:
        self._meter = meter
        self._counted = counted
        self._open = True
        self._admitted = False
        self._released = asyncio.Event()
        self._settling: set[asyncio.Task[None]] = set()
        self._untold, self._much = int(UNTOLD_S * tab.rate_hz), int(MUCH_S * tab.rate_hz)
        self._told = self._handed = tab.handed
        self._told_s = -math.inf
        self._noted: list[tuple[Making, float, int | None]] = []
        self._noting: set[asyncio.Task[None]] = set()  # the holds that are taken just now
        self.spoken = spoken
        self.tab = tab

    @property
    def metered(self) -> bool:
        return self.spoken.principal.limits.metered

    @property
    def limited(self) -> bool:
        """Whether its speaker may be refused: by the balance, or, without billing too, by a limit of requests."""
        counts = not self._counted and self.spoken.principal.limits.requests_minute < UNCOUNTED
        return self._meter.limited or counts

    def trusted(self, making: Making, speed: float, clip_ms: int | None) -> bool:
        """Whether a block may begin before it has its hold: `note` it then, and `pay` for it otherwise."""
        if not self.limited:
            return True
        permille = self._meter.permilles.get(self.spoken.model)
        if self._admitted or permille is None:
            return False
        self.tab.price = Price(permille, self.spoken.principal.limits.cached_percent)
        want_ms, _ = self._wanted(making, speed, clip_ms)
        self._admitted = self._meter.standing.ample(self.spoken.principal, want_ms)
        return self._admitted

    async def pay(self, making: Making, speed: float, clip_ms: int | None) -> None:
        """Take a hold for a block. Raises `OverQuota("insufficient_credit")`, or `Busy` when nobody can say.

        With the first the stream counts as a request, if it was not: raises `OverQuota("rate_limited")`.
        """
        if not self.limited:
            self.note(making, speed, clip_ms)
            return
        admitted, self._admitted = self._admitted, True
        await (self._hold if admitted else self._hold_first)(making, speed, clip_ms)

    def note(self, making: Making, speed: float, clip_ms: int | None) -> None:
        """Take a hold that nobody waits for: where nobody is limited, but all that is spoken counts, or `trusted`."""
        if not self._noted:
            self._meter.noted(self)
        self._noted.append((making, speed, clip_ms))

    def record(self) -> None:
        """Take the holds that were noted."""
        noted, self._noted = self._noted, []
        for making, speed, clip_ms in noted:
            task = self._meter.start(self._note(making, speed, clip_ms))
            self._noting.add(task)
            task.add_done_callback(self._noting.discard)

    async def _note(self, making: Making, speed: float, clip_ms: int | None) -> None:
        if self.limited:
            await self._hold_first(making, speed, clip_ms)
        else:
            await self._learn_price()
            await self._hold(making, speed, clip_ms)

    async def _hold_first(self, making: Making, speed: float, clip_ms: int | None) -> None:
        """Ask Redis for both at once: the first sound waits for the slower, not for one after the other."""
        await self._learn_price()
        both = self._hold(making, speed, clip_ms), self._admit()
        for refusal in reversed(await asyncio.gather(*both, return_exceptions=True)):
            if refusal is not None:
                raise refusal

    async def _learn_price(self) -> None:
        limits, model = self.spoken.principal.limits, self.spoken.model
        permille = self._meter.permilles[model] = await self._meter.permille(model)
        self.tab.price = Price(permille, limits.cached_percent)

    async def _admit(self) -> None:
        """Count the stream as a request."""
        if self._counted:
            return
        caller, standing = self.spoken.principal, self._meter.standing
        try:
            standing.counted(caller, await self._meter.admit(caller))
        except OverQuota:
            standing.counted(caller, Taken(allowed=False))
            raise

    def _wanted(self, making: Making, speed: float, clip_ms: int | None) -> tuple[int, int]:
        """Return what to hold, and the least: what a clip costs, or a block by the estimate, half of it more."""
        cached = clip_ms is not None
        sound_ms = clip_ms or self._meter.paces.estimate_ms(self.spoken, making.block, speed)
        least_ms = self.tab.price.of(sound_ms, cached=cached)
        return (least_ms if cached else int(least_ms * HOLD_FACTOR)), least_ms

    async def _hold(self, making: Making, speed: float, clip_ms: int | None) -> None:
        want_ms, least_ms = self._wanted(making, speed, clip_ms)
        item = self.spoken.item(making.index, cached=clip_ms is not None)
        answer = await self._meter.ledger.reserve(item, want_ms, least_ms, metered=self.metered)
        left_ms = answer.left_ms if self.metered else math.inf
        self._meter.standing.credit(self.spoken.principal, left_ms if answer.ok and left_ms else 0)
        if not answer.ok:
            raise OverQuota("insufficient_credit")
        if self._open:
            self.tab.reserved(making.index)  # not before: to tell of a block is to have a hold of nothing for it
        else:
            await self._meter.ledger.park(item, 0, 0)

    async def released(self, block: int) -> bool:
        """Wait until an earlier block gives back what it held too much; False when there is none to wait for."""
        if not self.tab.held_before(block):
            return False
        self._released.clear()
        await self._released.wait()
        return self._open

    def settle(self, charge: Charge) -> None:
        """Have the ledger told of a block that was handed over whole."""
        task = self._meter.start(self._settle(charge))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle(self, charge: Charge) -> None:
        await self._tell(charge)
        self._released.set()

    async def _tell(self, charge: Charge) -> None:
        """Tell of a block behind its hold: of one that the ledger has not heard of it asks PostgreSQL."""
        if self._noting:
            await asyncio.wait(self._noting)
        await self._meter.tell(self.spoken, charge)

    async def refund(self) -> bool:
        """Whether what was not heard may be given back; if not, what was handed over counts as heard."""
        if await self._meter.refundable(self.spoken.principal):
            return True
        self.tab.go_on()
        return False

    def handed(self) -> None:
        """More was handed over. Much at once is told at once: a killed process must not forget it."""
        handed, self._handed = self._handed, self.tab.handed
        untold, burst = self._handed - self._told, self._handed - handed
        if (untold > self._untold or untold + burst > self._much) and self._open:  # another as large would be too much
            self._meter.hurry(self, at_once=untold > self._much or burst >= self._much)

    def untold(self, since_s: float) -> bool:
        """Whether the ledger was told nothing since then, on `time.monotonic`."""
        return self._told_s < since_s

    def running(self) -> list[Charge]:
        """Return what the ledger does not know yet, and is told now."""
        self.record()
        self._told, self._told_s = self.tab.handed, time.monotonic()
        return self.tab.running()

    async def close(self) -> int | None:
        """Settle every block by what was handed over, or heard; return what is left, None where that is not limited."""
        return await self._end(self.tab.closed)

    async def finish(self) -> None:
        """As `close`, where nobody asks what is left."""
        await self._end(self.tab.closed)

    async def park(self) -> None:
        """The connection is lost: give holds back until a resume."""
        await self._end(self.tab.parked)

    async def _end(self, charges: Callable[[], list[Charge]]) -> int | None:
        self.record()
        self._open = False
        self._released.set()
        self._meter.forget(self)
        told = [self._meter.start(self._tell(charge)) for charge in charges()]
        if not self.metered:  # nobody asks what is left
            return None
        if told or self._settling:
            await asyncio.wait([*told, *self._settling])
        return await self._meter.balance_ms(self.spoken.principal)
