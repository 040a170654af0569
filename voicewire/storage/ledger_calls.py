"""Sends what a gateway asks of the ledger: what is asked in one turn of the event loop goes in one call, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicewire.storage.ledger_script import OPS_MAX, Answer, EpochChanged, LedgerScript, Op
from voicewire.storage.life import Life, bound

WAITING_MAX = 20_000

Waiting = tuple[Op, asyncio.Future[Answer]]


class Away(Exception):
    """The ledger did not answer; what was asked may have been done, and may be asked again."""


class Calls:
    """One call is under way at a time, so operations on a block are done in the order in which they were asked."""

    def __init__(self, redis: Redis, script: LedgerScript) -> None:
        self._redis = redis
        self._script = script
        self._waiting: deque[Waiting] = deque()
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
        return await self._put(op)

    async def do_each(self, ops: Iterable[Op]) -> list[Answer | BaseException]:
        """Do many; each gives its answer, or why there is none."""
        return await asyncio.gather(*map(self._put, ops), return_exceptions=True)  # without a task for each

    def _put(self, op: Op) -> asyncio.Future[Answer]:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self.life is None or len(self._waiting) >= WAITING_MAX:
            future.set_exception(Away())
            return future
        self._waiting.append((op, future))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return future

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
        while self._waiting and len(batch) < OPS_MAX:
            op, future = self._waiting.popleft()
            if not future.done():
                batch.append((op, future))
        return batch

    async def _call(self, batch: list[Waiting]) -> None:
        client, life = self.client, self.life
        if client is None or life is None:
            _refuse(batch)
            return
        try:
            answers = await self._script.call(client, str(life.epoch), [op for op, _ in batch])
        except EpochChanged:
            self.pause()
            _refuse(batch)
        except (RedisError, OSError):
            _refuse(batch)
        except BaseException:
            _refuse(batch)  # whatever it is, nobody waits for ever
            raise
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    def _refuse_waiting(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        _refuse(waiting)


def _refuse(waiting: Iterable[Waiting]) -> None:
    for _, future in waiting:
        if not future.done():
            future.set_exception(Away())
