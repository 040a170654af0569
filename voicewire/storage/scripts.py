"""Lua scripts in Redis: sent once, then called by their digest, and sent again to a Redis that lost them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

FOLDER = Path(__file__).parent
CALLS_AT_ONCE = 64  # in one pipeline: what is due on the loop waits for it to be put together

Argument = str | bytes | int | float
Call = tuple[Sequence[str], Sequence[Argument]]


class Script:
    """One script: what it does happens at once, or not at all."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()  # as EVALSHA names it

    @classmethod
    def read(cls, name: str) -> Script:
        """Return the script that stands in the file `name` beside this module."""
        return cls((FOLDER / name).read_text(encoding="utf-8"))

    async def run(self, redis: Redis, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Call it once. Raises `redis.RedisError`, after which it may have been applied."""
        try:
            return await redis.evalsha(self.sha, len(keys), *keys, *arguments)
        except NoScriptError:  # nothing was done
            return await redis.eval(self.source, len(keys), *keys, *arguments)

    async def run_each(self, redis: Redis, calls: Iterable[Call]) -> list[Any]:
        """Call it for each of `calls`, some at a time, and return the answers. Raises as `run`.

        For scripts that may be applied twice: those of one pipeline are called again where Redis lost the script.
        """
        answers, waiting = [], iter(calls)
        while some := list(islice(waiting, CALLS_AT_ONCE)):
            try:
                answers += await self._pipeline(redis, some)
            except NoScriptError:
                await redis.script_load(self.source)
                answers += await self._pipeline(redis, some)
        return answers

    async def _pipeline(self, redis: Redis, calls: Sequence[Call]) -> list[Any]:
        async with redis.pipeline(transaction=False) as pipeline:
            for keys, arguments in calls:
                pipeline.evalsha(self.sha, len(keys), *keys, *arguments)
            return list(await pipeline.execute())
