"""What somebody who comes now has to expect of a pool: the ground for `busy`, and for shorter first blocks; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from voicewire.engines.line import Line

RETRY_MS = (50, 30_000)  # the shortest and longest that a refused caller is told to wait
SPARE_S = 0.75  # listeners who have less behind their next block are worth more than one who comes new …
PRESSED = 20  # … and would have to wait this part of what newcomers may; who lets them wait long wants none refused


class Outlook(NamedTuple):
    """Seconds, by what a pool's workers were measured to do."""

    wait_s: float = 0.0  # until a block that is due now is begun
    waited_s: float = 0.0  # lately, by those who came new
    late_s: float = 0.0  # until those of this tenant who listen are in time again; 0: they are

    def retry_ms(self, wait_max_s: float) -> int:
        """When to come back in order to wait no longer than `wait_max_s`; 0: now is as good."""
        seconds = max(self.wait_s - wait_max_s, self.late_s if self.wait_s > wait_max_s / PRESSED else 0.0)
        return retry_ms(seconds) if seconds > 0 else 0


class Share:
    """What the blocks of one tenant in some lines have to let pass. Work in characters, as `Ticket.work`."""

    def __init__(self, lines: Sequence[Line], tenant: str, weight: float) -> None:
        weights: dict[str, float] = {}
        for line in lines:
            weights |= line.weights
        weights[tenant] = weight
        self._tickets = [ticket for line in lines for ticket in line.of(tenant)]
        self.own = sum(ticket.work for ticket in self._tickets)
        self._others = sum(line.work for line in lines) - self.own
        self._times = sum(weights.values()) / weight

    def before(self, own: float) -> float:
        """The work that is done until `own` of the tenant's is: others get what their weights give, if they want it."""
        return min(own * self._times, own + self._others)

    def late_s(self, first: float, chars_s: float, workers: int, now: float) -> float:
        """The time until the last block is begun that has less than `SPARE_S` to spare; 0: all have more.

        `first` is done before, at `chars_s` by all `workers` together; one of them makes the block. One that was due
        when it was asked for has no time to be late for.
        """
        work = late_s = 0.0
        for ticket in sorted(self._tickets, key=lambda ticket: ticket.deadline):
            begins_s = (first + self.before(work)) / chars_s
            work += ticket.work
            if ticket.ahead and now + begins_s + ticket.work * workers / chars_s > ticket.deadline - SPARE_S:
                late_s = begins_s
        return late_s


def retry_ms(seconds: float) -> int:
    """What a refused caller is told."""
    shortest, longest = RETRY_MS
    return min(max(math.ceil(1000 * seconds), shortest), longest)
