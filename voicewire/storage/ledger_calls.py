"""Sends what a gateway asks of the ledger: what is asked in one turn of the event loop goes in one call, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicewire.storage.ledger_script import OPS_MAX, Answer, EpochChanged, LedgerScript, Op
from voicewire.storage.life import Life, bound

WAITING_MAX = 20_000


class Waiting(NamedTuple):
    """Operations that go in one call, and where their answers are awaited."""

    ops: Sequence[Op]
    answered: asyncio.Future[list[Answer]]


class Away(Exception):
    """The ledger did not answer; what was asked may have been done, and may be asked again."""


class Calls:
    """One call is under way at a time, so operations on a block are done in the order in which they were asked."""

    def __init__(self, redis: Redis, script: LedgerScript) -> None:
        self._redis = redis
        self._script = script
        self._waiting: deque[Waiting] = deque()
        self._size = 0  # operations in it
        self._sender: asyncio.Task[None] | None = None
        self._opened = asyncio.Event()
        self.client: Redis | None = None  # of the life that is open
        self.life: Life | None = None

    async def open(self, life: Life) -> None:
        """Work in `life` from now on."""
        if life != self.life:
            await self.close()
            self.client, self.life = bound(self._redis, life.run_id), life
        self._opened.set()

    async def close(self) -> None:
        """Work no more, until `open`; what waits is told."""
        self._opened.clear()
        client, self.client, self.life = self.client, None, None
        self._refuse_waiting()
        if client is not None:
            await client.aclose()

    async def opened(self) -> Life:
        """Wait until a life is open."""
        while self.life is None:
            self._opened.clear()
            await self._opened.wait()
        return self.life

    def pause(self) -> None:
        """Send nothing until `open` is called again: the epoch has ended, or Redis is away."""
        self._opened.clear()
        self.life = None
        self._refuse_waiting()

    async def do(self, op: Op) -> Answer:
        """Do one operation. Raises `Away`."""
        return (await self._put([op]))[0]

    async def do_each(self, ops: Iterable[Op]) -> list[Answer | BaseException]:
        """Do many, without a task for each; each gives its answer, or why there is none."""
        waiting, groups = iter(ops), list[list[Op]]()
        while group := list(islice(waiting, OPS_MAX)):
            groups.append(group)
        answers: list[Answer | BaseException] = []
        for group, answered in zip(
            groups, await asyncio.gather(*map(self._put, groups), return_exceptions=True), strict=True
        ):
            answers += [answered] * len(group) if isinstance(answered, BaseException) else answered
        return answers

    def _put(self, ops: Sequence[Op]) -> asyncio.Future[list[Answer]]:
        answered: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        if self.life is None or self._size >= WAITING_MAX:
            answered.set_exception(Away())
            return answered
        self._waiting.append(Waiting(ops, answered))
        self._size += len(ops)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return answered

    async def drain(self) -> None:
        """Wait for the call that is under way."""
        if self._sender is not None:
            await asyncio.wait([self._sender])

    async def _send(self) -> None:
        try:
            while batch := self._batch():
                await self._call(batch)
        finally:
            self._sender = None
            self._refuse_waiting()  # none, unless this task is cancelled

    def _batch(self) -> list[Waiting]:
        batch: list[Waiting] = []
        room = OPS_MAX
        while self._waiting and len(self._waiting[0].ops) <= room:
            each = self._waiting.popleft()
            self._size -= len(each.ops)
            if not each.answered.done():
                batch.append(each)
                room -= len(each.ops)
        return batch

    async def _call(self, batch: list[Waiting]) -> None:
        client, life = self.client, self.life
        if client is None or life is None:
            _refuse(batch)
            return
        try:
            answers = await self._script.call(client, str(life.epoch), [op for each in batch for op in each.ops])
        except EpochChanged:
            self.pause()
            _refuse(batch)
        except (RedisError, OSError):
            _refuse(batch)
        except BaseException:
            _refuse(batch)  # whatever it is, nobody waits for ever
            raise
        else:
            given = iter(answers)
            for ops, answered in batch:
                taken = list(islice(given, len(ops)))
                if not answered.done():
                    answered.set_result(taken)

    def _refuse_waiting(self) -> None:
        waiting, self._waiting, self._size = self._waiting, deque(), 0
        _refuse(waiting)


def _refuse(waiting: Iterable[Waiting]) -> None:
    for _, answered in waiting:
        if not answered.done():
            answered.set_exception(Away())
