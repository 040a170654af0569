"""Pools that are closed, with every process, when a test ends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.engines.pooled import StartPool, alive, new_pool, processes
from voicewire.engines.pool import LocalPool


@pytest.fixture
async def start() -> AsyncIterator[StartPool]:
    pools: list[LocalPool] = []

    async def start_pool(
        workers: int = 1, queue_limit: int = 100, stall_s: float = 10.0, **options: float
    ) -> LocalPool:
        pools.append(new_pool({**options}, workers, queue_limit, stall_s))
        await pools[-1].start()
        return pools[-1]

    yield start_pool
    for pool in pools:
        children = processes(pool)
        await pool.close()
        assert not any(map(alive, children)), "no process outlives its pool"
        assert not pool._messages
