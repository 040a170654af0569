"""Loops over Redis that outlast its absence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from redis.exceptions import RedisError

AGAIN_S = 0.2  # after Redis failed
CANCEL_AGAIN_S = 0.2

Turn = Callable[[], Coroutine[Any, Any, None]]

logger = logging.getLogger(__name__)


async def keep(turn: Turn) -> None:
    """Take one turn after the other, until cancelled; while Redis is away, wait for it."""
    away = False
    while True:
        try:
            await turn()
        except (RedisError, OSError) as error:
            if not away:
                logger.warning("Redis did not do what was asked: %s", error)
            away = True
            await asyncio.sleep(AGAIN_S)
        else:
            away = False


async def keep_all(name: str, *turns: Turn) -> None:
    """Keep all of them going until cancelled, or until one dies of a mistake of ours, which is raised."""
    tasks = [asyncio.create_task(keep(turn), name=f"{name} {turn.__name__}") for turn in turns]
    try:
        await asyncio.gather(*tasks)
    finally:
        await end(tasks)


async def end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended: redis-py can take a cancel for the end of its own wait."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=CANCEL_AGAIN_S)
