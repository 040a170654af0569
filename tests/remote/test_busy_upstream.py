"""What an engine elsewhere says of a block is the block's answer, and what its worker says of itself is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from tests.engines.pooled import Listener, job, new_pool, until
from tests.engines.upstream_protocols import KEY
from tests.engines.upstream_server import Asked, Handler, UpstreamServer, serving
from tests.remote.running import Gateway, Hosted, gateway, hosted
from voicewire.errors import Busy
from voicewire.remote.held import Hands
from voicewire.remote.keys import Keys
from voicewire.remote.scripts import Taken, WorkerCalls
from voicewire.remote.wire import Order, serialize
from voicewire.types import Priority

ENGINE = "voicewire.engines.openai:open_engine"


@pytest.fixture
def upstream() -> Iterator[UpstreamServer]:
    with serving(lambda handler, _: too_many(handler, 429)) as server:
        yield server


def too_many(handler: Handler, status: int) -> None:
    handler.json({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, status, {"Retry-After": "7"})


@asynccontextmanager
async def town(url: str, redis: Redis, upstream: UpstreamServer) -> AsyncIterator[tuple[Gateway, Hosted]]:
    """A gateway, and a worker that asks `upstream`."""
    options: dict[str, str | int | float | bool] = {"url": f"{upstream.url}/v1", "key": KEY, "voices": "middle"}
    async with hosted(redis, options, factory=ENGINE) as only, gateway(url, only.pool) as here:
        yield here, only


@pytest.mark.parametrize("status", [429, 503])
async def test_an_upstream_that_is_busy_is_what_the_caller_hears(
    redis_url: str, remote: Redis, upstream: UpstreamServer, status: int
) -> None:
    upstream.answer = lambda handler, _: too_many(handler, status)
    async with town(redis_url, remote, upstream) as (here, only):
        listener = Listener()
        here.pool.submit(job(), time.monotonic(), listener)
        async with asyncio.timeout(20):
            await listener.ended.wait()
        assert isinstance(listener.error, Busy)
        assert listener.error.retry_after_ms == 7_000
        assert len(upstream.asked) == 1
        assert only.host.counts["released"] == 0
        assert await remote.hlen(Keys("openai").jobs) == 0


async def test_a_block_that_nobody_wants_any_more_leaves_its_upstream(
    redis_url: str, remote: Redis, upstream: UpstreamServer
) -> None:
    def speak_on(handler: Handler, _: Asked) -> None:
        with handler.streamed("audio/pcm") as send:
            upstream.until_left(send, b"\0\x20" * 4_800)

    upstream.answer = speak_on
    async with town(redis_url, remote, upstream) as (here, only):
        listener = Listener()
        ticket = here.pool.submit(job(), time.monotonic(), listener)
        await listener.begun.wait()
        here.pool.cancel(ticket)
        await until(lambda: not only.pool.stats().running and upstream.left.is_set())
        assert await remote.hlen(Keys("openai").jobs) == 0


async def test_a_worker_that_has_nobody_to_make_a_block_gives_it_back() -> None:
    pool = new_pool({})
    hands = Hands(pool, WorkerCalls(Keys("tone"), "w", 3.0), 2, 1)
    hands.begin(Taken("g.1.0", 1, None, serialize(Order(job(), "", Priority.LIVE, 1.0))))
    await pool.close()
    hands.begin(Taken("g.2.0", 1, None, serialize(Order(job(), "", Priority.LIVE, 1.0))))
    assert [call[1][0] for call, _ in hands.outgoing] == ["release", "release"]
    assert hands.counts["released"] == 2
