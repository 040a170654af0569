"""Rates counted by this process alone: where that is enough, and where Redis is away."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

NAMES_MAX = 10_000  # beyond it the one that was longest not seen starts anew


class Level(NamedTuple):
    """How a bucket stands after a request: microseconds to wait (0: it was let through), what is left, when full."""

    wait_us: int
    remaining: int
    full_us: int


class Buckets:
    """The generic cell rate algorithm for many names. Times are whole microseconds, and arguments."""

    def __init__(self, names_max: int = NAMES_MAX) -> None:
        self._names_max = names_max
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, name: str, step_us: int, burst: int, now_us: int) -> Level:
        """Take one of the `burst` that may come at once; one comes back each `step_us`."""
        full = now_us + step_us * burst
        before = min(max(self._full_at.get(name, 0), now_us), full)
        after = before + step_us
        wait = max(0, after - full)
        if wait:
            after = before
        self._full_at[name] = after
        self._full_at.move_to_end(name)
        if len(self._full_at) > self._names_max:
            self._full_at.popitem(last=False)
        return Level(wait, (full - after) // step_us, after - now_us)
