"""How far a vendor's client is ahead of what it plays, where several utterances are heard one after the other.

Each has a clock of its own, as if it were heard from its first frame on; what was sent before it is heard first.
"""

from __future__ import annotations

LEAST_MS = 200  # of an utterance, so that it flows while what was before it is still to be heard


class Ahead:
    """See the module. `now` is the monotonic time in seconds."""

    def __init__(self, lead_ms: int) -> None:
        self._lead_ms = lead_ms
        self._until = 0.0  # when all that was sent will have been heard

    def sent(self, audio_ms: int, now: float) -> None:
        """The client was given audio."""
        self._until = max(now, self._until) + audio_ms / 1000

    def lead_ms(self, now: float) -> int:
        """Return how far the next utterance may be ahead of its own clock."""
        return max(LEAST_MS, round(self._lead_ms - max(0.0, self._until - now) * 1000))

    def clear(self) -> None:
        """The client plays nothing of what it has."""
        self._until = 0.0
