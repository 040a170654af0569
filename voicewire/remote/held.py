"""The blocks that a worker holds, and what is to be said of them; on the event loop, without I/O."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable

from voicewire.engines.handoff import Failed, Made, Message
from voicewire.engines.handoff import serialize as framed
from voicewire.engines.pooling import Pool
from voicewire.engines.ticket import Ticket
from voicewire.errors import Busy, EngineFailed, Unstaffed, VoicewireError
from voicewire.remote.scripts import Room, Taken, WorkerCalls
from voicewire.remote.wire import parse
from voicewire.storage.scripts import Call
from voicewire.types import Slice

SAID_AT_ONCE = 64  # answers in one pipeline

logger = logging.getLogger(__name__)


class Held:
    """A block of some gateway's, and the sink that its slices go to."""

    __slots__ = ("_say", "id", "job", "packets", "seq", "ticket", "token")

    def __init__(self, taken: Taken, say: Callable[[Held, Message, bool], None]) -> None:
        self.job = taken.job
        self.token = taken.token
        self.id = int(taken.job.rsplit(".", 2)[1])  # the gateway's number of the block
        self.packets = 0
        self.seq = 0
        self.ticket: Ticket | None = None
        self._say = say

    def slice(self, s: Slice) -> None:
        self.packets += len(s.packets)
        self._say(self, Made(self.id, s), s.last)

    def failed(self, error: VoicewireError) -> None:
        self._say(self, Failed(self.id, error), True)


class Hands:
    """What a worker holds. `outgoing` is what Redis has not heard yet, in the order in which it must."""

    def __init__(self, pool: Pool, calls: WorkerCalls, lanes: int, spare: int) -> None:
        self._pool = pool
        self._calls = calls
        self._lanes = lanes
        self._spare = spare  # beyond the lanes, for what is due: a lane kept free for it is of no use to others
        self._held: dict[str, Held] = {}
        self.outgoing: deque[tuple[Call, Held]] = deque()
        self.spoken = asyncio.Event()  # there is something to say
        self.freed = asyncio.Event()  # there is room for more
        self.counts = dict.fromkeys(("taken", "lost", "released", "answers", "refused"), 0)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def room(self) -> Room:
        """How many more blocks fit."""
        free = max(0, self._lanes - len(self._held))
        return Room(max(0, self._lanes + self._spare - len(self._held)), free)

    @property
    def tokens(self) -> list[tuple[str, int]]:
        """The jobs whose leases are to be renewed, by which token they are held."""
        return [(held.job, held.token) for held in self._held.values()]

    def begin(self, taken: Taken) -> None:
        """Have a block made that was taken."""
        self.lose(taken.job)  # an attempt of ours that was given up for dead
        held = self._held[taken.job] = Held(taken, self._say)
        self.counts["taken"] += 1
        try:
            order = parse(taken.body)
            deadline = math.inf if taken.left_s is None else time.monotonic() + taken.left_s
            held.ticket = self._pool.submit(
                order.job, deadline, held, tenant=order.tenant, priority=order.priority, weight=order.weight
            )
        except Busy:
            self._release(held)  # others may have room
        except VoicewireError as error:
            held.failed(error)
        except ValueError:
            logger.exception("a gateway sent what cannot be read")
            held.failed(EngineFailed(problem="the worker is of another release"))

    def postpone(self, job: str, left_s: float | None) -> None:
        """Give a block another deadline, if it is still here."""
        held = self._held.get(job)
        if held and held.ticket:
            self._pool.postpone(held.ticket, math.inf if left_s is None else time.monotonic() + left_s)

    def drop(self, job: str, token: int | None = None) -> bool:
        """Let a block go that is wanted no longer, of one attempt or any; return whether it was here."""
        held = self._held.get(job)
        if held is None or token not in {None, held.token}:
            return False
        self._forget(held)
        if held.ticket:
            self._pool.cancel(held.ticket)
        return True

    def lose(self, job: str, token: int | None = None) -> None:
        """Let a block go whose lease is not ours any more, as `drop`."""
        self.counts["lost"] += self.drop(job, token)

    def heard(self, answers: list[bool]) -> None:
        """Redis has heard so many of `outgoing`, and of some it says that the block is not ours any more."""
        for ours in answers:
            _, held = self.outgoing.popleft()
            self.counts["answers" if ours else "refused"] += 1
            if not ours and self._held.get(held.job) is held:
                self.lose(held.job)

    def let_go(self) -> None:
        """Give everything back, for others to take at once."""
        for held in list(self._held.values()):
            self._release(held)
            if held.ticket:
                self._pool.cancel(held.ticket)

    def _say(self, held: Held, message: Message, last: bool) -> None:
        if self._held.get(held.job) is not held:
            return
        if isinstance(message, Failed) and isinstance(message.error, Unstaffed):
            self._release(held)  # this worker's trouble; what the engine says, busy or not, is the block's answer
            return
        if last:
            self._forget(held)
        self._put(self._answer(held, message, last=last), held)
        held.seq += 1

    def _answer(self, held: Held, message: Message, *, last: bool) -> Call:
        return self._calls.answer(held.job, held.token, held.seq, held.packets, framed(message), last=last)

    def _release(self, held: Held) -> None:
        self._forget(held)
        self.counts["released"] += 1
        self._put(self._calls.release(held.job, held.token), held)

    def _forget(self, held: Held) -> None:
        del self._held[held.job]
        self.freed.set()

    def _put(self, call: Call, held: Held) -> None:
        self.outgoing.append((call, held))
        self.spoken.set()
