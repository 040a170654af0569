"""The engines of a machine: worker processes, and the blocks that wait for them; on the event loop.

Decisions are made in `schedule`, synchronously; this file carries them out. A worker that dies, or stays
silent for `stall_s` while it has work, is replaced, and its blocks are made once more elsewhere and go on
where their sinks stopped hearing of them.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from functools import partial

from voicewire.engines.base import EngineSpec
from voicewire.engines.child import Child, Launch
from voicewire.engines.complaints import Complaints
from voicewire.engines.handoff import (
    Cancel,
    Cancelled,
    Failed,
    Halved,
    Hello,
    Made,
    Message,
    Postpone,
    Rouse,
    Submit,
    serialize,
)
from voicewire.engines.outlook import Outlook
from voicewire.engines.pooling import PoolStats
from voicewire.engines.schedule import Schedule, Worker
from voicewire.engines.sinks import Sinks
from voicewire.engines.ticket import Sink, Ticket
from voicewire.engines.voice_list import common
from voicewire.errors import BadRequest, Busy, EngineFailed, Unstaffed, VoicewireError
from voicewire.types import Job, Model, Priority, Slice, Voice

DUE_S = 0.25  # a block due within this may take the lanes kept free
TICK_S = 0.1  # between looks at the clock
LATE_S = 0.5  # behind time, after which nobody is blamed for having been silent
STEADY_S = 10.0  # a worker that lived so long is replaced at once
BACKOFF_S = (0.1, 10.0)  # before the second replacement, and at most
NO_WORKER_S = 10.0  # a block does not wait longer for any worker at all to come back
ROUSED_S = 0.05  # how long nobody is roused again, unless a block was submitted
IDS = 1 << 32

logger = logging.getLogger(__name__)


class LocalPool:
    """See the module. `command` starts a worker; it gets `--fd N` appended.

    `queue_limit` bounds the blocks that wait, `nice` is how far workers step back for the event loop, and
    `env` replaces their environment (torch wants its settings of malloc there before it starts).
    """

    model: Model
    voices: tuple[Voice, ...]

    def __init__(
        self,
        spec: EngineSpec,
        *,
        command: Sequence[str],
        workers: int,
        queue_limit: int,
        stall_s: float = 10.0,
        nice: int = 5,
        env: Mapping[str, str] | None = None,
    ) -> None:
        assert workers > 0
        self._launch = Launch(spec, tuple(command), nice, env)
        self._count = workers
        self._stall_s = stall_s
        self._schedule = Schedule(queue_limit=queue_limit, due_s=DUE_S)
        self._processes: set[Child] = set()  # that may be running
        self._children: dict[Worker, Child] = {}  # that can be given work
        self.voices = ()
        self._lists: dict[Worker, tuple[Voice, ...]] = {}  # what each says that it has
        self._messages: dict[int, tuple[bytes, float]] = {}  # by ticket: what hands it over, the deadline in it
        self._sinks = Sinks(self.cancel)
        self._counts = self._sinks.counts
        self._complaints = Complaints()
        self._last_id = 0
        self._supervisor: asyncio.Task[None] | None = None
        self._started: asyncio.Future[None] | None = None
        self._closing = self._retiring = False
        self._roused_s = -math.inf  # when a worker was last roused, with no block submitted since
        self._worker_seen_s = 0.0

    async def start(self) -> None:
        """Start the workers; return when every one has opened its engine.

        Raises `EngineFailed` with the worker's own words when one cannot.
        """
        self._started = asyncio.get_running_loop().create_future()
        self._supervisor = asyncio.create_task(self._supervise(), name="engine pool")
        self._supervisor.add_done_callback(self._report)
        try:
            await self._started
        except BaseException:
            await self.close()
            raise

    def retire(self) -> None:
        """The end is near: workers that end from now on are replaced only for blocks that wait."""
        self._retiring = True

    async def close(self) -> None:
        """End the workers; blocks still here fail as `draining`."""
        self._closing = True
        self._fail_all(Unstaffed("draining"))
        if self._supervisor:
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
        await asyncio.gather(*(child.end() for child in self._processes))  # where cancellation cut that short
        self._processes.clear()

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
        """Have a block made for `sink`.

        `deadline` is when the listener runs dry, on `time.monotonic`; `math.inf` where nobody waits. Raises
        `Busy` when the queue is full, and `BadRequest` for text that is not Unicode.
        """
        self._last_id = (self._last_id + 1) % IDS
        ticket = Ticket(self._last_id, job, deadline, sink, tenant, priority, weight)
        told = ticket.lane_deadline
        try:
            message = serialize(Submit(ticket.id, job, told))
        except ValueError as error:
            raise BadRequest(problem=str(error)) from error
        if self._closing:
            raise Busy("draining")
        now = time.monotonic()
        self._roused_s = -math.inf
        if worker := self._schedule.begin(ticket, now):
            self._messages[ticket.id] = message, told
            self._children[worker].send(message)
            return ticket
        try:
            self._schedule.add(ticket, now)
        except Busy:
            self._counts["refused"] += 1
            raise
        self._messages[ticket.id] = message, told
        self._dispatch()
        return ticket

    def rouse(self) -> None:
        """A block will probably be submitted at once. In vain it is seldom: what came may be no text, or clips."""
        now = time.monotonic()
        if now - self._roused_s < ROUSED_S:
            return
        if worker := self._schedule.at_rest():
            self._roused_s = now
            self._children[worker].send(serialize(Rouse()))

    def cancel(self, ticket: Ticket) -> None:
        """Drop a block: its sink is not called again. Nothing happens when it has ended."""
        if ticket.ended:
            return
        worker = self._schedule.cancel(ticket, time.monotonic())
        del self._messages[ticket.id]
        self._counts["cancelled"] += 1
        if worker:
            self._children[worker].send(serialize(Cancel(ticket.id)))
            self._dispatch()

    def postpone(self, ticket: Ticket, deadline: float) -> None:
        """Give a block another deadline. Nothing happens when it has ended."""
        if ticket.ended:
            return
        worker = self._schedule.postpone(ticket, deadline, time.monotonic())
        if worker:
            self._children[worker].send(serialize(Postpone(ticket.id, ticket.lane_deadline)))
        else:
            self._dispatch()

    def outlook(self, priority: Priority = Priority.LIVE, *, tenant: str = "", weight: float = 1.0) -> Outlook:
        """What somebody who comes now has to expect."""
        return self._schedule.outlook(priority, tenant, weight, time.monotonic())

    def stats(self) -> PoolStats:
        """The figures of this moment."""
        schedule = self._schedule
        return PoolStats(schedule.queued, schedule.running, len(schedule.workers), **self._counts)

    def _dispatch(self) -> None:
        for worker, ticket in self._schedule.assign(time.monotonic()):
            child = self._children[worker]
            message, told = self._messages[ticket.id]
            child.send(message)
            if ticket.lane_deadline != told:
                child.send(serialize(Postpone(ticket.id, ticket.lane_deadline)))

    def _receive(self, worker: Worker, message: Message) -> None:
        now = worker.heard_s = time.monotonic()
        match message:
            case Made(id, slice) if id in worker.jobs:
                self._made(worker, worker.jobs[id], slice, now)
            case Failed(id, error) if id in worker.jobs:
                ticket = worker.jobs[id]
                self._schedule.finish(worker, ticket, now, made=False)
                self._complaints.hear(self.model.id, error, now)
                self._fail(ticket, error)
                self._dispatch()
            case Cancelled(id):
                worker.owed.discard(id)
                self._dispatch()
            case Hello(_, voices):
                self._list({worker: voices})
            case Halved(times):
                self._counts["halvings"] += times
                logger.warning("memory ran out %d times in a worker of %s", times, self._launch.spec.factory)

    def _made(self, worker: Worker, ticket: Ticket, slice: Slice, now: float) -> None:
        if slice.last:
            self._schedule.finish(worker, ticket, now)
            del self._messages[ticket.id]
            self._counts["completed"] += 1
        self._sinks.deliver(ticket, slice)
        if slice.last:
            self._dispatch()

    def _fail(self, ticket: Ticket, error: VoicewireError) -> None:
        """Tell the sink of a block that has ended."""
        del self._messages[ticket.id]
        self._sinks.fail(ticket, error)

    def _fail_all(self, error: VoicewireError) -> None:
        for ticket in self._schedule.clear():
            self._fail(ticket, error)

    def _lose(self, worker: Worker) -> None:
        """A worker's connection has ended."""
        del self._children[worker]
        again, given_up = self._schedule.lose(worker)
        self._counts["retries"] += len(again)
        for ticket in given_up:
            self._fail(ticket, EngineFailed(problem="the engine's process ended"))
        self._dispatch()

    async def _supervise(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for index in range(self._count):
                tasks.create_task(self._keep_worker(), name=f"worker {index}")
            tasks.create_task(self._watch(), name="watch")

    def _report(self, supervisor: asyncio.Task[None]) -> None:
        """The supervisor has ended: by `close`, or by a mistake of ours or the machine's."""
        if supervisor.cancelled() or self._closing:
            return
        logger.critical("the engine pool has ended", exc_info=supervisor.exception())
        self._closing = True
        error = EngineFailed(problem="the engine pool has ended")
        if self._started and not self._started.done():
            self._started.set_exception(error)
        self._fail_all(error)

    async def _keep_worker(self) -> None:
        """Have one worker at all times, as far as that can be had."""
        failures = 0
        shortest, longest = BACKOFF_S
        while True:
            started_s = time.monotonic()
            if await self._run_worker():
                await self._needed()
            failures = 0 if time.monotonic() - started_s > STEADY_S else failures + 1
            if failures > 1:
                await asyncio.sleep(min(shortest * 2 ** min(failures - 2, 16), longest))
            self._counts["restarts"] += 1

    async def _needed(self) -> None:
        """Wait until one that was lost has to be replaced."""
        while self._retiring and not self._schedule.queued:  # noqa: ASYNC110 - blocks wait for many reasons
            await asyncio.sleep(TICK_S)
        logger.warning("a worker of %s is gone; another takes its place", self._launch.spec.factory)

    async def _run_worker(self) -> bool:
        """Start a worker and stay until it is lost; return whether it ever worked."""
        worker = Worker(0, 0.0)  # it gets lanes when its engine is open
        child = Child(partial(self._receive, worker), partial(self._lose_if_known, worker))
        self._processes.add(child)
        try:
            await child.start(self._launch)
            self.model, voices = await child.hello()
            self._list({worker: self._lists.get(worker, voices)})  # where it has said it again already
            self._welcome(worker, child)
            await child.lost()
        except VoicewireError as error:
            self._could_not_start(error)
        finally:
            self._lists.pop(worker, None)
            self._list()
            await child.end()
            self._processes.discard(child)
        return worker.lanes > 0

    def _list(self, said: Mapping[Worker, tuple[Voice, ...]] | None = None) -> None:
        """Voices are those that every worker has; where none is left, those that were known last."""
        self._lists |= said or {}
        voices = common(self._lists.values())
        if self._lists and voices != self.voices:
            if self.voices:
                logger.info("%s has other voices now, %d of them", self.model.id, len(voices))
            self.voices = voices

    def _could_not_start(self, error: VoicewireError) -> None:
        """Tell who starts the pool, and later, where nobody does, the log."""
        assert self._started
        if not self._started.done():
            self._started.set_exception(error)
        elif not self._started.cancelled() and not self._started.exception():
            logger.error("a worker could not start: %s", error.fields.get("problem", error))

    def _welcome(self, worker: Worker, child: Child) -> None:
        worker.lanes = self.model.lanes
        self._children[worker] = child
        self._schedule.workers.append(worker)
        if self._started and not self._started.done() and len(self._children) == self._count:
            self._started.set_result(None)
        self._dispatch()

    def _lose_if_known(self, worker: Worker) -> None:
        if worker in self._children:
            self._lose(worker)

    async def _watch(self) -> None:
        """What only time brings about: stalls, blocks becoming due, and waiting in vain."""
        then = self._worker_seen_s = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            if now - then > LATE_S:  # held up ourselves, we could hear nobody
                for worker in self._schedule.workers:
                    worker.heard_s = now
            then = now
            self._kill_stalled(now)
            if self._schedule.workers or (self._retiring and not self._schedule.queued):
                self._worker_seen_s = now
            elif now - self._worker_seen_s > NO_WORKER_S:
                self._fail_all(Unstaffed(retry_after_ms=int(1000 * NO_WORKER_S)))
            self._dispatch()

    def _kill_stalled(self, now: float) -> None:
        for worker in self._schedule.stalled(now, self._stall_s):
            logger.error("a worker has been silent for %g s and is killed", self._stall_s)
            self._children[worker].kill()
            worker.heard_s = now
