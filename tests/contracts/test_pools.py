"""The pool of this machine, and the pool whose workers are behind Redis, under one contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.contracts.pool_contract import Open, PoolContract
from tests.engines.pooled import new_pool
from tests.remote.running import gateway, hosted
from voicewire.engines.pooling import Pool
from voicewire.storage.redis import open_redis


class TestLocalPool(PoolContract):
    @pytest.fixture
    def opened(self) -> Open:
        @asynccontextmanager
        async def opened(*, queue_limit: int = 100, **options: float | str) -> AsyncIterator[Pool]:
            pool = new_pool({**options}, 1, queue_limit)
            await pool.start()
            yield pool
            await pool.close()

        return opened


class TestRemotePool(PoolContract):
    @pytest.fixture
    def opened(self, redis_url: str) -> Open:
        @asynccontextmanager
        async def opened(*, queue_limit: int = 100, **options: float | str) -> AsyncIterator[Pool]:
            redis = open_redis(redis_url)
            async with (
                hosted(redis, {**options}) as there,
                gateway(redis_url, there.pool, queue_limit=queue_limit) as here,
            ):
                yield here.pool
            await redis.aclose()

        return opened
