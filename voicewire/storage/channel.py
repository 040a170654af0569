"""A channel of Redis, for as long as it lives: one that is silent is asked for a sign, and dead where none comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from redis.asyncio import Redis

PING_S = 1.0  # between signs of life, and to wait for one


async def messages(redis: Redis, name: str) -> AsyncGenerator[dict[str, Any], None]:
    """Yield what comes of a channel as redis-py has it, by `type`: `subscribe` first, then `message` and `pong`.

    Raises `redis.RedisError` and `OSError`, also for a connection that is half open: nothing comes there, and no error.
    """
    async with redis.pubsub() as channel:
        await channel.subscribe(name)
        silent = False
        while True:
            leave_if_cancelled()
            message = await channel.get_message(timeout=PING_S)
            if message is None and silent:
                raise ConnectionError("the channel is dead")
            silent = message is None
            if message is None:
                await channel.ping()
            else:
                yield message


def leave_if_cancelled() -> None:
    """Raise `CancelledError` where it was lost: redis-py can, when a cancel meets it while it connects."""
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError
