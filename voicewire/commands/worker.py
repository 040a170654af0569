"""`voicewire worker`: an engine on this host, for gateways on any."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from typing import TextIO

import uvloop

from voicewire.commands.problems import Exit, Problem
from voicewire.config import Config
from voicewire.remote.host import Host
from voicewire.server.logs import configure
from voicewire.server.pools import open_pool
from voicewire.storage.address import without_password
from voicewire.storage.redis import open_redis

LOGGER = logging.getLogger(__name__)

NAME_CHARS_MAX = 64
WAIT_S = 5.0  # for Redis, before it is said that it is waited for
MODEL_PATHS = {name: f"{name}_path" for name in ("kokoro", "chatterbox", "dia")}  # engine → where its weights are


def worker(config: Config, engine: str, name: str, out: TextIO) -> int:
    """Serve until a signal ends it; return the exit status. Raises `Problem` and `ConfigError`."""
    if not config.redis_url:
        raise Problem(Exit.USAGE, "a worker needs the Redis of its gateways: give --redis or VOICEWIRE_REDIS_URL")
    configure(config.log_level, config.log_format)
    uvloop.run(_work(config, engine, worker_name(name or socket.gethostname()), out))
    return Exit.OK


def worker_name(given: str) -> str:
    """A name for this process: nobody else's, not even one of the process that it takes the place of."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '-', given)[:NAME_CHARS_MAX]}-{secrets.token_hex(3)}"


async def _work(config: Config, engine: str, name: str, out: TextIO) -> None:
    ended = asyncio.Event()
    with _signals(ended.set):
        async with contextlib.AsyncExitStack() as stack:
            pool = await open_pool(config, engine, stack)
            redis = open_redis(config.redis_url)
            stack.push_async_callback(redis.aclose)
            host = Host(pool, redis, name, processes=config.worker_count, host=socket.gethostname())
            async with host.serving() as serving:
                telling = asyncio.create_task(_tell(host, name, pool.model.id, without_password(config.redis_url), out))
                stack.callback(telling.cancel)
                await _first(serving, ended)
                pool.retire()  # its processes may have had the signal, too
                await host.drain(config.drain_s)


async def _tell(host: Host, name: str, model: str, url: str, out: TextIO) -> None:
    """Say that it can be found, once it can; before, where that takes its time, what it waits for."""
    try:
        async with asyncio.timeout(WAIT_S):
            await host.known.wait()
    except TimeoutError:
        LOGGER.warning("the worker %s waits for %s to answer", name, url)
        await host.known.wait()
    out.write(f"worker {name} speaks {model} for {url}\n")
    out.flush()


async def _first(serving: asyncio.Task[None], ended: asyncio.Event) -> None:
    """Wait for a signal; a mistake of ours is raised."""
    waiting = asyncio.create_task(ended.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if serving.done():
        serving.result()


@contextlib.contextmanager
def _signals(end: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    yield
