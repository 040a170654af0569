"""What is spoken is paid for: a hold before a block is made, a mark while it plays, and the bill at its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Protocol

from voicewire.auth.principal import Principal
from voicewire.errors import Busy, VoicewireError
from voicewire.server.bill import Bill
from voicewire.server.paces import Paces
from voicewire.server.spoken import Spoken
from voicewire.server.standing import Standing
from voicewire.storage.ledger import Item, Reserved
from voicewire.storage.rates import Taken
from voicewire.tab import Charge, Tab

LOGGER = logging.getLogger(__name__)

TOUCH_S = 1.0  # how often the ledger is told of each stream …
TURNS = 10  # … a tenth of them at a time, so that no turn of the loop is long
NOTE_S = 0.05  # a hold that nobody waits for leaves the first sound its way, and goes with others in one call
LATELY_S = 0.9  # who handed over so much that it was told at once is not told of twice
ANSWER_S = 1.0  # that `done` waits for the balance


class Ledger(Protocol):
    """What is asked of `storage.ledger.Ledger`. `ms` is credit, `audio_ms` sound."""

    async def reserve(self, item: Item, want_ms: int, least_ms: int, *, metered: bool) -> Reserved: ...
    async def touch(self, pairs: Sequence[tuple[Item, int, int]]) -> None: ...
    async def settle(self, item: Item, ms: int, audio_ms: int) -> int | None: ...
    async def park(self, item: Item, ms: int, audio_ms: int) -> int | None: ...
    async def amend(self, item: Item, ms: int, audio_ms: int) -> int | None: ...
    async def left(self, tenant: str) -> int | None: ...


class Meter:
    """Every bill that is open on this gateway. `limited`: whether balances limit speech; if not, few have to wait."""

    def __init__(
        self,
        ledger: Ledger,
        admit: Callable[[Principal], Awaitable[Taken | None]],
        permille: Callable[[str], Awaitable[int]],
        refundable: Callable[[Principal], Awaitable[bool]],
        *,
        limited: bool,
    ) -> None:
        self.ledger = ledger
        self.admit = admit  # raises `OverQuota("rate_limited")`
        self.limited = limited
        self.paces = Paces()
        self.standing = Standing()
        self.permilles: dict[str, int] = {}  # of models, as they were last
        self.permille = permille
        self.refundable = refundable
        self._open: set[Bill] = set()
        self._soon: set[Bill] = set()
        self._hurried: set[Bill] = set()
        self._noted: list[Bill] = []
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

    def noted(self, bill: Bill) -> None:
        """Have a bill take the holds that nobody waits for, soon."""
        if not self._noted:
            asyncio.get_running_loop().call_later(NOTE_S, self._record_noted)
        self._noted.append(bill)

    def _record_noted(self) -> None:
        noted, self._noted = self._noted, []
        for bill in noted:
            bill.record()

    def hurry(self, bill: Bill, *, at_once: bool) -> None:
        """Have the ledger told of a bill before the loop's next turn is over, or soon: with many others in one call."""
        if not at_once:
            self._soon.add(bill)
            return
        if not self._hurried:
            asyncio.get_running_loop().call_soon(self._tell_hurried)
        self._hurried.add(bill)

    def _tell_hurried(self) -> None:
        hurried, self._hurried = self._hurried, set()
        self._tell_running(hurried)

    async def run(self) -> None:
        """Tell the ledger what was handed over, of every stream each `TOUCH_S`, unless it was told lately; for ever."""
        turn: list[Bill] = []
        while True:
            await asyncio.sleep(TOUCH_S / TURNS)
            share = max(1, -(-len(self._open) // TURNS))  # or what was open lately would stay in this turn
            turn = turn or list(self._open)
            since_s = time.monotonic() - LATELY_S
            soon, self._soon = self._soon, set()
            soon.update(bill for bill in turn[:share] if bill.untold(since_s))
            self._tell_running(soon)
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
