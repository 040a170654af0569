"""A pool whose workers are on other hosts: who is next is decided here, and Redis carries it to whoever is free.

No more is put into Redis than its workers can begin soon: what waits here is still ordered by deadline and shared
between tenants, and is cancelled without a word to anybody.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Protocol

from voicewire.engines.handoff import Failed, Made, Malformed
from voicewire.engines.outlook import Outlook
from voicewire.engines.pooling import PoolStats
from voicewire.engines.schedule import Schedule, Worker
from voicewire.engines.sinks import Sinks
from voicewire.engines.ticket import Sink, Ticket
from voicewire.errors import BadRequest, Busy, EngineFailed, VoicewireError
from voicewire.remote.flight import Flight, Verdict
from voicewire.remote.presence import FRESH_S, Member
from voicewire.remote.scripts import GatewayCalls
from voicewire.remote.wire import DUE_S, Order, left_of, parse_answer, rung_of, serialize
from voicewire.storage.scripts import Call
from voicewire.types import Job, Model, Priority, Slice, Voice

LANE_DUE_S = 0.25  # as in a pool of this machine: a block due within this may take the lane kept free
ROUNDS_MAX = 3  # of a block whose answers were lost
NO_WORKER_S = 10.0  # a block does not wait longer for any worker at all to come back
LATE_S = 1.0  # between two ticks, after which nobody is blamed for not having been seen

logger = logging.getLogger(__name__)


class Post(Protocol):
    """A gateway's way to the queue."""

    gateway: str
    calls: GatewayCalls

    @property
    def full(self) -> bool:
        """Whether too much waits to be said to take on more."""
        ...

    def number(self) -> int:
        """Return a number for a block, which none before it has had from this gateway."""
        ...

    def put(self, call: Call) -> None:
        """Say it as soon as Redis can be asked, in order."""
        ...

    async def join(self, pool: RemotePool) -> None:
        """Read the answers to a pool's blocks from now on."""
        ...

    async def part(self, pool: RemotePool) -> None:
        """Say what is left to say for a pool that has closed."""
        ...


