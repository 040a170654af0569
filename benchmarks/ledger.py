"""What metering costs: operations of the ledger a second beside a bare `INCR` on the same Redis, in one run.

Both are asked by as many tasks at once, over the same client library; Redis writes its file, and PostgreSQL takes the
entries meanwhile, in the gateway's own process. `ratio` is the ledger's rate by that of `INCR`, one command a call as
anybody would write it; `ratio_bundled` is by the rate of an `INCR` that is bundled as the ledger's operations are.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from redis.asyncio import Redis

from benchmarks.harness import percentile, report
from voicewire.accounts.grants import Grant, give
from voicewire.storage.embedded_postgres import EmbeddedPostgres
from voicewire.storage.embedded_redis import EmbeddedRedis
from voicewire.storage.ledger import Item
from voicewire.storage.ledger_service import LedgerService
from voicewire.storage.migrations import migrate
from voicewire.storage.redis import CONNECTIONS_MAX, open_redis
from voicewire.storage.store import Store

TASKS = 64
SECONDS = 4.0
TENANTS = 50
GRANT_MS = 10**12
ROUNDS = 2  # of each, in turn: the better counts, since others share the machine

Work = Callable[[int, int], Awaitable[None]]


@contextlib.asynccontextmanager
async def metered() -> AsyncIterator[tuple[Redis, LedgerService]]:
    """Run a ledger with tenants that have credit, on servers of its own."""
    with tempfile.TemporaryDirectory(prefix="voicewire-") as folder:
        servers = EmbeddedRedis(Path(folder)), EmbeddedPostgres(Path(folder))
        urls = [await server.start() for server in servers]
        redis, store = open_redis(urls[0]), await Store(urls[1]).open()
        await migrate(store)
        service = LedgerService(redis, store)
        await service.start()
        for nth in range(TENANTS):
            await endow(store, service, f"t_{nth}")
        running = asyncio.create_task(service.run())
        try:
            yield redis, service
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await service.close()
            await store.close()
            await redis.aclose()
            for server in servers:
                await server.stop()


async def endow(store: Store, service: LedgerService, tenant: str) -> None:
    await store.execute("INSERT INTO tenants (id, name) VALUES ($1, '')", tenant)
    async with store.transaction() as session:
        await give(session, Grant.new(f"admin:{tenant}", tenant, "admin", GRANT_MS, None, datetime.now(UTC)))
    await service.ledger.grant(f"admin:{tenant}")


async def rate(work: Work) -> tuple[float, list[float]]:
    """Return how often `work` was done in a second, and how long each took."""
    taken: list[float] = []
    end = time.perf_counter() + SECONDS

    async def task(nth: int) -> None:
        turn = 0
        while (begun := time.perf_counter()) < end:
            await work(nth, turn)
            taken.append(time.perf_counter() - begun)
            turn += 1

    await asyncio.gather(*(task(nth) for nth in range(TASKS)))
    return len(taken) / SECONDS, taken


def operations(service: LedgerService) -> Work:
    """The life of a block: it is reserved, told of once, and settled."""
    ledger, run = service.ledger, secrets.token_hex(4)

    async def work(nth: int, turn: int) -> None:
        block, step = divmod(turn, 3)
        item = Item(f"t_{nth % TENANTS}", f"s{run}{nth}.{block // 20}", block % 20, "kokoro", "heart", "k_1")
        if step == 0:
            await ledger.reserve(item, 6_000, 4_000, metered=True)
        elif step == 1:
            await ledger.touch([(item, 500, 500)])
        else:
            await ledger.settle(item, 4_321, 4_321)

    return work


def counting(redis: Redis) -> Work:
    turns = asyncio.Semaphore(CONNECTIONS_MAX)  # the client's pool is not fair: who waits long in it is refused

    async def work(nth: int, _: int) -> None:
        async with turns:
            await redis.incr(f"counter:{nth}")

    return work


class Bundle:
    """An `INCR` that goes with the others of its turn of the loop, in one pipeline."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def work(self, nth: int, _: int) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((nth, future))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        await future

    async def _send(self) -> None:
        while waiting := self._waiting:
            self._waiting = []
            async with self._redis.pipeline(transaction=False) as pipeline:
                for nth, _ in waiting:
                    pipeline.incr(f"counter:{nth}")
                await pipeline.execute()
            for _, future in waiting:
                future.set_result(None)
        self._sender = None


async def main() -> None:
    async with metered() as (redis, service):
        kinds = {"incr": counting(redis), "bundled": Bundle(redis).work, "ledger": operations(service)}
        best: dict[str, tuple[float, list[float]]] = {}
        for _ in range(ROUNDS):
            for name, work in kinds.items():
                best[name] = max(best.get(name, (0.0, [])), await rate(work))
    rates = {name: found[0] for name, found in best.items()}
    p99 = {name: percentile(found[1], 0.99) * 1000 for name, found in best.items()}
    report(
        benchmark="ledger",
        operations_s=rates["ledger"],
        p99_ms=p99["ledger"],
        incr_s=rates["incr"],
        incr_p99_ms=p99["incr"],
        bundled_incr_s=rates["bundled"],
        ratio=rates["ledger"] / rates["incr"],
        ratio_bundled=rates["ledger"] / rates["bundled"],
        tasks=TASKS,
    )


if __name__ == "__main__":
    uvloop.run(main())
