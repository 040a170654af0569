"""What tests of workers elsewhere take without asking."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from voicewire.storage.redis import open_redis


@pytest.fixture
async def remote(redis_url: str) -> AsyncIterator[Redis]:
    """A client as workers have it."""
    client = open_redis(redis_url)
    yield client
    await client.aclose()
