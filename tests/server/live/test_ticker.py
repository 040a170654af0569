"""The shared clock: everybody in time, nobody twice, and one that breaks breaks alone."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from voicewire.server.live.ticker import Ticker

TICK_S = 0.005


class Listener:
    """Comes back every `every_s`, `times` times."""

    def __init__(self, ticker: Ticker, every_s: float = math.inf, times: int = 1) -> None:
        self.due = math.inf
        self.ticked: list[float] = []
        self.broke: list[Exception] = []
        self.error: Exception | None = None
        self._ticker, self._every_s, self._times = ticker, every_s, times

    def tick(self, now: float) -> None:
        self.ticked.append(now)
        if self.error is not None:
            raise self.error
        if len(self.ticked) < self._times:
            self._ticker.schedule(self, now + self._every_s)

    def broken(self, error: Exception) -> None:
        self.broke.append(error)


async def until(done: object, timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while not done():  # type: ignore[operator]
            await asyncio.sleep(TICK_S)


async def test_nobody_is_called_before_it_is_time() -> None:
    ticker = Ticker(TICK_S)
    listeners = [Listener(ticker) for _ in range(50)]
    begun = time.monotonic()
    for number, listener in enumerate(listeners):
        ticker.schedule(listener, begun + number / 1000)
    await until(lambda: all(listener.ticked for listener in listeners))
    for number, listener in enumerate(listeners):
        assert len(listener.ticked) == 1
        assert listener.ticked[0] >= begun + number / 1000 - 1e-6
    assert ticker.waiting == 0


async def test_who_comes_back_is_called_again() -> None:
    ticker = Ticker(TICK_S)
    listener = Listener(ticker, 0.02, 5)
    ticker.schedule(listener, time.monotonic())
    await until(lambda: len(listener.ticked) == 5)
    assert all(
        after - before >= 0.02 - 1e-6 for before, after in zip(listener.ticked, listener.ticked[1:], strict=False)
    )


async def test_a_new_wish_takes_the_place_of_the_old_one() -> None:
    ticker = Ticker(TICK_S)
    sooner, never, later = Listener(ticker), Listener(ticker), Listener(ticker)
    now = time.monotonic()
    ticker.schedule(sooner, now + 60)
    ticker.schedule(sooner, now)
    ticker.schedule(never, now)
    ticker.schedule(never, math.inf)
    ticker.schedule(later, now + 0.05)
    await until(lambda: later.ticked)
    assert (len(sooner.ticked), len(never.ticked), len(later.ticked)) == (1, 0, 1)
    ticker.close()


async def test_one_that_breaks_breaks_alone(caplog: pytest.LogCaptureFixture) -> None:
    ticker = Ticker(TICK_S)
    broken, sound = Listener(ticker), Listener(ticker)
    broken.error = ValueError("why")
    now = time.monotonic()
    ticker.schedule(broken, now)
    ticker.schedule(sound, now)
    await until(lambda: sound.ticked)
    assert broken.broke == [broken.error]
    assert "broke at its tick" in caplog.text


async def test_a_clock_that_was_closed_calls_nobody() -> None:
    ticker = Ticker(TICK_S)
    listener = Listener(ticker)
    ticker.schedule(listener, time.monotonic() + 0.01)
    ticker.close()
    await asyncio.sleep(0.03)
    assert not listener.ticked


async def test_lag_is_how_late_the_loop_was_and_not_how_late_a_wish_came() -> None:
    lags: list[float] = []
    ticker = Ticker(TICK_S, lags.append)
    listener = Listener(ticker)
    ticker.schedule(listener, time.monotonic() - 60)
    await until(lambda: listener.ticked)
    assert max(lags) < 30
