"""Where the listener is on a context's audio: what they reported, and the clock since then."""

from __future__ import annotations


class Playhead:
    """The listener's position in samples. All times are the caller's monotonic seconds.

    Before the first report the clock since the first frame stands for the listener; after a report the
    clock runs on from it. The listener is never ahead of what was sent.
    """

    __slots__ = ("_at", "_rate_hz", "_samples", "_started", "paused")

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._samples = 0  # the position at the time `_at`
        self._at = 0.0
        self._started = False
        self.paused = False

    def start(self, now: float) -> None:
        """The first frame leaves now."""
        if not self._started:
            self._started = True
            self._at = now

    def heard(self, now: float, sent: int) -> int:
        """Samples heard by `now`, of `sent` samples sent."""
        if not self._started or self.paused:
            return min(self._samples, sent)
        heard = self._samples + int((now - self._at) * self._rate_hz)
        if heard > sent:  # the listener ran dry: their clock stands until more is sent
            self._samples, self._at = sent, now
            return sent
        return heard

    def report(self, played: int, paused: bool, now: float) -> None:
        """The listener says that `played` samples were heard, and whether they go on."""
        self._samples, self._at = played, now
        self._started = True
        self.paused = paused

    def reach(self, samples: int, now: float) -> float:
        """The time at which `samples` will have been heard if nothing stops."""
        if not self._started:
            return now if samples <= self._samples else float("inf")
        return self._at + (samples - self._samples) / self._rate_hz
