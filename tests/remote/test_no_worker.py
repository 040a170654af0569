"""A model without a worker: who is new is told at once, who listens may wait for one to come back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.engines.pooled import Listener, job
from voicewire.engines.tone import open_engine
from voicewire.errors import Busy
from voicewire.remote.exchange import Exchange
from voicewire.remote.presence import FRESH_S, Beat, Member
from voicewire.remote.remote_pool import NO_WORKER_S, RemotePool
from voicewire.types import Priority, Slice

TONE, VOICES = open_engine().model, tuple(open_engine().voices())
WORKER = Member("w", 0.5, Beat(kind="worker", model=TONE, voices=VOICES, lanes=4))
STEP_S = 0.25


@pytest.fixture
async def pool(redis: Redis) -> AsyncIterator[RemotePool]:
    """A pool that has lost its only worker; time is what it is told."""
    exchange = Exchange(redis)
    pool = RemotePool(TONE, VOICES, exchange, queue_limit=10)
    pool.staffed([WORKER], 1)
    yield pool
    await pool.close()
    await exchange.close()


def pass_time(pool: RemotePool, begins: float, ends: float) -> None:
    for nth in range(int(begins / STEP_S), int(ends / STEP_S) + 1):
        pool.tick(time.monotonic() + nth * STEP_S)


async def test_who_is_new_is_refused_once_the_worker_is_gone_and_who_listens_waits(pool: RemotePool) -> None:
    new, ahead, heard, batch = listeners = [Listener() for _ in range(4)]
    now = time.monotonic()
    pool.submit(job(), now, new)
    pool.submit(job(), now + 60, ahead)
    ticket = pool.submit(job(), now, heard)
    pool.submit(job(), now, batch, priority=Priority.BATCH)
    pool._sinks.deliver(ticket, Slice([b"\0\0"], (), False))
    pool.staffed([], 1)
    pass_time(pool, 0, FRESH_S - 2)
    assert not any(each.error for each in listeners), "it may only have been silent"
    pass_time(pool, FRESH_S - 2, FRESH_S + 1)
    assert isinstance(new.error, Busy)
    assert new.error.retry_after_ms == 1000 * NO_WORKER_S
    assert not any(each.error for each in (ahead, heard, batch))
    pass_time(pool, FRESH_S + 1, NO_WORKER_S + 1)
    assert all(isinstance(each.error, Busy) for each in listeners)


async def test_without_a_worker_only_a_running_stream_may_ask_for_more(pool: RemotePool) -> None:
    pool.staffed([], 1)
    for deadline, priority in ((time.monotonic(), Priority.LIVE), (time.monotonic() + 60, Priority.BATCH)):
        with pytest.raises(Busy):
            pool.submit(job(), deadline, Listener(), priority=priority)
    listener = Listener()
    pool.submit(job(), time.monotonic() + 60, listener)
    assert pool.stats().queued == 1


async def test_what_is_foretold_without_a_worker_is_no_zero(pool: RemotePool) -> None:
    assert pool.outlook().wait_s == 0
    pool.staffed([], 1)
    assert pool.outlook().wait_s == NO_WORKER_S
    assert pool.outlook(Priority.BATCH).wait_s == 0
