"""A worker process: one engine, one thread, and the jobs that a pool hands it over a socket.

`python -m voicewire.worker --fd N` is started by `engines.pool` with a stream socket open at descriptor N.
It advances the job whose listener runs dry first by one step, sends what was made, looks for messages without
waiting, and so on; it waits only when it has no job. Where nobody will run dry soon, one job after the other is made to
its end, and several steps are sent together: what another lane works on is not in the processor's caches. An exception
that an engine does not declare ends the process: what state the engine is in is not known, and the pool starts another.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Generator
from types import FrameType
from typing import NoReturn

from voicewire.engines.base import BatchEngine, ChangingEngine, Engine, EngineSpec, WaitingEngine
from voicewire.engines.batch import Batch, choose
from voicewire.engines.connection import HELD_S, Connection, PoolGone
from voicewire.engines.handoff import (
    Cancel,
    Cancelled,
    Failed,
    Halved,
    Hello,
    Made,
    Message,
    Open,
    Postpone,
    Rouse,
    Submit,
)
from voicewire.engines.lookout import Lookout
from voicewire.engines.strain import Strain
from voicewire.errors import EngineFailed, VoicewireError
from voicewire.rehearsal import WARM_TEXT, Rehearsal
from voicewire.render import WAITING, Encoders, render
from voicewire.takes import Recorder
from voicewire.types import Chunk, Format, Job, Slice, Utterance

AT_LEISURE_S = 0.25  # who has so much to hear will not run dry while a step or two are made for somebody else
FAR_S = 2.0  # who has so much to hear is in no hurry for the block's first frame

logger = logging.getLogger(__name__)


class Running:
    """A job in one of the lanes."""

    __slots__ = ("batch", "deadline", "job", "made_s", "recorder", "slices", "slow", "waiting")

    def __init__(self, job: Job, deadline: float) -> None:
        self.job = job
        self.deadline = deadline  # of its first frame
        self.made_s = 0.0  # of audio
        self.slow = False  # one step took longer than what was made may be held
        self.waiting = False  # its engine had nothing for it when it was last asked
        self.slices: Generator[Slice, None, None] | None = None  # None: it has not begun
        self.batch: tuple[Batch, int] | None = None  # and its row there
        self.recorder: Recorder | None = None

    @property
    def due(self) -> float:
        """When its listener runs dry without its next slice: a block just begun does not wait for the end of others."""
        return self.deadline + self.made_s

    def close(self) -> None:
        """Free what the engine holds for it."""
        if self.slices:
            self.slices.close()
        if self.batch:
            batch, row = self.batch
            batch.drop(row)


class Worker:
    """Serves one pool with one engine until the pool is gone or `finish` is called."""

    def __init__(self, engine: Engine, connection: Connection) -> None:
        self._engine = engine
        self._connection = connection
        self._encoders = Encoders()
        # The next step of what speaks several at once may be a pass for all of them.
        self._quick = not isinstance(engine, BatchEngine | WaitingEngine)
        self._running: dict[int, Running] = {}
        self._finishing = False
        self._idle = False
        self._strain = Strain(time.monotonic())
        self._rehearsal = Rehearsal(engine, self._encoders)
        self._halvings = 0  # that the pool knows of
        self._wakers = select.poll()  # descriptors may be beyond what select() takes
        self._wakers.register(connection.fileno(), select.POLLIN)
        if isinstance(engine, WaitingEngine):
            self._wakers.register(engine.fileno(), select.POLLIN)
        self._lookout = Lookout(engine, self._list) if isinstance(engine, ChangingEngine) else None

    def warm(self) -> None:
        """Speak a word to nobody: what libraries do at their first use took a first listener 20 ms."""
        if isinstance(self._engine, WaitingEngine):
            return
        utterance = Utterance(WARM_TEXT, self._engine.model.default_voice)
        try:
            for _ in render(self._engine, Job(utterance, Format()), self._encoders):
                pass
            if isinstance(self._engine, BatchEngine) and self._engine.batch_max > 1:
                for _ in self._engine.synthesize_batch([utterance] * self._engine.batch_max):
                    pass
        except VoicewireError as error:
            logger.warning("the engine is open, but did not speak: %s %s", error, error.fields)
        gc.collect()
        gc.freeze()  # a model is many objects, and none of them will ever be garbage

    def run(self) -> None:
        """Work. Raises `PoolGone` at the end of the socket."""
        self._connection.send(self._hello())
        if self._lookout:
            self._lookout.start()
        while not self._finishing or self._running:
            messages = self._receive()
            for message in messages:
                self._take(message)
            if self._running:
                self._advance()
            elif self._quick and any(isinstance(message, Rouse) for message in messages):
                self._rehearsal.run()

    def close(self) -> None:
        """Leave nothing open: an engine's utterances do not outlive the interpreter in order."""
        if self._lookout:
            self._lookout.close()
        while self._running:
            self._running.popitem()[1].close()
        self._encoders.close()

    def finish(self, _signal: int, _frame: FrameType | None) -> None:
        """On a signal: end what is open, then the process."""
        self._finishing = True
        if self._idle:
            raise SystemExit(0)

    def _hello(self) -> Hello:
        return Hello(self._engine.model, tuple(self._engine.voices()))

    def _list(self) -> None:
        with contextlib.suppress(PoolGone):
            self._connection.send(self._hello())

    def _receive(self) -> list[Message]:
        if self._running:
            if all(job.waiting for job in self._running.values()):
                self._wakers.poll()
                self._wake()
            return self._connection.receive(wait=False)
        self._idle, since = True, time.monotonic()
        messages = [] if self._finishing else self._connection.receive(wait=True)
        self._idle = False
        self._strain.paused(time.monotonic() - since)
        return messages

    def _take(self, message: Message) -> None:
        match message:
            case Submit(id, job, deadline):
                assert len(self._running) < self._engine.model.lanes, "the pool has filled more than all lanes"
                self._running[id] = Running(job, deadline)
            case Cancel(id):
                if id in self._running:
                    self._running.pop(id).close()
                self._connection.send(Cancelled(id))
            case Postpone(id, deadline) if id in self._running:
                self._running[id].deadline = deadline

    def _advance(self) -> None:
        able = [(id, job) for id, job in self._running.items() if not job.waiting]
        if not able:
            return
        now = time.monotonic()
        id, job = min(able, key=lambda item: item[1].due)
        leisurely = self._quick and job.due > now + AT_LEISURE_S
        if leisurely:
            earliest_id, earliest = min(able, key=lambda item: item[1].deadline)
            if not earliest.slow:
                id, job = earliest_id, earliest
        self._connection.flush(HELD_S if leisurely else 0.0)
        try:
            slice = next(job.slices or self._begin(job))
        except VoicewireError as error:
            self._running.pop(id).close()
            self._connection.send(Failed(id, error))
            return
        if slice is WAITING and isinstance(self._engine, WaitingEngine):
            job.waiting = True
            return
        self._wake()
        job.slow = job.slow or time.monotonic() - now > HELD_S
        job.made_s += len(slice.packets) * job.job.format.frame_ms / 1000
        if slice.last:
            slice = self._ended(id, job, slice)
        self._tell(id, slice, may_wait=leisurely and not (job.slow or slice.last))

    def _ended(self, id: int, job: Running, last: Slice) -> Slice:
        """Put a job away; return its last slice, with the take that may be wanted."""
        self._running.pop(id).close()
        self._tell_halvings()
        self._strain.made(job.made_s)
        if job.recorder is None:
            return last
        left_out = self._quick and self._strain.full(time.monotonic())
        return last._replace(recording=None if left_out else job.recorder.recording())

    def _tell(self, id: int, slice: Slice, *, may_wait: bool) -> None:
        if not (slice.packets or slice.words or slice.last):
            return
        if may_wait:
            self._connection.hold(Made(id, slice))
        else:
            self._connection.send(Made(id, slice))

    def _begin(self, lead: Running) -> Generator[Slice, None, None]:
        """Start a job, and with an engine that speaks several at once those like it."""
        if isinstance(self._engine, BatchEngine):
            self._begin_batch(self._engine, lead)
        else:
            lead.slices = self._render(lead, self._engine.synthesize(lead.job.utterance))
        assert lead.slices
        return lead.slices

    def _begin_batch(self, engine: BatchEngine, lead: Running) -> None:
        idle = [job for job in self._running.values() if not job.slices and job is not lead]
        idle = [lead, *sorted(idle, key=lambda job: job.deadline)]
        chosen = [idle[nth] for nth in choose([engine.size(job.job.utterance) for job in idle], engine.batch_max)]
        batch = Batch(engine, [job.job.utterance for job in chosen])
        for row, job in enumerate(chosen):
            job.batch = batch, row
            job.slices = self._render(job, batch.row(row))

    def _render(self, job: Running, chunks: Generator[Chunk, None, None]) -> Generator[Slice, None, None]:
        if job.job.record:
            job.recorder = Recorder(self._engine.model.rate_hz)
            chunks = job.recorder.hear(chunks)
        at_leisure = self._quick and job.deadline > time.monotonic() + FAR_S
        return render(self._engine, job.job, self._encoders, chunks=chunks, at_leisure=at_leisure)

    def _tell_halvings(self) -> None:
        halvings = self._engine.halvings if isinstance(self._engine, BatchEngine) else 0
        if halvings > self._halvings:
            self._connection.send(Halved(halvings - self._halvings))
            self._halvings = halvings

    def _wake(self) -> None:
        """Ask every job again, whether there is something for it by now."""
        for job in self._running.values():
            job.waiting = False


