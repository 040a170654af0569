"""Tasks that have no end, and work that starts together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

LOGGER = logging.getLogger(__name__)

RESTART_S = 1.0
CANCEL_AGAIN_S = 0.5


def supervise(stack: contextlib.AsyncExitStack, name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Keep `run` running until the stack is unwound: what kills it is logged, and it starts again."""
    task = asyncio.create_task(_keep_running(name, run), name=name)
    stack.push_async_callback(_cancel, task)


async def together(*tasks: asyncio.Task[Any]) -> None:
    """Wait for all; the first that fails cancels the others, which have ended when its exception is raised."""
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            if not task.cancelling():  # gather has, where we are cancelled; twice would end what they do to end
                task.cancel()
        await asyncio.wait(tasks)
        raise


@contextlib.contextmanager
def cancelled_by_sigterm() -> Iterator[Callable[[], None]]:
    """Let SIGTERM cancel this task, once, until the function is called or another takes the signal."""
    task, loop, armed = asyncio.current_task(), asyncio.get_running_loop(), True
    assert task

    def disarm() -> None:
        nonlocal armed
        armed = False

    def cancel(*_: object) -> None:
        if armed:
            disarm()  # a second signal does not cut short what the first brings about
            loop.call_soon_threadsafe(task.cancel)

    before = signal.signal(signal.SIGTERM, cancel)
    try:
        yield disarm
    finally:
        signal.signal(signal.SIGTERM, before)


async def _keep_running(name: str, run: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await run()
        except Exception:
            LOGGER.critical("the task %s died", name, exc_info=True)
        await asyncio.sleep(RESTART_S)


async def _cancel(task: asyncio.Task[None]) -> None:
    while not task.done():  # redis-py can take a cancel for the end of its own wait
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
