"""What is spoken is paid for: a hold before a block is made, a mark while it plays, and the bill at its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Protocol

from voicewire.auth.principal import Principal
from voicewire.errors import Busy, OverQuota, VoicewireError
from voicewire.server.limits import UNCOUNTED
from voicewire.server.paces import Paces
from voicewire.server.spoken import Spoken
from voicewire.storage.ledger import Item, Reserved
from voicewire.tab import Charge, Price, Tab
from voicewire.timeline import Making

LOGGER = logging.getLogger(__name__)

TOUCH_S = 0.5  # how often the ledger is told of each stream …
TURNS = 10  # … a tenth of them at a time, so that no turn of the loop is long
NOTE_S = 0.02  # a hold that nobody waits for leaves the first sound its way
UNTOLD_S = 0.5  # of audio: more is told at once
ANSWER_S = 1.0  # that `done` waits for the balance
HOLD_FACTOR = 1.5  # over the estimate, so that few blocks exceed their hold


class Ledger(Protocol):
    """What is asked of `storage.ledger.Ledger`. `ms` is credit, `audio_ms` sound."""

    async def reserve(self, item: Item, want_ms: int, least_ms: int, *, metered: bool) -> Reserved: ...
    async def touch(self, pairs: Sequence[tuple[Item, int, int]]) -> None: ...
    async def settle(self, item: Item, ms: int, audio_ms: int) -> int | None: ...
    async def park(self, item: Item, ms: int, audio_ms: int) -> int | None: ...
    async def amend(self, item: Item, ms: int, audio_ms: int) -> int | None: ...
    async def left(self, tenant: str) -> int | None: ...


class Bill:
    """One stream at the ledger: holds for its blocks, what was handed over, and the end, once."""

    __slots__ = (
        "_admitted",
        "_counted",
        "_hurry",
        "_meter",
        "_noted",
        "_open",
        "_released",
        "_settling",
        "_told",
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
        self._hurry = int(UNTOLD_S * tab.rate_hz)
        self._told = tab.handed
        self._noted: list[tuple[Making, float, int | None]] = []
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

    async def pay(self, making: Making, speed: float, clip_ms: int | None) -> None:
        """Take a hold for a block. Raises `OverQuota("insufficient_credit")`, or `Busy` when nobody can say.

        With the first the stream counts as a request, if it was not: raises `OverQuota("rate_limited")`.
        """
        if not self.limited:
            self.note(making, speed, clip_ms)
            return
        if self._admitted:
            await self._hold(making, speed, clip_ms)
            return
        self._admitted = True
        await self._learn_price()
        # both ask Redis: the first sound waits for the slower, not for one after the other
        asked: list[Awaitable[None]] = [self._hold(making, speed, clip_ms)]
        if not self._counted:
            asked.append(self._meter.admit(self.spoken.principal))
        for refusal in reversed(await asyncio.gather(*asked, return_exceptions=True)):
            if refusal is not None:
                raise refusal

    def note(self, making: Making, speed: float, clip_ms: int | None) -> None:
        """Record a hold for a block that nobody waits for: where nobody is limited, but all that is spoken counts."""
        if not self._noted:
            asyncio.get_running_loop().call_later(NOTE_S, self._record)
        self._noted.append((making, speed, clip_ms))

    def _record(self) -> None:
        noted, self._noted = self._noted, []
        for making, speed, clip_ms in noted:
            self._meter.start(self._note(making, speed, clip_ms))

    async def _note(self, making: Making, speed: float, clip_ms: int | None) -> None:
        await self._learn_price()
        await self._hold(making, speed, clip_ms)

    async def _learn_price(self) -> None:
        limits, model = self.spoken.principal.limits, self.spoken.model
        self.tab.price = Price(await self._meter.permille(model), limits.cached_percent)

    async def _hold(self, making: Making, speed: float, clip_ms: int | None) -> None:
        """Hold what a clip will cost, or half as much again as a block is likely to."""
        cached = clip_ms is not None
        sound_ms = clip_ms or self._meter.paces.estimate_ms(self.spoken, making.block, speed)
        least_ms = self.tab.price.of(sound_ms, cached=cached)
        want_ms = least_ms if cached else int(least_ms * HOLD_FACTOR)
        item = self.spoken.item(making.index, cached=cached)
        answer = await self._meter.ledger.reserve(item, want_ms, least_ms, metered=self.metered)
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
        await self._meter.tell(self.spoken, charge)
        self._released.set()

    async def refund(self) -> bool:
        """Whether what was not heard may be given back; if not, what was handed over counts as heard."""
        if await self._meter.refundable(self.spoken.principal):
            return True
        self.tab.go_on()
        return False

    def handed(self) -> None:
        """More was handed over. Much at once is told at once: a killed process must not forget it."""
        if self.tab.handed - self._told > self._hurry and self._open:
            self._meter.hurry(self)

    def running(self) -> list[Charge]:
        """Return what the ledger does not know yet."""
        self._record()
        self._told = self.tab.handed
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
        self._record()
        self._open = False
        self._released.set()
        self._meter.forget(self)
        told = [self._meter.start(self._meter.tell(self.spoken, charge)) for charge in charges()]
        if not self.metered:  # nobody asks what is left
            return None
        if told or self._settling:
            await asyncio.wait([*told, *self._settling])
        return await self._meter.balance_ms(self.spoken.principal)


class Meter:
    """Every bill that is open on this gateway. `limited`: whether balances limit speech; if not, few have to wait."""

    def __init__(
        self,
        ledger: Ledger,
        admit: Callable[[Principal], Awaitable[None]],
        permille: Callable[[str], Awaitable[int]],
        refundable: Callable[[Principal], Awaitable[bool]],
        *,
        limited: bool,
    ) -> None:
        self.ledger = ledger
        self.admit = admit  # raises `OverQuota("rate_limited")`
        self.limited = limited
        self.paces = Paces()
        self.permille = permille
        self.refundable = refundable
        self._open: set[Bill] = set()
        self._hurried: set[Bill] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, spoken: Spoken, tab: Tab, *, counted: bool = False) -> Bill:
        """Open the bill of a stream; `counted`: as a request, already."""
        bill = Bill(self, spoken, tab, counted=counted)
        self._open.add(bill)
        return bill

    def forget(self, bill: Bill) -> None:
        self._open.discard(bill)

    async def balance_ms(self, principal: Principal) -> int | None:
        """Return what is left to a caller; None where that is not limited or cannot be said now."""
        if not principal.limits.metered:
            return None
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self.ledger.left(principal.tenant)
        except (Busy, TimeoutError):
            return None

    async def tell(self, spoken: Spoken, charge: Charge) -> None:
        """Tell the ledger of one charge that ends something; wait until it has it, a moment at most.

        The ledger keeps what it was told until it is recorded, so nothing is lost by not waiting longer.
        """
        item = spoken.item(charge.block, cached=charge.cached)
        tell = {"parked": self.ledger.park, "lowered": self.ledger.amend}.get(charge.kind, self.ledger.settle)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await tell(item, charge.ms, charge.audio_ms)

    def start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Do `work` beside the loop's other work; what goes wrong in it is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, VoicewireError):
            LOGGER.error("a bill could not be brought up to date", exc_info=error)

    def hurry(self, bill: Bill) -> None:
        """Have the ledger told of a bill before the loop's next turn is over."""
        if not self._hurried:
            asyncio.get_running_loop().call_soon(self._tell_hurried)
        self._hurried.add(bill)

    def _tell_hurried(self) -> None:
        hurried, self._hurried = self._hurried, set()
        self._tell_running(hurried)

    async def run(self) -> None:
        """Tell the ledger what was handed over, of every stream each `TOUCH_S`, for ever."""
        turn: list[Bill] = []
        while True:
            await asyncio.sleep(TOUCH_S / TURNS)
            share = -(-len(self._open) // TURNS)
            turn = turn or list(self._open)
            self._tell_running(turn[:share])
            del turn[:share]

    def _tell_running(self, bills: Iterable[Bill]) -> None:
        running: list[tuple[Item, int, int]] = []
        for bill in bills:
            for charge in bill.running() if bill in self._open else ():
                if charge.kind == "running":
                    item = bill.spoken.item(charge.block, cached=charge.cached)
                    running.append((item, charge.ms, charge.audio_ms))
                else:
                    bill.settle(charge)
        if running:
            self.start(self.ledger.touch(running))

    async def drain(self) -> None:
        """Wait until the ledger was told everything, a moment at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ANSWER_S)
