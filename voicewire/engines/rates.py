"""How fast the workers of a pool are, as measured; pure."""

from __future__ import annotations

USUAL_CHARS_S = 1_000.0  # taken for a worker's speed until a block is done
MEMORY = 0.1  # weight of the latest block
LEAST_LEFT = 0.05  # of a block that takes longer than usual


class Rates:
    """Learns from every block that is made. Work is counted in characters, as `Ticket.work`."""

    def __init__(self) -> None:
        # of little weight, so that the first block counts for more
        self._work = USUAL_CHARS_S / 1_000
        self._busy_s = self._lane_s = 1 / 1_000

    def learn(self, work: float, busy_s: float, lane_s: float) -> None:
        """A block was made: it was `lane_s` in its lane, and its worker was busy for `busy_s` since the one before."""
        self._work += work - MEMORY * self._work
        self._busy_s += busy_s - MEMORY * self._busy_s
        self._lane_s += lane_s - MEMORY * self._lane_s

    @property
    def chars_s(self) -> float:
        """Characters that a worker makes in a second, in all its lanes together."""
        return self._work / max(self._busy_s, 1e-9)

    def lasts_s(self, work: float) -> float:
        """How long a block will be in its lane."""
        return work * self._lane_s / self._work

    def left(self, work: float, since_s: float) -> float:
        """The share of a block that is probably not done `since_s` after its begin; of one that is late, a little."""
        return max(LEAST_LEFT, 1 - since_s / self.lasts_s(work))
