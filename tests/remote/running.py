"""A pool on workers behind a real Redis, with gateway and workers in this process and engines in their own."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from tests.engines.pooled import TONE, Options, new_pool
from voicewire.engines.pool import LocalPool
from voicewire.remote.exchange import Exchange
from voicewire.remote.host import Host
from voicewire.remote.presence import Fleet, workers
from voicewire.remote.remote_pool import RemotePool
from voicewire.remote.scripts import FleetCalls
from voicewire.remote.turns import end
from voicewire.storage.redis import open_redis

LEASE_S = 0.6


@dataclass
class Hosted:
    """A worker and what is beneath it."""

    host: Host
    pool: LocalPool
    working: asyncio.Task[None]
    stack: contextlib.AsyncExitStack

    def wake(self) -> None:
        """Go on where `working` was ended."""
        self.working = asyncio.create_task(self.host.run())

    async def close(self) -> None:
        """Be gone, without a word to the queue."""
        await end([self.working])
        await self.stack.aclose()


@asynccontextmanager
async def hosted(
    redis: Redis,
    options: Options | None = None,
    *,
    processes: int = 1,
    lease_s: float = LEASE_S,
    factory: str = TONE,
) -> AsyncIterator[Hosted]:
    """A worker with a tone engine, or another."""
    pool = new_pool(options or {}, processes, 1_000, factory=factory)
    await pool.start()
    host = Host(pool, redis, f"w-{secrets.token_hex(4)}", processes=processes, lease_s=lease_s)
    stack = contextlib.AsyncExitStack()
    stack.push_async_callback(pool.close)
    each = Hosted(host, pool, await stack.enter_async_context(host.serving()), stack)
    try:
        yield each
    finally:
        await each.close()


class Gateway:
    """An exchange and one pool on it, told who lives as a server tells them."""

    def __init__(self, redis: Redis, model: LocalPool, queue_limit: int, alive_s: float) -> None:
        self.redis = redis
        self.exchange = Exchange(redis, alive_s=alive_s)
        self.pool = RemotePool(model.model, model.voices, self.exchange, queue_limit=queue_limit, no_worker_s=1.0)
        self.fleet = Fleet(redis, FleetCalls())
        self.tasks: list[asyncio.Task[None]] = []

    async def follow(self) -> None:
        while True:
            self.pool.staffed(workers(await self.fleet.members()).get(self.pool.model.id, []), 1)
            await asyncio.sleep(0.05)


@asynccontextmanager
async def gateway(
    url: str, model: LocalPool, *, queue_limit: int = 100, alive_s: float = 10.0
) -> AsyncIterator[Gateway]:
    """A gateway's end, ready to take blocks."""
    redis = open_redis(url)
    each = Gateway(redis, model, queue_limit, alive_s)
    await each.pool.start()
    each.tasks = [asyncio.create_task(each.exchange.run()), asyncio.create_task(each.follow())]
    try:
        async with asyncio.timeout(10):
            while not each.pool.stats().workers:
                await asyncio.sleep(0.01)
        yield each
    finally:
        await end(each.tasks[1:])
        await each.pool.close()
        await end(each.tasks)
        await each.exchange.close()
        await redis.aclose()