def open_engine(spec: EngineSpec) -> Engine:
    """Call the factory that `spec` names."""
    module, _, name = spec.factory.partition(":")
    factory: Callable[..., Engine] = getattr(importlib.import_module(module), name)
    return factory(**spec.options)


def serve(connection: Connection) -> None:
    """Open the engine that the pool asks for, and work."""
    (asked,) = connection.receive(wait=True)
    assert isinstance(asked, Open)
    os.nice(asked.nice)
    try:
        engine = open_engine(asked.spec)
    except (VoicewireError, ValueError) as error:  # it says all that there is to say: an upstream, an option
        known = error.fields.get("problem") if isinstance(error, VoicewireError) else str(error)
        connection.send(Failed(0, EngineFailed(problem=known or f"{type(error).__name__}: {error}")))
        return
    except Exception as error:
        connection.send(Failed(0, EngineFailed(problem=f"{type(error).__name__}: {error}")))
        raise
    worker = Worker(engine, connection)
    signal.signal(signal.SIGTERM, worker.finish)
    try:
        worker.warm()
        worker.run()
    finally:
        worker.close()
        engine.close()


def main() -> NoReturn:
    """The process."""
    parser = argparse.ArgumentParser(prog="voicewire.worker", description="Started by a pool, not by hand.")
    parser.add_argument("--fd", type=int, required=True)
    fd = parser.parse_args().fd
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the gateway decides
    os.dup2(2, 1)  # what a library prints belongs into the log
    try:
        with socket.socket(fileno=fd) as sock:
            serve(Connection(sock))
    except PoolGone:
        pass
    raise SystemExit(0)


if __name__ == "__main__":
    main()
