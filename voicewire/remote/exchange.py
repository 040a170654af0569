"""A gateway's end of the queue: one connection says what its pools want, another reads the answers to all of them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import deque
from itertools import islice
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicewire.remote.keys import Keys
from voicewire.remote.remote_pool import RemotePool
from voicewire.remote.scripts import GatewayCalls
from voicewire.remote.turns import keep_all
from voicewire.storage.redis import patient
from voicewire.storage.scripts import Call
from voicewire.types import KEY_PREFIX

ALIVE_S = 10.0  # a gateway that was silent for so long is dead, and nothing is made for it any more
TICK_S = 0.25
WAIT_MS = 500
ANSWERS_AT_ONCE = 256
SAID_AT_ONCE = 256
OUTGOING_MAX = 50_000
CHECK_S = 2.0
SILENT_S = 5.0  # whether a block of which nothing came for so long is in the queue is looked up
NUMBERS = 1 << 32


class Exchange:
    """See the module; a `Post` for its pools. `run` must be running."""

    def __init__(self, redis: Redis, gateway: str = "", *, alive_s: float = ALIVE_S, prefix: str = KEY_PREFIX) -> None:
        self.gateway = gateway or f"g_{secrets.token_hex(6)}"
        self.calls = GatewayCalls(self.gateway, prefix)
        self._redis = redis
        self._reading = patient(redis, WAIT_MS / 1000)
        self._prefix = prefix
        self._alive_s = alive_s
        self._pools: dict[str, RemotePool] = {}  # by the key of their answers
        self._read: dict[str, str] = {}  # … the last answer that was read
        self._numbers = 0
        self._outgoing: deque[Call] = deque()
        self._saying = asyncio.Lock()
        self._spoken = asyncio.Event()
        self._joined = asyncio.Event()

    @property
    def full(self) -> bool:
        """See `Post`."""
        return len(self._outgoing) >= OUTGOING_MAX

    def number(self) -> int:
        """See `Post`."""
        self._numbers = (self._numbers + 1) % NUMBERS
        return self._numbers

    def put(self, call: Call) -> None:
        """See `Post`."""
        self._outgoing.append(call)
        self._spoken.set()

    async def join(self, pool: RemotePool) -> None:
        """See `Post`."""
        key = self._answers(pool)
        self._pools[key], self._read[key] = pool, "0"
        self._joined.set()
        with contextlib.suppress(RedisError, OSError):
            await self._say_alive(pool)

    async def part(self, pool: RemotePool) -> None:
        """See `Post`; as far as Redis can be asked."""
        key = self._answers(pool)
        self._pools.pop(key, None)
        with contextlib.suppress(RedisError, OSError):
            while self._outgoing:
                await self._say()
            await self._redis.delete(key, self._keys(pool).alive(self.gateway))

    async def run(self) -> None:
        """Carry everything, until cancelled."""
        await keep_all("exchange", self._speak, self._hear, self._live, self._tick, self._check)

    async def close(self) -> None:
        await self._reading.aclose()

    async def _speak(self) -> None:
        self._spoken.clear()
        while self._outgoing:
            await self._say()
        await self._spoken.wait()

    async def _say(self) -> None:
        async with self._saying:
            some = list(islice(self._outgoing, SAID_AT_ONCE))
            await self.calls.say(self._redis, some)
            for _ in some:
                self._outgoing.popleft()

    async def _hear(self) -> None:
        if not self._pools:
            self._joined.clear()
            await self._joined.wait()
        streams: dict[Any, Any] = {key: self._read[key] for key in self._pools}
        found: Any = await self._reading.xread(streams, count=ANSWERS_AT_ONCE, block=WAIT_MS)
        for key, answers in found or ():
            self._take(key.decode(), answers)
            # what was read is of no use to anybody, and is most of what Redis holds
            await self._reading.xtrim(key, minid=answers[-1][0], approximate=False)

    def _take(self, key: str, answers: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        for id, answer in answers:
            self._read[key] = id.decode()
            _, number, round = answer[b"j"].decode().rsplit(".", 2)
            if pool := self._pools.get(key):
                pool.take(int(number), int(round), int(answer[b"t"]), int(answer[b"s"]), answer[b"m"])

    async def _live(self) -> None:
        """Say that the gateway lives. Where Redis had forgotten, workers may have dropped what it waits for."""
        await asyncio.sleep(TICK_S)
        for pool in list(self._pools.values()):
            await self._say_alive(pool)

    async def _tick(self) -> None:
        """Apart from what asks Redis: while that is away, time goes on."""
        await asyncio.sleep(TICK_S)
        for pool in list(self._pools.values()):
            pool.tick(time.monotonic())

    async def _check(self) -> None:
        """Look for silent blocks: a replica that took over has the gateway's keys, and may not have all of its jobs."""
        await asyncio.sleep(CHECK_S)
        for pool in list(self._pools.values()):
            silent = pool.silent(time.monotonic() - SILENT_S)
            if not silent or self._outgoing:
                continue
            found: Any = await self._redis.hmget(self._keys(pool).jobs, [pool.job(flight) for flight in silent])
            for flight, record in zip(silent, found, strict=True):
                if record is None:
                    pool.missed(flight)

    async def _say_alive(self, pool: RemotePool) -> None:
        alive = self._keys(pool).alive(self.gateway)
        if await self._redis.set(alive, b"1", px=int(self._alive_s * 1000), get=True) is None:
            pool.again()

    def _answers(self, pool: RemotePool) -> str:
        return self._keys(pool).answers(self.gateway)

    def _keys(self, pool: RemotePool) -> Keys:
        return Keys(pool.model.id, self._prefix)
