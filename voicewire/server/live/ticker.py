"""One clock for all live streams: each context says when it is due next, and is called then.

A timing wheel: contexts due in the same tick share a slot, so that a stream costs one list append per
frame and no timer of its own.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Protocol

LOGGER = logging.getLogger(__name__)


class Due(Protocol):
    """Something with a next time. `due` is set by the ticker; whoever waits in it must not change it."""

    due: float

    def tick(self, now: float) -> None:
        """It is time. Schedules itself again; an exception ends only this one, through `broken`."""
        ...

    def broken(self, error: Exception) -> None:
        """`tick` raised `error`."""
        ...


class Ticker:
    """Runs as a chain of timers while anything is scheduled."""

    def __init__(self, tick_s: float, observe_lag_s: Callable[[float], None] | None = None) -> None:
        self._tick_s = tick_s
        self._slots: dict[int, list[tuple[float, Due]]] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._next = math.inf  # the slot that the timer waits for
        self._planned = 0.0  # when the timer is to go off
        self._observe_lag_s = observe_lag_s

    def schedule(self, due: Due, at: float) -> None:
        """Have `due.tick` called at `at`, once, instead of any earlier wish. Infinity: not at all."""
        due.due = at
        if at == math.inf:
            return
        slot = math.ceil(at / self._tick_s)
        entries = self._slots.get(slot)
        if entries is None:
            self._slots[slot] = [(at, due)]
            if slot < self._next:
                self._wait(slot)
        else:
            entries.append((at, due))

    @property
    def waiting(self) -> int:
        """Slots that hold something."""
        return len(self._slots)

    def close(self) -> None:
        """Stop; nothing is called any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._slots.clear()

    def _wait(self, slot: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = slot
        self._planned = max(slot * self._tick_s, time.monotonic())
        self._timer = self._loop.call_at(self._planned, self._run)

    def _run(self) -> None:
        self._timer, self._next = None, math.inf
        now = time.monotonic()  # the clock of `loop.call_at`, but not rounded to milliseconds as uvloop's is
        if self._observe_lag_s is not None:
            self._observe_lag_s(max(0.0, now - self._planned))
        reached = math.floor(now / self._tick_s + 1e-6)
        for slot in sorted(slot for slot in self._slots if slot <= reached):
            self._run_slot(slot, now)
        if self._slots:
            self._wait(min(self._slots))

    def _run_slot(self, slot: int, now: float) -> None:
        for at, due in self._slots.pop(slot):
            if due.due != at:
                continue  # it was scheduled again since
            due.due = math.inf
            try:
                due.tick(now)
            except Exception as error:
                LOGGER.exception("a stream broke at its tick")
                due.broken(error)
