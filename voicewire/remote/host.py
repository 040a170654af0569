"""A worker on any host: engines beneath it, and Redis between it and the gateways.

It takes blocks when it has lanes for them, holds each by a lease that it renews, and says every slice under the token
of its attempt: whoever was given up for dead and wakes is told that nothing is his any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from voicewire import __version__
from voicewire.engines.pooling import Pool
from voicewire.remote.held import SAID_AT_ONCE, Hands
from voicewire.remote.keys import GROUP, Keys
from voicewire.remote.presence import BEAT_S, Beat, Fleet
from voicewire.remote.scripts import FleetCalls, WorkerCalls, queues
from voicewire.remote.turns import AGAIN_S, end, keep_all
from voicewire.storage.redis import patient
from voicewire.types import KEY_PREFIX

LEASE_S = 3.0
SILENT_S = 600.0  # whoever says nothing for so long, and holds nothing, is no name in the groups any more
LOOK_S = 0.02  # between looks for what is due, with every lane taken
WAIT_MS = 500  # for a block, at once: a worker that is to end waits it out


class Host:
    """See the module. `processes` is how many `pool` has."""

    def __init__(
        self,
        pool: Pool,
        redis: Redis,
        name: str,
        *,
        processes: int,
        host: str = "",
        lease_s: float = LEASE_S,
        prefix: str = KEY_PREFIX,
    ) -> None:
        self._pool = pool
        self._redis = redis
        self._waiting = patient(redis, WAIT_MS / 1000)
        self._listening = patient(redis, WAIT_MS / 1000)
        self._name = name
        self._keys = Keys(pool.model.id, prefix)
        self._lease_s = lease_s
        self._calls = WorkerCalls(self._keys, name, lease_s)
        self._lanes = processes * pool.model.lanes
        self._hands = Hands(pool, self._calls, self._lanes, processes)
        self._fleet = Fleet(redis, FleetCalls(prefix))
        self._host = host
        self.known = asyncio.Event()  # to the fleet: Redis has heard of it
        self._draining = False
        self._reclaim_at = 0.0
        self._heard = "0"  # the last of the orders; the stream is ours alone

    async def run(self) -> None:
        """Take blocks and make them, until cancelled."""
        await keep_all("host", self._take, self._renew, self._obey, self._speak, self._beat, self._sweep)

    @property
    def counts(self) -> dict[str, int]:
        """What became of blocks since the start."""
        return self._hands.counts

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[asyncio.Task[None]]:
        """Take blocks and make them, inside; the task ends only by a mistake of ours."""
        working = asyncio.create_task(self.run(), name="host")
        try:
            yield working
        finally:
            await end([working])
            with contextlib.suppress(RedisError, OSError):
                await self._fleet.leave(self._name)
            for client in (self._waiting, self._listening):
                await client.aclose()

    async def drain(self, within_s: float) -> None:
        """Take nothing more; return when what is here was made, or given back after `within_s`."""
        self._draining = True
        with contextlib.suppress(RedisError, OSError):
            await self._fleet.beat(self._name, self._said())
        await _until(lambda: not self._hands and not self._hands.outgoing, within_s, WAIT_MS / 1000)
        self._hands.let_go()
        await _until(lambda: not self._hands.outgoing, self._lease_s)

    async def _take(self) -> None:
        """One turn: what is there at once, else what comes within `WAIT_MS`, or fits once something has ended."""
        hands = self._hands
        able = self._pool.stats().workers and not self._draining
        if not able or not hands.room.due:
            await self._freed(AGAIN_S)
            return
        reclaim = time.monotonic() >= self._reclaim_at
        if reclaim:
            self._reclaim_at = time.monotonic() + self._lease_s / 4
        if await self._begin(reclaim=reclaim):
            return
        if not hands.room.others:
            await self._freed(LOOK_S)
        elif read := await self._read():
            await self._begin(read=read)

    async def _freed(self, within_s: float) -> None:
        self._hands.freed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._hands.freed.wait()

    async def _begin(self, *, reclaim: bool = False, read: list[tuple[str, str]] | None = None) -> int:
        taken = await self._calls.take(self._redis, self._hands.room, reclaim=reclaim, read=read or [])
        for each in taken:
            self._hands.begin(each)
        return len(taken)

    async def _read(self) -> list[tuple[str, str]]:
        """Wait for blocks; return the rung and id of each that came."""
        rungs = queues(self._keys)
        streams: dict[Any, Any] = dict.fromkeys(rungs, ">")
        try:
            found: Any = await self._waiting.xreadgroup(GROUP, self._name, streams, count=1, block=WAIT_MS)
        except ResponseError:  # Redis has forgotten the group; who takes next makes it
            await asyncio.sleep(AGAIN_S)
            return []
        return [(rungs[key.decode()], id.decode()) for key, entries in found for id, _ in entries]

    async def _renew(self) -> None:
        await asyncio.sleep(self._lease_s / 4)
        held = self._hands.tokens
        kept = await self._calls.renew(self._redis, held)
        for (job, token), ours in zip(held, kept, strict=True):
            if not ours:
                self._hands.lose(job, token)

    async def _obey(self) -> None:
        streams: dict[Any, Any] = {self._keys.orders(self._name): self._heard}
        found: Any = await self._listening.xread(streams, block=WAIT_MS)
        for id, order in found[0][1] if found else []:
            self._heard = id.decode()
            job = order[b"j"].decode()
            if order[b"k"] == b"cancel":
                self._hands.drop(job, int(order[b"t"]))
            else:
                self._hands.postpone(job, int(order[b"v"]) / 1000 if order[b"v"] else None)

    async def _speak(self) -> None:
        hands = self._hands
        hands.spoken.clear()
        while some := [call for call, _ in islice(hands.outgoing, SAID_AT_ONCE)]:
            hands.heard(await self._calls.say(self._redis, some))
        await hands.spoken.wait()

    async def _sweep(self) -> None:
        await self._calls.sweep(self._redis, SILENT_S)
        await asyncio.sleep(SILENT_S)

    async def _beat(self) -> None:
        await self._fleet.beat(self._name, self._said())
        self.known.set()
        await asyncio.sleep(BEAT_S)

    def _said(self) -> Beat:
        stats = self._pool.stats()
        counts = ("completed", "failed", "cancelled", "restarts", "retries", "rendered_ms", "halvings")
        return Beat(
            kind="worker",
            host=self._host,
            version=__version__,
            model=self._pool.model,
            voices=self._pool.voices,
            lanes=self._lanes,
            queued=stats.queued,
            running=stats.running,
            draining=self._draining or not stats.workers,
            counts={name: getattr(stats, name) for name in counts} | self._hands.counts,
        )


async def _until(done: Callable[[], bool], within_s: float, at_least_s: float = 0.0) -> None:
    """Wait for a condition, for so long at most."""
    begun = time.monotonic()
    while time.monotonic() - begun < at_least_s or (not done() and time.monotonic() - begun < within_s):  # noqa: ASYNC110 - several things must have happened
        await asyncio.sleep(0.02)
