"""Who makes a block that several gateways want at once: one of them, by a lease in Redis, and the others wait for it.

A lease that is not renewed ends: of those who wait, one takes it. Who has waited long enough, or cannot ask Redis,
makes the block itself: work is saved by this, never lost.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Collection, Sequence
from enum import IntEnum

from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicewire.storage.scripts import Call, Script
from voicewire.types import KEY_PREFIX

FLIGHT_KEY = "flight:{key}"
"""Redis, string with expiry: the gateway that makes this clip, or `made`."""

LEASE_S = 3.0
RENEW_S = 1.0
MADE_S = 10.0  # that others are told that it is there
POLL_S = 0.02
WAIT_S = 5.0
WAITING_MAX = 1_000  # blocks: beyond it, each gateway makes its own
AWAY_S = 1.0  # after a failure Redis is not asked for so long

MADE = "made"

TAKE = """
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[3] then return 2 end
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

CHANGE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""

LOGGER = logging.getLogger(__name__)


class _Lead(IntEnum):
    """What `TAKE` answers."""

    OTHERS = 0
    OURS = 1
    MADE = 2


class Flight:
    """See the module. `renew` and `poll` must be running."""

    def __init__(self, redis: Redis, prefix: str = KEY_PREFIX, *, wait_s: float = WAIT_S) -> None:
        self._redis = redis
        self._prefix = prefix
        self._wait_s = wait_s
        self._us = secrets.token_hex(8)
        self._take, self._change = Script(TAKE), Script(CHANGE)
        self._ours: set[bytes] = set()
        self._waiting: dict[bytes, asyncio.Future[_Lead]] = {}
        self._ended: dict[bytes, str] = {}  # not told yet
        self._wanted = asyncio.Event()
        self._away_until = -math.inf
        self.waited = 0  # blocks that another gateway made for this one
        self.failures = 0

    async def lead(self, key: bytes) -> bool:
        """Return whether to make the clip here; False, perhaps after a while: another gateway has made it."""
        if time.monotonic() < self._away_until or len(self._waiting) >= WAITING_MAX or key in self._waiting:
            return True
        try:
            [answer] = await self._ask([key])
        except (RedisError, OSError) as error:
            self._failed(error)
            return True
        if answer is _Lead.OTHERS and key not in self._waiting:  # for somebody else, since it was asked
            answer = await self._wait(key)
        if answer is _Lead.OURS:
            self._ours.add(key)
        self.waited += answer is _Lead.MADE
        return answer is not _Lead.MADE

    def made(self, key: bytes) -> None:
        """The clip is where others find it."""
        self._end(key, MADE)

    def given_up(self, key: bytes) -> None:
        """The clip is not made here; another may."""
        self._end(key, "")

    async def _wait(self, key: bytes) -> _Lead:
        waiting: asyncio.Future[_Lead] = asyncio.get_running_loop().create_future()
        self._waiting[key] = waiting
        self._wanted.set()
        try:
            async with asyncio.timeout(self._wait_s):
                return await waiting
        except TimeoutError:
            return _Lead.OTHERS
        finally:
            del self._waiting[key]

    def _end(self, key: bytes, state: str) -> None:
        if key in self._ours:
            self._ours.discard(key)
            self._ended[key] = state
            self._wanted.set()

    async def renew(self) -> None:
        """Keep the leases, until cancelled: perhaps more than once, as redis-py can take a cancel for its own."""
        while True:
            await asyncio.sleep(RENEW_S)
            await self._tell(dict.fromkeys(self._ours, self._us), LEASE_S)

    async def poll(self) -> None:
        """End leases, and ask for what others make, until cancelled, as `renew`."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            ended, self._ended = self._ended, {}
            await self._tell(ended, MADE_S)
            if self._waiting:
                await self._look()
                self._wanted.set()
                await asyncio.sleep(POLL_S)

    async def _tell(self, states: dict[bytes, str], lifetime_s: float) -> None:
        calls = [self._call(key, self._us, state, int(lifetime_s * 1000)) for key, state in states.items()]
        try:
            await self._change.run_each(self._redis, calls)
        except (RedisError, OSError) as error:  # leases end by themselves
            self._failed(error)

    async def _look(self) -> None:
        keys = list(self._waiting)
        try:
            answers = await self._ask(keys)
        except (RedisError, OSError) as error:
            self._failed(error)
            answers = [_Lead.OURS for _ in keys]  # nobody can be waited for
        for key, answer in zip(keys, answers, strict=True):
            waiting = self._waiting.get(key)
            if answer is not _Lead.OTHERS and waiting and not waiting.done():
                waiting.set_result(answer)

    async def _ask(self, keys: Collection[bytes]) -> Sequence[_Lead]:
        calls = [self._call(key, self._us, int(LEASE_S * 1000), MADE) for key in keys]
        return [_Lead(answer) for answer in await self._take.run_each(self._redis, calls)]

    def _call(self, key: bytes, us: str, *arguments: str | int) -> Call:
        return [self._prefix + FLIGHT_KEY.format(key=key.hex())], [us, *arguments]

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._away_until = time.monotonic() + AWAY_S
        LOGGER.debug("blocks are made without asking other gateways: %s", error)
