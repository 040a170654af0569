"""Whether a worker is at its limit, where what nobody waits for is left out; pure, on the monotonic clock."""

from __future__ import annotations

WINDOW_S = 1.0
PAUSES = 0.1  # of the time, in pauses: with fewer, who comes next has to wait
QUICK = 30.0  # seconds of audio made in a second: of slower engines, to pack takes costs less than a hundredth


class Strain:
    """What a worker did in the last whole window. A window ends when it is looked at."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._paused_s = self._made_s = 0.0
        self._full = False

    def paused(self, seconds: float) -> None:
        """It waited for work."""
        self._paused_s += seconds

    def made(self, seconds: float) -> None:
        """It made so much audio."""
        self._made_s += seconds

    def full(self, now: float) -> bool:
        """Whether it had hardly a pause, and is so quick that small things count."""
        if (lasted := now - self._since) >= WINDOW_S:
            self._full = self._paused_s < PAUSES * lasted and self._made_s > QUICK * lasted
            self._since, self._paused_s, self._made_s = now, 0.0, 0.0
        return self._full
