"""Listeners and workers on a clock of their own, without processes: what a schedule makes of a load."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from voicewire.engines.schedule import Schedule, Worker
from voicewire.engines.ticket import Ticket
from voicewire.errors import VoicewireError
from voicewire.timeline import MAKING_AT_ONCE, SPOKEN_CHAR_S
from voicewire.types import Format, Job, Priority, Slice, Utterance

BEGIN_S, CHAR_S = 0.165, 0.0168  # Kokoro on two cores: a block takes so long, and so much more a character
AHEAD_S = 5.0


class Nowhere:
    """A sink."""

    def slice(self, s: Slice) -> None: ...

    def failed(self, error: VoicewireError) -> None: ...


class Order(Protocol):
    """Who is next."""

    workers: list[Worker]

    def add(self, ticket: Ticket, now: float) -> None: ...

    def assign(self, now: float) -> list[tuple[Worker, Ticket]]: ...

    def finish(self, worker: Worker, ticket: Ticket, now: float) -> None: ...


class FirstCome:
    """The oldest block is next."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self._waiting: deque[Ticket] = deque()

    def add(self, ticket: Ticket, now: float) -> None:  # noqa: ARG002 - as of a schedule
        self._waiting.append(ticket)

    def assign(self, now: float) -> list[tuple[Worker, Ticket]]:  # noqa: ARG002 - as of a schedule
        assigned = []
        for worker in self.workers:
            if self._waiting and not worker.jobs:
                ticket = self._waiting.popleft()
                worker.jobs[ticket.id] = ticket
                assigned.append((worker, ticket))
        return assigned

    def finish(self, worker: Worker, ticket: Ticket, now: float) -> None:  # noqa: ARG002 - as of a schedule
        del worker.jobs[ticket.id]


def new_schedule(queue_limit: int = 100_000) -> Schedule:
    return Schedule(queue_limit=queue_limit, due_s=0.25)


@dataclass
class Listener:
    """One utterance of blocks of so many characters, heard as it comes, as `Timeline` asks for it."""

    blocks: Sequence[int]
    tenant: str = ""
    priority: Priority = Priority.LIVE
    weight: float = 1.0
    ahead_s: float = AHEAD_S
    came_s: float = 0.0
    first_s: float = -1.0  # from coming to the first sound
    underruns: int = 0
    dry_s: float = 0.0  # how long it had nothing to hear
    asked: int = 0
    laid: int = 0
    _dry_at: float = 0.0
    _arrived: set[int] = field(default_factory=set)

    @property
    def done(self) -> bool:
        return self.laid == len(self.blocks)

    def wanted(self, now: float) -> list[tuple[int, float]]:
        """The blocks to ask for now, and their deadlines."""
        wanted = []
        dry_at = max(self._dry_at, now)
        for index in range(self.laid, len(self.blocks)):
            at_once = MAKING_AT_ONCE if self.laid else 1
            if index >= self.laid + at_once or dry_at - now > self.ahead_s:
                break
            if index >= self.asked:
                self.asked = index + 1
                wanted.append((index, dry_at))
            dry_at += self.blocks[index] * SPOKEN_CHAR_S
        return wanted

    def made(self, index: int, now: float) -> None:
        """A block arrives."""
        self._arrived.add(index)
        while self.laid in self._arrived:
            if self.first_s < 0:
                self.first_s = now - self.came_s
            elif now > self._dry_at + 1e-9:
                self.underruns += 1
                self.dry_s += now - self._dry_at
            self._dry_at = max(now, self._dry_at) + self.blocks[self.laid] * SPOKEN_CHAR_S
            self.laid += 1

    @property
    def asks_at(self) -> float:
        """When more may be wanted though nothing happens."""
        return self._dry_at - self.ahead_s + 1e-6


class Simulation:
    """Runs listeners to their end on `workers` workers with a single lane each."""

    def __init__(self, order: Order, workers: int) -> None:
        self.order = order
        self.order.workers += [Worker(1, 0.0) for _ in range(workers)]
        self.now = 0.0
        self.begun: list[tuple[float, Ticket]] = []
        self._ids = itertools.count(1)
        self._count = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(seconds, self.now), next(self._count), call))

    def run(self, until_s: float = float("inf")) -> None:
        while self._events and self._events[0][0] <= until_s:
            self.now, _, call = heapq.heappop(self._events)
            call()

    def come(self, listener: Listener) -> None:
        """A listener comes now."""
        listener.came_s = self.now
        self._ask(listener)

    def _ask(self, listener: Listener) -> None:
        for index, due in listener.wanted(self.now):
            self.submit(listener, index, due)
        if not listener.done and listener.asked < len(listener.blocks) and listener.laid:
            at = listener.asks_at
            if at > self.now:
                self.at(at, lambda: self._ask(listener))
        self._dispatch()

    def submit(self, listener: Listener, index: int, due: float) -> Ticket:
        job = Job(Utterance("x" * listener.blocks[index], "middle"), Format())
        fields: Any = (listener.tenant, listener.priority, listener.weight)
        ticket = Ticket(next(self._ids), job, due, Into(self, listener, index), *fields)
        self.order.add(ticket, self.now)
        return ticket

    def _dispatch(self) -> None:
        for worker, ticket in self.order.assign(self.now):
            self.begun.append((self.now, ticket))
            takes_s = BEGIN_S + CHAR_S * len(ticket.job.utterance.text)
            self.at(self.now + takes_s, self._ended(worker, ticket))

    def _ended(self, worker: Worker, ticket: Ticket) -> Callable[[], None]:
        def ended() -> None:
            self.order.finish(worker, ticket, self.now)
            ticket.sink.slice(Slice([], (), True))
            self._dispatch()

        return ended


@dataclass
class Into:
    """Where a simulated block goes."""

    simulation: Simulation
    listener: Listener
    index: int

    def slice(self, s: Slice) -> None:  # noqa: ARG002 - only its end counts
        self.listener.made(self.index, self.simulation.now)
        self.simulation._ask(self.listener)

    def failed(self, error: VoicewireError) -> None: ...
