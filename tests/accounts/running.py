"""Loops that have no end, run beside a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

from voicewire.accounts.news import News
from voicewire.remote.turns import end


@asynccontextmanager
async def running(*loops: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run `loops` until the block ends."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        await end(tasks)


async def live(news: News) -> None:
    """Wait until what others tell is heard."""
    async with asyncio.timeout(5):
        while not news.live:
            await asyncio.sleep(0.01)
