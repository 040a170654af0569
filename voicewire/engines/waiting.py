"""The blocks that wait, by rank; pure."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from voicewire.engines.line import Line
from voicewire.engines.ticket import Ticket
from voicewire.types import Priority


class Rank(IntEnum):
    """The order in which blocks get lanes."""

    LIVE_DUE = 0
    INTERACTIVE_DUE = 1
    LIVE = 2
    INTERACTIVE = 3
    PREFETCH = 4
    BATCH = 5

    @property
    def due(self) -> bool:
        return self < Rank.LIVE


class _Turning(NamedTuple):
    """A block that waits ahead of need, and when it will be due."""

    at: float
    id: int
    ticket: Ticket


class Waiting:
    """Lines of blocks, each due from its `due_at` on: `turn` moves those for which that has come."""

    def __init__(self) -> None:
        self.lines = {rank: Line() for rank in Rank}
        self.tenants: Counter[str] = Counter()  # blocks of each
        self.listened_s = -math.inf  # when a block was due last
        self._ranks: dict[int, Rank] = {}
        self._turning: list[_Turning] = []

    def __len__(self) -> int:
        return len(self._ranks)

    def all(self) -> Iterator[Ticket]:
        """The blocks, in no order."""
        return (ticket for line in self.lines.values() for ticket in line.all())

    @property
    def work(self) -> float:
        """Characters that wait."""
        return sum(line.work for line in self.lines.values())

    def serve(self, ticket: Ticket, now: float) -> None:
        """A block gets a lane that nobody waits for."""
        rank = self._rank(ticket, now)
        self.lines[rank].serve(ticket)
        if rank.due:
            self.listened_s = now

    def push(self, ticket: Ticket, now: float) -> None:
        """Let a block wait."""
        rank = self._rank(ticket, now)
        if ticket.ahead:
            heapq.heappush(self._turning, _Turning(ticket.due_at, ticket.id, ticket))
        self._put(ticket, rank, now)
        self.tenants[ticket.tenant] += 1
        if len(self._turning) > 2 * len(self._ranks) + 64:
            self._turning = [*filter(self._turns, self._turning)]
            heapq.heapify(self._turning)

    def turn(self, now: float) -> None:
        """Blocks become due."""
        while self._turning and self._turning[0].at <= now:
            entry = heapq.heappop(self._turning)
            if self._turns(entry):
                self.lines[self._ranks[entry.id]].remove(entry.ticket)
                self._put(entry.ticket, rank_of(entry.ticket, now), now)

    def take(self, ticket: Ticket) -> None:
        """A block gets a lane: its tenant has had its work."""
        self.lines[self._ranks[ticket.id]].take(ticket)
        self._forget(ticket)

    def withdraw(self, ticket: Ticket) -> bool:
        """Take a block out of what waits; False: it does not wait."""
        if ticket.id not in self._ranks:
            return False
        self.lines[self._ranks[ticket.id]].remove(ticket)
        self._forget(ticket)
        return True

    @staticmethod
    def _rank(ticket: Ticket, now: float) -> Rank:
        rank = rank_of(ticket, now)
        ticket.ahead = ticket.awaited and not rank.due
        return rank

    def _put(self, ticket: Ticket, rank: Rank, now: float) -> None:
        self._ranks[ticket.id] = rank
        self.lines[rank].push(ticket)
        if rank.due:
            self.listened_s = now

    def _turns(self, entry: _Turning) -> bool:
        rank = self._ranks.get(entry.id)
        return rank in {Rank.LIVE, Rank.INTERACTIVE} and entry.ticket.due_at == entry.at

    def _forget(self, ticket: Ticket) -> None:
        del self._ranks[ticket.id]
        self.tenants[ticket.tenant] -= 1
        if not self.tenants[ticket.tenant]:
            del self.tenants[ticket.tenant]


def rank_of(ticket: Ticket, now: float) -> Rank:
    """Return where a block waits. One that nobody waits for any more is worth what a prefetched one is."""
    if not ticket.awaited:
        return Rank.BATCH if ticket.priority is Priority.BATCH else Rank.PREFETCH
    due = ticket.due_at <= now
    if ticket.priority is Priority.LIVE:
        return Rank.LIVE_DUE if due else Rank.LIVE
    return Rank.INTERACTIVE_DUE if due else Rank.INTERACTIVE