class RemotePool:
    """See the module. `post` carries for all pools of a gateway; it calls `take`, `tick`, `again` and `missed`."""

    def __init__(
        self, model: Model, voices: tuple[Voice, ...], post: Post, *, queue_limit: int, no_worker_s: float = NO_WORKER_S
    ) -> None:
        self.model = model
        self.voices = voices
        self._post = post
        self._no_worker_s = no_worker_s
        self._schedule = Schedule(queue_limit=queue_limit, due_s=LANE_DUE_S)
        self._fleet = Worker(0, time.monotonic())  # all workers together
        self._schedule.workers.append(self._fleet)
        self._bodies: dict[Ticket, bytes] = {}  # of those that have not ended
        self._flights: dict[int, Flight] = {}  # of them, those in the queue
        self._sinks = Sinks(self.cancel)
        self._counts = self._sinks.counts
        self._hosts = 0
        self._hosts_seen_s = self._hosts_heard_s = self._ticked_s = time.monotonic()
        self._closing = False

    async def start(self) -> None:
        """Take part; blocks are made as soon as there is a worker."""
        await self._post.join(self)

    async def close(self) -> None:
        """Stop; blocks still here fail as `draining`, and their workers are told to drop them."""
        self._closing = True
        self._fail_all(Busy("draining"))
        await self._post.part(self)

    def staffed(self, hosts: Sequence[Member], gateways: int) -> None:
        """These workers live; as many `gateways` want something of them."""
        lanes = sum(host.beat.lanes for host in hosts)
        self._hosts = len(hosts)
        self._fleet.lanes = lanes + max(len(hosts), lanes // max(1, gateways))
        if hosts:
            self._hosts_seen_s = time.monotonic()
            self._hosts_heard_s = self._hosts_seen_s - min(host.age_s for host in hosts)
            self._dispatch()

    def submit(
        self,
        job: Job,
        deadline: float,
        sink: Sink,
        *,
        tenant: str = "",
        priority: Priority = Priority.LIVE,
        weight: float = 1.0,
    ) -> Ticket:
        """See `Pool`. Without a worker only what somebody listens to and has not come to yet is taken."""
        ticket = Ticket(self._post.number(), job, deadline, sink, tenant, priority, weight)
        try:
            body = serialize(Order(job, tenant, priority, weight))
        except ValueError as error:
            raise BadRequest(problem=str(error)) from error
        self._add(ticket)
        self._bodies[ticket] = body
        self._dispatch()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """See `Pool`."""
        if ticket.ended:
            return
        worker = self._schedule.cancel(ticket, time.monotonic())
        self._forget(ticket, tell=True)
        self._counts["cancelled"] += 1
        if worker:
            worker.owed.discard(ticket.id)
            self._dispatch()

    def postpone(self, ticket: Ticket, deadline: float) -> None:
        """See `Pool`."""
        if ticket.ended:
            return
        self._schedule.postpone(ticket, deadline, time.monotonic())
        if flight := self._flights.get(ticket.id):
            self._move(flight, time.monotonic())
        self._dispatch()

    def rouse(self) -> None:
        """Nothing: the hosts of workers are not told."""

    def outlook(self, priority: Priority = Priority.LIVE, *, tenant: str = "", weight: float = 1.0) -> Outlook:
        """See `Pool`. Without a worker, nobody knows better than the longest that a block waits for one."""
        if not self._hosts and priority < Priority.PREFETCH:
            return Outlook(self._no_worker_s)
        return self._schedule.outlook(priority, tenant, weight, time.monotonic())

    def stats(self) -> PoolStats:
        """The figures of this moment; `workers` are hosts."""
        schedule = self._schedule
        return PoolStats(schedule.queued, schedule.running, self._hosts, **self._counts)

    def take(self, id: int, round: int, token: int, seq: int, message: bytes) -> None:
        """An answer has come. An empty one: the block was given up."""
        flight = self._flights.get(id)
        if flight is None or round != flight.round:
            return
        if not message:
            self._end(flight.ticket, EngineFailed(problem="every worker that began the block was lost"))
            return
        match flight.judge(token, seq, time.monotonic()):
            case Verdict.NEXT:
                self._understand(flight.ticket, message, first=token > 1 and seq == 0)
            case Verdict.GAP:
                self._once_more(flight, time.monotonic())
            case Verdict.STALE:
                pass

    def again(self) -> None:
        """Redis may have lost what is in the queue: put it there anew."""
        for flight in list(self._flights.values()):
            self._once_more(flight, time.monotonic())

    def silent(self, since_s: float) -> list[Flight]:
        """The blocks of which nothing has come since then."""
        return [flight for flight in self._flights.values() if flight.heard_s < since_s]

    def job(self, flight: Flight) -> str:
        """The name of a block in the queue."""
        return flight.job(self._post.gateway)

    def missed(self, flight: Flight) -> None:
        """A silent block is not in the queue. Its end may be on its way: what is missed twice is put there anew."""
        if self._flights.get(flight.ticket.id) is not flight:
            return
        if flight.missed:
            self._once_more(flight, time.monotonic())
        else:
            flight.missed = True

    def tick(self, now: float) -> None:
        """What only time brings about: blocks becoming due, and waiting in vain."""
        if now - self._ticked_s > LATE_S:
            self._hosts_seen_s = self._hosts_heard_s = now
        self._ticked_s = now
        if now - self._hosts_seen_s > self._no_worker_s:
            self.staffed([], 1)  # also where nobody can be seen because Redis is away
            self._fail_all(self._no_worker())
        elif not self._hosts and now - self._hosts_heard_s > FRESH_S:
            self._refuse_new(now)
        for flight in self._flights.values():
            if flight.rung == "live" and not flight.token and flight.ticket.deadline - now <= DUE_S:
                self._move(flight, now)
        self._dispatch()

    def _add(self, ticket: Ticket) -> None:
        try:
            self._check(ticket)
            self._schedule.add(ticket, time.monotonic())
        except Busy:
            self._counts["refused"] += 1
            raise

    def _check(self, ticket: Ticket) -> None:
        if self._closing:
            raise Busy("draining")
        in_hand_s = left_of(ticket.deadline, time.monotonic()) if ticket.awaited else None
        if self._post.full or not (self._hosts or (in_hand_s or 0.0) > LANE_DUE_S):
            raise self._no_worker()

    def _no_worker(self) -> Busy:
        return Busy(retry_after_ms=int(1000 * self._no_worker_s))

    def _refuse_new(self, now: float) -> None:
        """Nobody has heard anything of an utterance that is new: better `busy` at once. Who listens may wait."""
        for ticket in [each for each in self._bodies if each.awaited and not each.ahead and not each.delivered.packets]:
            if not ticket.ended:  # by what another sink did when it was told
                self._schedule.cancel(ticket, now)
                self._fleet.owed.discard(ticket.id)
                self._fail(ticket, self._no_worker())

    def _dispatch(self) -> None:
        if not self._hosts:
            return
        now = time.monotonic()
        for _, ticket in self._schedule.assign(now):
            left_s = left_of(ticket.deadline, now)
            flight = Flight(ticket, self._bodies[ticket], rung_of(ticket.priority, left_s), now)
            self._flights[ticket.id] = flight
            self._put(flight, left_s)

    def _put(self, flight: Flight, left_s: float | None) -> None:
        post = self._post
        self._post.put(post.calls.submit(self.model.id, self.job(flight), flight.rung, left_s, flight.body))

    def _move(self, flight: Flight, now: float) -> None:
        left_s = left_of(flight.ticket.deadline, now)
        flight.rung = rung_of(flight.ticket.priority, left_s)
        self._post.put(self._post.calls.postpone(self.model.id, self.job(flight), flight.rung, left_s))

    def _once_more(self, flight: Flight, now: float) -> None:
        self._post.put(self._post.calls.cancel(self.model.id, self.job(flight)))
        if flight.round + 1 >= ROUNDS_MAX:
            self._end(flight.ticket, EngineFailed(problem="what was made of the block was lost"))
            return
        self._counts["retries"] += 1
        left_s = left_of(flight.ticket.deadline, now)
        flight.again(rung_of(flight.ticket.priority, left_s), now)
        self._put(flight, left_s)

    def _understand(self, ticket: Ticket, message: bytes, *, first: bool) -> None:
        self._counts["retries"] += first
        try:
            found = parse_answer(message)
        except Malformed:
            logger.exception("a worker said what cannot be read")
            found = Failed(ticket.id, EngineFailed(problem="the worker is of another release"))
        match found:
            case Made(_, slice):
                self._made(ticket, slice)
            case Failed(_, error):
                self._end(ticket, error)

    def _made(self, ticket: Ticket, slice: Slice) -> None:
        if slice.last:
            self._schedule.finish(self._fleet, ticket, time.monotonic())
            self._forget(ticket)
            self._counts["completed"] += 1
        self._sinks.deliver(ticket, slice)
        if slice.last:
            self._dispatch()

    def _end(self, ticket: Ticket, error: VoicewireError) -> None:
        self._schedule.finish(self._fleet, ticket, time.monotonic(), made=False)
        self._fail(ticket, error)
        self._dispatch()

    def _fail(self, ticket: Ticket, error: VoicewireError) -> None:
        self._forget(ticket, tell=True)
        self._sinks.fail(ticket, error)

    def _fail_all(self, error: VoicewireError) -> None:
        for ticket in self._schedule.clear():
            self._fail(ticket, error)
        self._fleet.owed.clear()

    def _forget(self, ticket: Ticket, *, tell: bool = False) -> None:
        """A block has ended; `tell` whoever may have it in the queue."""
        del self._bodies[ticket]
        flight = self._flights.pop(ticket.id, None)
        if flight and tell:
            self._post.put(self._post.calls.cancel(self.model.id, self.job(flight)))
