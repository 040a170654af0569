"""What it costs to know who calls: a key that is known, and a flood of 1,000 made-up keys a second.

The real chain in one process: `Authenticator` over the cache of keys over PostgreSQL, news over Redis, limits of the
tenant's plan. The cost of the flood is the processor time of this process beyond that of an idle one, so that of the
client library is in it; PostgreSQL's own is reported beside it. The reference, in the same run, is HMAC-SHA256 and
a comparison alone: what checking a key costs where nothing is looked up.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hmac
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import uvloop

from benchmarks.harness import percentile, report
from voicewire.accounts.key_cache import KeyCache
from voicewire.accounts.keys import Keys, Maker, Wish
from voicewire.accounts.news import News
from voicewire.accounts.plans import Plans
from voicewire.auth.authenticate import Authenticator
from voicewire.auth.keys import generate_key, hash_key
from voicewire.auth.tickets import TicketStore
from voicewire.errors import Unauthorized
from voicewire.storage.embedded_postgres import EmbeddedPostgres
from voicewire.storage.embedded_redis import EmbeddedRedis
from voicewire.storage.migrations import migrate
from voicewire.storage.redis import open_redis
from voicewire.storage.store import Store

PEPPER = b"p" * 32
BATCH = 1_000
FLOOD_TICK_S = 0.01
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def chain(folder: Path) -> AsyncIterator[tuple[Authenticator, Keys, int]]:
    """Open what a gateway has between a credential and a caller; and say which process PostgreSQL is."""
    async with contextlib.AsyncExitStack() as stack:
        postgres, servant = EmbeddedPostgres(folder), EmbeddedRedis(folder)
        stack.push_async_callback(postgres.stop)
        store = await Store(await postgres.start()).open()
        stack.push_async_callback(store.close)
        await migrate(store)
        stack.push_async_callback(servant.stop)
        redis = open_redis(await servant.start())
        stack.push_async_callback(redis.aclose)
        news = News(redis)
        cache, plans = KeyCache(store, news), Plans(store, news, billing=False, contexts=16)
        tasks = [asyncio.create_task(each) for each in (news.run(), cache.run())]
        stack.callback(lambda: [task.cancel() for task in tasks])
        while not news.live:
            await asyncio.sleep(0.01)
        server = int((folder / "postgres" / "postmaster.pid").read_text().split("\n")[0])
        yield Authenticator(cache, PEPPER, TicketStore(redis), plans.limits), Keys(store, PEPPER, news), server


async def known(authenticator: Authenticator, key: str, batches: int) -> tuple[float, float]:
    """Return microseconds for one authentication with the cache warm: the median and the 99th percentile."""
    await authenticator.authenticate(key)
    each = []
    for _ in range(batches * BATCH):
        started = time.perf_counter()
        await authenticator.authenticate(key)
        each.append(time.perf_counter() - started)
    return percentile(each, 0.5) * 1e6, percentile(each, 0.99) * 1e6


def reference(key: str) -> float:
    """Return microseconds for the cryptography alone, the median."""
    kept, each = hash_key(PEPPER, key), []
    for _ in range(20 * BATCH):
        started = time.perf_counter()
        assert hmac.compare_digest(hash_key(PEPPER, key), kept)
        each.append(time.perf_counter() - started)
    return percentile(each, 0.5) * 1e6


async def flood(show: Callable[[str], Awaitable[object]], per_s: int, seconds: float) -> tuple[float, int]:
    """Show `per_s` different made-up keys a second; return the processor time used, and how many were refused."""
    keys = [generate_key() for _ in range(int(per_s * seconds))]
    answers: list[asyncio.Task[bool]] = []
    began, used = time.perf_counter(), time.process_time()
    while len(answers) < len(keys):
        due = min(len(keys), int((time.perf_counter() - began) * per_s))
        answers += [asyncio.create_task(_refused(show, key)) for key in keys[len(answers) : due]]
        await asyncio.sleep(FLOOD_TICK_S)
    refused = sum(await asyncio.gather(*answers))
    return time.process_time() - used, refused


async def _refused(show: Callable[[str], Awaitable[object]], key: str) -> bool:
    try:
        await show(key)
    except Unauthorized:
        return True
    return False


async def nobody(_: str) -> None:
    """Refuse for nothing: what the flood itself costs to make."""
    raise Unauthorized


def used_by(parent: int) -> float:
    """Return the processor time, in seconds, of a process and its children."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = stat.read_text().rpartition(") ")
            fields = rest.split()
            if int(fields[1]) == parent or name.startswith(f"{parent} "):
                ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_S


async def measure(batches: int, per_s: int, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="voicewire-") as folder:
        async with chain(Path(folder)) as (authenticator, keys, postgres):
            made = await keys.make(Maker.operator("home"), Wish())
            median_us, p99_us = await known(authenticator, made.key, batches)
            making_s, _ = await flood(nobody, per_s, seconds)
            before_s = used_by(postgres)
            flooded_s, refused = await flood(authenticator.authenticate, per_s, seconds)
            await authenticator.authenticate(made.key)  # who was known is known still
            return {
                "known_p50_us": median_us,
                "known_p99_us": p99_us,
                "reference_us": reference(made.key),
                "flood_percent_of_a_core": (flooded_s - making_s) / seconds * 100,
                "flood_percent_with_its_making": flooded_s / seconds * 100,
                "flood_percent_of_postgresql": (used_by(postgres) - before_s) / seconds * 100,
                "flood_refused": refused / (per_s * seconds),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=50, help="of 1,000 authentications")
    parser.add_argument("--per-second", type=int, default=1_000, help="made-up keys")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    figures = uvloop.run(measure(options.batches, options.per_second, options.seconds))
    report(name="auth", **figures, reference="HMAC-SHA256 and a comparison alone", target_us=50, target_percent=5)


if __name__ == "__main__":
    main()
