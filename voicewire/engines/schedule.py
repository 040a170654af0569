"""Who is next: blocks waiting and workers with free lanes; state without I/O, clock or randomness.

A block is *due* from `due_s` before the moment at which it must be begun so that its listener does not run dry; a
first block is due at once. Due blocks go before work ahead of need, live ones before those that somebody waits
for over HTTP, then what is made ahead for these in the same order, then what nobody listens to: blocks that will
probably be asked for, and jobs (`Rank`). Within a rank the block that is due first is next, as far as its tenant has
not had more than its share (`line`). So a crowd of newcomers and those who would run dry take turns, and neither waits
for what is made ahead. A rank is delayed by a later one only where a block of that is being made already.

A worker advances, of the jobs in its lanes, the one whose listener runs dry first, so a job in a lane is
served as its deadline asks, whatever else is open there. What remains is that a block due at once must
*get* a lane. Hence each worker with several lanes keeps one for due blocks: one is enough, because due blocks are
served one after the other anyway, and each gives the lane to the next. A worker with a single lane keeps none, or it
would never work ahead: there a due block waits for the end of at most one other. But where all have one, and somebody
listened lately, one of them takes no work for nobody. Workers are filled least loaded first, so as long as one is idle
nothing waits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from voicewire.engines.outlook import Outlook, Share, retry_ms
from voicewire.engines.rates import MEMORY, Rates
from voicewire.engines.ticket import Ticket
from voicewire.engines.waiting import Rank, Waiting, rank_of
from voicewire.errors import Busy
from voicewire.types import Priority

ATTEMPTS = 2  # of a block, counting those that ended with their worker
OWED = 2  # blocks a lane that a worker has not answered to the end
TURNS_S = 0.25  # a wait that makes nobody late where several lanes of a worker take turns
LISTENED_S = 30.0  # how long a worker is kept from work for nobody after a block was due
RANKS = tuple(Rank)
KEPT_PART = 8  # the last eighth of the queue is for tenants that have less than an eighth of it


class Worker:
    """The books of one worker process."""

    __slots__ = ("heard_s", "jobs", "lanes", "marked_s", "owed")

    def __init__(self, lanes: int, now: float) -> None:
        self.lanes = lanes
        self.jobs: dict[int, Ticket] = {}
        self.owed: set[int] = set()  # jobs it has not answered to the end: open, or cancelled and not yet put down
        self.heard_s = now  # since when it has owed an answer without giving one
        self.marked_s = now  # since when it has been busy without ending a block

    def has_lane(self, kept: int) -> bool:
        """Whether a lane is free beyond `kept`, which a worker with a single lane does not keep.

        Cancelled blocks hold no lane; but a worker that does not put them down is given no more.
        """
        return len(self.jobs) < max(1, self.lanes - kept) and len(self.owed) < OWED * self.lanes

    def holds_up(self, now: float, rates: Rates) -> float:
        """The work in its lanes, not done yet by what is usual, that a block which is due now has to wait for."""
        waited_for = (ticket for ticket in self.jobs.values() if self.lanes == 1 or ticket.due_at <= now)
        return sum(ticket.work * rates.left(ticket.work, now - ticket.started_s) for ticket in waited_for)

    @property
    def suspect(self) -> bool:
        """Whether it holds a job that was open when a worker died."""
        return any(ticket.attempts > 1 for ticket in self.jobs.values())


class Schedule:
    """See the module. `queue_limit` bounds the blocks that wait. Every method returns at once what is to be done."""

    def __init__(self, *, queue_limit: int, due_s: float) -> None:
        self.workers: list[Worker] = []
        self._queue_limit = queue_limit
        self._due_s = due_s
        self._rates = Rates()
        self._waiting = Waiting()
        self._again: dict[int, Ticket] = {}  # blocks that were open when their worker died
        self._waited_s = 0.0  # the mean of first blocks

    @property
    def queued(self) -> int:
        return len(self._waiting) + len(self._again)

    @property
    def running(self) -> int:
        return sum(len(worker.jobs) for worker in self.workers)

    def add(self, ticket: Ticket, now: float) -> None:
        """Let a new block wait. Raises `Busy` when too many do."""
        if self._room(ticket) <= 0:
            raise Busy(retry_after_ms=retry_ms(self._waiting.work / self._chars_s))
        self._push(ticket, now)

    def _room(self, ticket: Ticket) -> int:
        room = self._queue_limit - self.queued
        if ticket.priority >= Priority.PREFETCH:
            room -= self._queue_limit // 2  # work for nobody leaves half of the queue to listeners
        if self._waiting.tenants[ticket.tenant] >= max(1, self._queue_limit // KEPT_PART):
            room -= self._queue_limit // KEPT_PART
        return room

    def outlook(self, priority: Priority, tenant: str, weight: float, now: float) -> Outlook:
        """What `tenant` has to expect for a block that is due now, and for those that it waits for already."""
        if priority >= Priority.PREFETCH or not (self.running or self.queued):
            return Outlook()
        waited_s = self._waited_s if self.running else 0.0
        held = [worker.holds_up(now, self._rates) for worker in self.workers if worker.jobs]
        if len(held) < len(self.workers) or not all(held):
            return Outlook(waited_s=waited_s)
        self._waiting.turn(now)
        lines, live = self._waiting.lines, priority is Priority.LIVE
        due = lines[Rank.LIVE_DUE if live else Rank.INTERACTIVE_DUE]
        ahead = lines[Rank.LIVE if live else Rank.INTERACTIVE]
        first = self._next_free(held) + (0.0 if live else lines[Rank.LIVE_DUE].work)
        urgent, everything = Share([due], tenant, weight), Share([due, ahead], tenant, weight)
        wait_s = (first + urgent.before(urgent.own)) / self._chars_s
        if wait_s < TURNS_S and any(worker.lanes > 1 for worker in self.workers):
            return Outlook(wait_s, waited_s)
        return Outlook(wait_s, waited_s, everything.late_s(first, self._chars_s, len(self.workers), now))

    def _next_free(self, held: list[float]) -> float:
        """The work that all do until one is free, when they have `held`."""
        if any(worker.lanes > 1 for worker in self.workers):
            return sum(held) / 2  # it gets a lane at once, of a worker that takes turns between its due blocks
        return len(held) * min(held, default=0.0)  # it waits for all of them, and takes whichever ends first

    def at_rest(self) -> Worker | None:
        """The worker that would get a block now, where none of them has anything to do."""
        rest = not self.queued and not any(worker.owed for worker in self.workers)
        return self.workers[0] if rest and self.workers else None

    def begin(self, ticket: Ticket, now: float) -> Worker | None:
        """Give a new block to the worker at rest, as `add` and `assign` would; None where these have to."""
        worker = self.at_rest() if ticket.awaited else None
        if worker:
            self._set_due(ticket, now)
            self._waiting.serve(ticket, now)
            self._begun(worker, ticket, now)
        return worker

    def assign(self, now: float) -> list[tuple[Worker, Ticket]]:
        """Give free lanes to the blocks that are next; return what to send to whom."""
        self._waiting.turn(now)
        assigned: list[tuple[Worker, Ticket]] = []
        for rank in RANKS:
            if not self.queued:  # as most often
                break
            for again in [each for each in self._again.values() if rank_of(each, now) is rank]:
                # It waits for a worker without a suspect; others need not wait for it.
                if worker := self._lane_for(again, rank, now):
                    del self._again[again.id]
                    assigned.append(self._start(worker, again, now))
            while ticket := self._waiting.lines[rank].head():
                worker = self._lane_for(ticket, rank, now)
                if not worker:
                    return assigned
                self._waiting.take(ticket)
                assigned.append(self._begun(worker, ticket, now))
        return assigned

    def cancel(self, ticket: Ticket, now: float) -> Worker | None:
        """Forget a block; return the worker that must be told."""
        ticket.ended = True
        if self._again.pop(ticket.id, None) or self._waiting.withdraw(ticket):
            return None
        worker = self.holder(ticket)
        if worker:
            _write_off(worker, ticket, now)
            del worker.jobs[ticket.id]  # messages keep their order, so the lane is free for the next one now
        return worker

    def postpone(self, ticket: Ticket, deadline: float, now: float) -> Worker | None:
        """Give a block another deadline, infinity when nobody waits for it; return the worker that must be told."""
        ticket.deadline = deadline
        if self._waiting.withdraw(ticket):
            self._push(ticket, now)
            return None
        return self.holder(ticket)

    def finish(self, worker: Worker, ticket: Ticket, now: float, *, made: bool = True) -> None:
        """The worker has answered a block to its end."""
        ticket.ended = True
        if made:
            self._rates.learn(ticket.work, now - worker.marked_s, now - ticket.started_s)
            worker.marked_s = now
        else:
            _write_off(worker, ticket, now)
        del worker.jobs[ticket.id]
        worker.owed.discard(ticket.id)

    def lose(self, worker: Worker) -> tuple[list[Ticket], list[Ticket]]:
        """The worker is gone; return its blocks: those that wait again, and those that are given up."""
        self.workers.remove(worker)
        tickets = list(worker.jobs.values())
        worker.jobs = {}
        again = [ticket for ticket in tickets if ticket.attempts < ATTEMPTS]
        given_up = [ticket for ticket in tickets if ticket.attempts >= ATTEMPTS]
        self._again |= {ticket.id: ticket for ticket in again}
        for ticket in given_up:
            ticket.ended = True
        return again, given_up

    def clear(self) -> list[Ticket]:
        """End every block, waiting or running; return them."""
        tickets = [*self._again.values(), *self._waiting.all()]
        for worker in self.workers:
            tickets += worker.jobs.values()
            worker.jobs = {}
        self._waiting, self._again = Waiting(), {}
        for ticket in tickets:
            ticket.ended = True
        return tickets

    def stalled(self, now: float, stall_s: float) -> Iterator[Worker]:
        """The workers that owe an answer and have been silent for `stall_s`."""
        return (worker for worker in self.workers if worker.owed and now - worker.heard_s > stall_s)

    def holder(self, ticket: Ticket) -> Worker | None:
        """The worker in one of whose lanes the block is."""
        return next((worker for worker in self.workers if ticket.id in worker.jobs), None)

    @property
    def _chars_s(self) -> float:
        return self._rates.chars_s * max(1, len(self.workers))

    def _begun(self, worker: Worker, ticket: Ticket, now: float) -> tuple[Worker, Ticket]:
        """Give a lane to a block that is no retry, and count how long it waited."""
        if ticket.awaited and not ticket.ahead:
            self._waited_s += MEMORY * (now - ticket.due_at - self._waited_s)
        return self._start(worker, ticket, now)

    def _start(self, worker: Worker, ticket: Ticket, now: float) -> tuple[Worker, Ticket]:
        if not worker.owed:
            worker.heard_s = now
        if not worker.jobs:
            worker.marked_s = now
        worker.jobs[ticket.id] = ticket
        worker.owed.add(ticket.id)
        ticket.attempts += 1
        ticket.passed = 0
        ticket.started_s = now
        return worker, ticket

    def _lane_for(self, ticket: Ticket, rank: Rank, now: float) -> Worker | None:
        """The least loaded worker that may take the block.

        Of the blocks that were open when a worker died, one may be why: a worker takes one of them at a
        time, so that no innocent block dies with the same culprit twice.
        """
        if rank >= Rank.PREFETCH and self._last_for_listeners(now):
            return None
        kept = 0 if rank.due else 1
        fits = [worker for worker in self.workers if worker.has_lane(kept) and not (ticket.attempts and worker.suspect)]
        return min(fits, key=lambda worker: len(worker.owed), default=None)

    def _last_for_listeners(self, now: float) -> bool:
        """Whether somebody listened lately, and of several workers with a single lane all but one work for nobody."""
        if now - self._waiting.listened_s > LISTENED_S or len(self.workers) < 2:
            return False
        taken = sum(
            not any(ticket.awaited for ticket in worker.jobs.values()) for worker in self.workers if worker.jobs
        )
        return taken >= len(self.workers) - 1 and all(worker.lanes == 1 for worker in self.workers)

    def _push(self, ticket: Ticket, now: float) -> None:
        self._set_due(ticket, now)
        self._waiting.push(ticket, now)

    def _set_due(self, ticket: Ticket, now: float) -> None:
        begin_by = ticket.deadline - self._due_s - self._rates.lasts_s(ticket.work)
        ticket.due_at = max(now, begin_by) if ticket.awaited else math.inf


def _write_off(worker: Worker, ticket: Ticket, now: float) -> None:
    """Leave out the time that went into a block which comes to nothing: it does not make the next one a slow one.

    Else whoever begins and cancels much would have everybody told of a pool that makes a word a minute.
    """
    worker.marked_s = min(now, worker.marked_s + (now - ticket.started_s) / len(worker.jobs))
