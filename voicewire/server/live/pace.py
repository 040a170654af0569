"""How often something may happen on one connection: a bucket that refills as time goes by."""

from __future__ import annotations

WINDOW_S = 10.0


class Pace:
    """At most `count` at once, and as many again every ten seconds. `now` is the monotonic time in seconds."""

    __slots__ = ("_count", "_left", "_since")

    def __init__(self, count: int) -> None:
        self._count = count
        self._left = float(count)
        self._since = 0.0

    def allows(self, now: float) -> bool:
        """Count one more; return whether it was not one too many."""
        self._left = min(self._count, self._left + (now - self._since) * self._count / WINDOW_S)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
