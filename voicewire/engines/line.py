"""Blocks of one rank that wait: tenants share by weight, and within their shares what is due first is first.

Each tenant has a tag, the work it was given divided by its weight, that is never behind the line's virtual
time, the least tag of those that waited when a block was last taken: start-time fair queueing (Goyal, Vin and
Cheng, SIGCOMM 1996). Whoever comes back after a rest makes up for nothing, and whoever used what nobody else
wanted is not punished for it. Of the tenants that wait, those may be next whose tag is ahead of the least by no
more than `SLACK_CHARS` of their own work; among them the block with the earliest deadline is, as in earliest
eligible deadline first (Stoica and Abdel-Wahab, ODU TR 95-22). So where all that is due can be done in time, it is
done nearly in the order of deadlines, and where it cannot, two tenants that both wait get work by their weights, up to
`SLACK_CHARS` and a block each: a hundred streams of one do not starve the single stream of another.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from voicewire.engines.ticket import Ticket

SLACK_CHARS = 400.0  # the longest block of most engines
RESTING_MAX = 1_024  # tenants that are remembered though they wait for nothing


class _Entry(NamedTuple):
    due_at: float
    turn: int  # unequal, so that tickets are never compared
    ticket: Ticket


class _Flow:
    """A tenant in a line."""

    __slots__ = ("entries", "heap", "tag", "weight", "work")

    def __init__(self) -> None:
        self.entries: dict[int, _Entry] = {}
        self.heap: list[_Entry] = []
        self.tag = 0.0
        self.weight = 1.0
        self.work = 0.0

    def head(self) -> _Entry:
        """The entry that is due first; those that were taken out go when they come up."""
        while self.entries.get(self.heap[0].ticket.id) is not self.heap[0]:
            heapq.heappop(self.heap)
        return self.heap[0]

    def push(self, entry: _Entry) -> None:
        self.entries[entry.ticket.id] = entry
        self.work += entry.ticket.work
        heapq.heappush(self.heap, entry)
        if len(self.heap) > 2 * len(self.entries) + 16:
            self.heap = [*self.entries.values()]
            heapq.heapify(self.heap)

    def remove(self, ticket: Ticket) -> None:
        del self.entries[ticket.id]
        self.work = self.work - ticket.work if self.entries else 0.0
        if not self.entries:
            self.heap.clear()


class Line:
    """See the module."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Flow] = {}  # by tenant, those with blocks
        self._resting: dict[str, _Flow] = {}  # … and those without, whose tag is ahead of the others
        self._resting_max = 64
        self._virtual = 0.0
        self._turn = 0

    def __len__(self) -> int:
        return sum(len(flow.entries) for flow in self._waiting.values())

    @property
    def work(self) -> float:
        """Characters that wait."""
        return sum(flow.work for flow in self._waiting.values())

    @property
    def weights(self) -> dict[str, float]:
        """Of the tenants that wait."""
        return {tenant: flow.weight for tenant, flow in self._waiting.items()}

    def of(self, tenant: str) -> Iterator[Ticket]:
        """The blocks of one tenant, in no order."""
        flow = self._waiting.get(tenant)
        return (entry.ticket for entry in flow.entries.values()) if flow else iter(())

    def all(self) -> Iterator[Ticket]:
        """The blocks, in no order."""
        return (entry.ticket for flow in self._waiting.values() for entry in flow.entries.values())

    def push(self, ticket: Ticket) -> None:
        """Let a block wait."""
        flow = self._waiting.get(ticket.tenant)
        if flow is None:
            flow = self._waiting[ticket.tenant] = self._resting.pop(ticket.tenant, _Flow())
            flow.tag = max(flow.tag, self._virtual)
        flow.weight = ticket.weight
        self._turn += 1
        flow.push(_Entry(ticket.due_at, self._turn, ticket))

    def head(self) -> Ticket | None:
        """The block that is next."""
        if not self._waiting:
            return None
        flows = self._waiting.values()
        least = min(flow.tag for flow in flows)
        may = (flow for flow in flows if flow.tag <= least + SLACK_CHARS / flow.weight)
        best = min(may, key=lambda flow: (flow.head().due_at, flow.tag, flow.head().turn))
        return best.head().ticket

    def take(self, ticket: Ticket) -> None:
        """A block gets a lane: its tenant has had its work."""
        self._virtual = max(self._virtual, min(flow.tag for flow in self._waiting.values()))
        flow = self._waiting[ticket.tenant]
        flow.tag += ticket.work / flow.weight
        self.remove(ticket)

    def serve(self, ticket: Ticket) -> None:
        """As `push` and `take` of a block where nobody waits."""
        assert not self._waiting
        flow = self._resting.pop(ticket.tenant, None) or _Flow()
        self._virtual = max(flow.tag, self._virtual)
        flow.tag = self._virtual + ticket.work / ticket.weight
        self._rest(ticket.tenant, flow)

    def remove(self, ticket: Ticket) -> None:
        """A block waits here no longer."""
        flow = self._waiting[ticket.tenant]
        flow.remove(ticket)
        if not flow.entries:
            del self._waiting[ticket.tenant]
            self._rest(ticket.tenant, flow)

    def _rest(self, tenant: str, flow: _Flow) -> None:
        if flow.tag > self._virtual:
            self._resting[tenant] = flow
        if len(self._resting) > self._resting_max:
            self._resting = {name: each for name, each in self._resting.items() if each.tag > self._virtual}
            if len(self._resting) > RESTING_MAX:
                self._resting.clear()  # what so many were ahead is forgiven
            self._resting_max = 2 * len(self._resting) + 64
