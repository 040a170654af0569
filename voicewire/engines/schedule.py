"""Who is next: blocks waiting and workers with free lanes; state without I/O, clock or randomness.

A worker advances, of the jobs in its lanes, the one with the earliest deadline, so a job in a lane is
served as its deadline asks, whatever else is open there. What remains is that a block due at once must
*get* a lane. Hence each worker with several lanes keeps one for blocks that are due within `due_s`: one is
enough, because due blocks are served one after the other anyway, and each gives the lane to the next.
A worker with a single lane keeps none, or it would never work ahead: there a due block waits for the end of
at most one other. Workers are filled least loaded first, so as long as one is idle nothing waits.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from voicewire.errors import Busy, VoicewireError
from voicewire.types import Job, Slice, Word

ATTEMPTS = 2  # of a block, counting those that ended with their worker
OWED = 2  # blocks a lane that a worker has not answered to the end
USUAL_S = 0.05  # taken for the time of a block until some are done
MEMORY = 0.1  # weight of the latest block in the mean
RETRY_MS = (50, 30_000)  # the shortest and longest that a refused caller is told to wait


class Sink(Protocol):
    """Where a block goes. Both are called on the event loop, must return at once and must not raise."""

    def slice(self, s: Slice) -> None:
        """Take a slice; the one with `last` is the end."""
        ...

    def failed(self, error: VoicewireError) -> None:
        """The block ends here."""
        ...


class Delivered(NamedTuple):
    """How much of a block its sink has got."""

    packets: int = 0
    text: int = 0  # code points up to the end of the last word
    samples: int = 0  # up to the end of the last word


class Ticket:
    """A submitted job, until its last slice, its failure or its cancellation."""

    __slots__ = ("attempts", "deadline", "delivered", "ended", "id", "job", "passed", "sink", "started_s", "tenant")

    def __init__(self, id: int, job: Job, deadline: float, sink: Sink, tenant: str = "") -> None:
        self.id = id
        self.job = job
        self.deadline = deadline
        self.sink = sink
        self.tenant = tenant
        self.attempts = 0
        self.started_s = 0.0
        self.ended = False
        self.delivered = Delivered()
        self.passed = 0  # packets of this attempt that came, delivered or not

    def unseen(self, slice: Slice) -> Slice:
        """What of an arriving slice the sink has not got from an attempt before; it counts as delivered.

        Frames and positions are counted from the block's first, so a second attempt goes on where the first
        was lost. An engine that does not make the same samples twice makes nearly the same: words are told by
        their text and kept from overlapping.
        """
        packets, words, last = slice
        skip = self.delivered.packets - self.passed
        self.passed += len(packets)
        if self.attempts > 1:
            packets = packets[max(0, skip) :]
            words = self._words_after(words, self.delivered)
        count, text, samples = self.delivered
        if words:
            text, samples = words[-1].stop, words[-1].ends
        self.delivered = Delivered(count + len(packets), text, samples)
        return Slice(packets, words, last)

    @staticmethod
    def _words_after(words: tuple[Word, ...], before: Delivered) -> tuple[Word, ...]:
        moved = (word._replace(begins=max(word.begins, before.samples)) for word in words if word.start >= before.text)
        return tuple(word for word in moved if word.begins < word.ends)


class Worker:
    """The books of one worker process."""

    __slots__ = ("heard_s", "jobs", "lanes", "owed")

    def __init__(self, lanes: int, now: float) -> None:
        self.lanes = lanes
        self.jobs: dict[int, Ticket] = {}
        self.owed: set[int] = set()  # jobs it has not answered to the end: open, or cancelled and not yet put down
        self.heard_s = now  # since when it has owed an answer without giving one

    def has_lane(self, kept: int) -> bool:
        """Whether a lane is free beyond `kept`, which a worker with a single lane does not keep.

        Cancelled blocks hold no lane; but a worker that does not put them down is given no more.
        """
        return len(self.jobs) < max(1, self.lanes - kept) and len(self.owed) < OWED * self.lanes

    @property
    def suspect(self) -> bool:
        """Whether it holds a job that was open when a worker died."""
        return any(ticket.attempts > 1 for ticket in self.jobs.values())


class _Entry(NamedTuple):
    deadline: float
    turn: int
    id: int


class Schedule:
    """Blocks in order of deadline; blocks with equal ones in turns between tenants.

    `queue_limit` bounds the blocks that wait. Every method returns at once what is to be done.
    """

    def __init__(self, *, queue_limit: int, due_s: float) -> None:
        self.workers: list[Worker] = []
        self._queue_limit = queue_limit
        self._due_s = due_s
        self._heap: list[_Entry] = []
        self._waiting: dict[int, tuple[Ticket, _Entry]] = {}
        self._turn = 0  # of the block last assigned
        self._turns: dict[str, tuple[int, int]] = {}  # tenant → last turn given, blocks waiting
        self._usual_s = USUAL_S

    @property
    def queued(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return sum(len(worker.jobs) for worker in self.workers)

    def add(self, ticket: Ticket) -> None:
        """Let a new block wait. Raises `Busy` when too many do."""
        if len(self._waiting) >= self._queue_limit:
            raise Busy(retry_after_ms=self.retry_after_ms())
        self._push(ticket)

    def retry_after_ms(self) -> int:
        """The time until the queue, as it is, has been worked off."""
        lanes = sum(worker.lanes for worker in self.workers) or 1
        shortest, longest = RETRY_MS
        return min(max(int(1000 * self._usual_s * len(self._waiting) / lanes), shortest), longest)

    def assign(self, now: float) -> list[tuple[Worker, Ticket]]:
        """Give free lanes to the blocks that are next; return what to send to whom."""
        assigned = []
        set_aside = []
        while entry := self._head():
            ticket = self._waiting[entry.id][0]
            worker = self._lane_for(ticket, now)
            if worker:
                self._start(worker, ticket, now)
                assigned.append((worker, ticket))
            elif ticket.attempts:
                # It waits for a worker without a suspect; others need not wait for it.
                set_aside.append(heapq.heappop(self._heap))
            else:
                break
        for entry in set_aside:
            heapq.heappush(self._heap, entry)
        return assigned

    def cancel(self, ticket: Ticket) -> Worker | None:
        """Forget a block; return the worker that must be told."""
        ticket.ended = True
        if ticket.id in self._waiting:
            self._pop(ticket)
            return None
        worker = self.holder(ticket)
        if worker:
            del worker.jobs[ticket.id]  # messages keep their order, so the lane is free for the next one now
        return worker

    def postpone(self, ticket: Ticket, deadline: float) -> Worker | None:
        """Give a block another deadline; return the worker that must be told."""
        ticket.deadline = deadline
        if ticket.id in self._waiting:
            self._pop(ticket)
            self._push(ticket)
            return None
        return self.holder(ticket)

    def finish(self, worker: Worker, ticket: Ticket, now: float) -> None:
        """The worker has answered a block to its end."""
        ticket.ended = True
        del worker.jobs[ticket.id]
        worker.owed.discard(ticket.id)
        self._usual_s += MEMORY * (now - ticket.started_s - self._usual_s)

    def lose(self, worker: Worker) -> tuple[list[Ticket], list[Ticket]]:
        """A worker has died; return its blocks that will be tried again, and those given up."""
        self.workers.remove(worker)
        tickets, worker.jobs = list(worker.jobs.values()), {}
        again = [ticket for ticket in tickets if ticket.attempts < ATTEMPTS]
        given_up = [ticket for ticket in tickets if ticket.attempts >= ATTEMPTS]
        for ticket in again:
            self._push(ticket)
        for ticket in given_up:
            ticket.ended = True
        return again, given_up

    def clear(self) -> list[Ticket]:
        """End every block, waiting or running; return them."""
        tickets = [ticket for ticket, _ in self._waiting.values()]
        for worker in self.workers:
            tickets += worker.jobs.values()
            worker.jobs = {}
        self._waiting, self._heap, self._turns = {}, [], {}
        for ticket in tickets:
            ticket.ended = True
        return tickets

    def stalled(self, now: float, stall_s: float) -> Iterator[Worker]:
        """The workers that owe an answer and have been silent for `stall_s`."""
        return (worker for worker in self.workers if worker.owed and now - worker.heard_s > stall_s)

    def holder(self, ticket: Ticket) -> Worker | None:
        """The worker in one of whose lanes the block is."""
        return next((worker for worker in self.workers if ticket.id in worker.jobs), None)

    def _start(self, worker: Worker, ticket: Ticket, now: float) -> None:
        self._turn = max(self._turn, self._waiting[ticket.id][1].turn)
        self._pop(ticket)
        if not worker.owed:
            worker.heard_s = now
        worker.jobs[ticket.id] = ticket
        worker.owed.add(ticket.id)
        ticket.attempts += 1
        ticket.passed = 0
        ticket.started_s = now

    def _lane_for(self, ticket: Ticket, now: float) -> Worker | None:
        """The least loaded worker that may take the block.

        Of the blocks that were open when a worker died, one may be why: a worker takes one of them at a
        time, so that no innocent block dies with the same culprit twice.
        """
        kept = 0 if ticket.deadline - now <= self._due_s else 1
        fits = [worker for worker in self.workers if worker.has_lane(kept) and not (ticket.attempts and worker.suspect)]
        return min(fits, key=lambda worker: len(worker.owed), default=None)

    def _head(self) -> _Entry | None:
        while self._heap:
            entry = self._heap[0]
            if entry.id in self._waiting and self._waiting[entry.id][1] is entry:
                return entry
            heapq.heappop(self._heap)
        return None

    def _push(self, ticket: Ticket) -> None:
        turn, waiting = self._turns.get(ticket.tenant, (0, 0))
        turn = max(self._turn, turn) + 1
        self._turns[ticket.tenant] = (turn, waiting + 1)
        entry = _Entry(ticket.deadline, turn, ticket.id)
        self._waiting[ticket.id] = (ticket, entry)
        heapq.heappush(self._heap, entry)
        if len(self._heap) > 2 * len(self._waiting) + 64:
            self._heap = [entry for _, entry in self._waiting.values()]
            heapq.heapify(self._heap)

    def _pop(self, ticket: Ticket) -> None:
        """Take a block out of the queue; its entry in the heap goes when it comes up."""
        del self._waiting[ticket.id]
        turn, waiting = self._turns[ticket.tenant]
        self._turns[ticket.tenant] = (turn, waiting - 1)
        if waiting == 1:
            del self._turns[ticket.tenant]
