"""When the ledger is told: at once where much was handed over, else now and then, and not of the same twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.server.costing import meter_over
from tests.server.live.test_sessions import CALLER
from voicewire.server.bill import MUCH_S, UNTOLD_S, Bill
from voicewire.server.metering import LATELY_S, TOUCH_S, Meter
from voicewire.server.spoken import Spoken
from voicewire.storage.ledger import Item
from voicewire.tab import Tab
from voicewire.timeline import Run

RATE_HZ, FRAME = 24_000, 480


class Told:
    """A ledger that keeps what it is told while something plays."""

    def __init__(self) -> None:
        self.ms: list[int] = []

    async def touch(self, pairs: Sequence[tuple[Item, int, int]]) -> None:
        self.ms += [audio_ms for _, _, audio_ms in pairs]


def opened(ledger: Told) -> tuple[Meter, Bill]:
    """The bill of a stream with a block of ten seconds, nothing of which was handed over."""
    meter = meter_over(ledger)  # type: ignore[arg-type]  # no more is asked of it
    bill = meter.open(Spoken(CALLER, "s", "tone", "middle"), Tab(FRAME, RATE_HZ))
    bill.tab.reserved(0)
    bill.tab.laid(Run(0, 0, 10, True, False, False, 0, 0, 0, [], [b""] * 500, "", []))
    return meter, bill


def hand_over(bill: Bill, seconds: float) -> None:
    bill.tab.hand_over(int(seconds * RATE_HZ))
    bill.handed()


async def told(ledger: Told, count: int) -> list[int]:
    async with asyncio.timeout(30):
        while len(ledger.ms) < count:
            await asyncio.sleep(TOUCH_S / 10)
    return ledger.ms


async def test_much_is_told_at_once_and_a_little_less_soon() -> None:
    ledger = Told()
    meter, bill = opened(ledger)
    hand_over(bill, MUCH_S + 0.1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ledger.ms == [1_100]
    hand_over(bill, MUCH_S + 0.2 + UNTOLD_S)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ledger.ms == [1_100], "it goes with others"
    running = asyncio.create_task(meter.run())
    assert await told(ledger, 2) == [1_100, 1_900]
    running.cancel()


async def test_a_second_at_once_does_not_wait_but_two_halves_do() -> None:
    ledger = Told()
    _, bill = opened(ledger)
    hand_over(bill, MUCH_S)  # as a stream begins: the next second follows before it could be told of
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ledger.ms == [1_000]
    hand_over(bill, 1.5 * MUCH_S)
    hand_over(bill, 2.0 * MUCH_S)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ledger.ms == [1_000]


async def test_who_was_told_of_lately_is_left_out() -> None:
    ledger = Told()
    meter, bill = opened(ledger)
    before_s = asyncio.get_running_loop().time()
    assert bill.untold(before_s)
    bill.running()
    assert not bill.untold(before_s)
    running = asyncio.create_task(meter.run())
    hand_over(bill, 0.1)
    assert await told(ledger, 1) == [100]
    assert asyncio.get_running_loop().time() - before_s >= LATELY_S
    running.cancel()


async def test_of_what_would_be_too_much_twice_the_ledger_is_told_the_first_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hurried: list[bool] = []
    monkeypatch.setattr(Meter, "hurry", lambda _meter, _bill, *, at_once: hurried.append(at_once))
    _, bill = opened(Told())
    hand_over(bill, 0.5)
    assert not hurried, "a second is what a gateway that is killed may forgive"
    _, bill = opened(Told())
    hand_over(bill, 0.6)
    assert hurried == [False]
