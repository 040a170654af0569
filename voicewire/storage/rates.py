"""How often and how many at once, counted in Redis for all gateways together.

Requests by the generic cell rate algorithm (ITU-T I.371; a bucket that fills steadily, in one number), streams by
leases that their holders renew: who dies gives them back by itself.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicewire.errors import RETRY_MS, Busy
from voicewire.storage.buckets import Buckets, Level
from voicewire.storage.scripts import Script
from voicewire.types import KEY_PREFIX

LOGGER = logging.getLogger(__name__)

BUCKET_KEY = "rate:{{{tag}}}:{name}"
"""Redis, string with expiry: when the bucket will be full, in microseconds of Redis' own clock."""

LEASES_KEY = "leases:{{{tag}}}:{name}"
"""Redis, sorted set with expiry: the streams that run, by when their leases end, in milliseconds."""

LEASE_MS = 15_000
RENEW_S = 5.0
MINUTE_US = 60_000_000
STREAMS_RETRY_MS = 1_000
AWAY_S = 1.0  # after a failure Redis is not asked for so long: nobody waits for what will not come

RENEW = """
local clock = redis.call('TIME')
local ends = clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[1]
local held = 0
for i = 2, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    redis.call('ZADD', KEYS[1], ends, ARGV[i])
    held = held + 1
  end
end
if held > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return held
"""


class Bucket(NamedTuple):
    """Requests that are counted together. `burst` may come at once, `per_minute` from then on."""

    name: str
    per_minute: int
    burst: int = 0  # 0: as many as in a minute

    @property
    def step_us(self) -> int:
        """From one request to the next, rounded so that never more come than were allowed."""
        return math.ceil(MINUTE_US / self.per_minute)

    @property
    def most(self) -> int:
        return self.burst or self.per_minute


class Places(NamedTuple):
    """Streams that are counted together, and how many of them there may be at once."""

    name: str
    limit: int


class Lease(NamedTuple):
    """One stream's place in each of `places`. `replaces` is the name under which the stream had them before."""

    tag: str
    stream: str
    places: tuple[Places, ...]
    replaces: str = ""


class Taken(NamedTuple):
    """What came of it, with the state of the bucket that has least left."""

    allowed: bool
    limit: int = 0  # of the bucket, or of the places that were full
    remaining: int = 0
    reset_s: int = 0  # until the bucket is full
    retry_after_ms: int = 0
    full: bool = False  # whether it was for the streams that run


class Rates:
    """Asks Redis. Where it is away, callers who are known are counted by this process, and others refused."""

    def __init__(self, redis: Redis, prefix: str = KEY_PREFIX, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._prefix = prefix
        self._clock = clock
        self._take = Script.read("rates.lua")
        self._renew = Script(RENEW)
        self._here = Buckets()
        self._away_until = -math.inf

    async def take(self, name: str, per_minute: int, burst: int = 0, *, known: bool = False) -> Taken:
        """Take one request from the bucket `name`. Raises `Busy` when Redis is away and the caller not `known`."""
        return await self.admit(name, [Bucket("", per_minute, burst)], known=known)

    async def lease(self, tenant: str, stream: str, limit: int) -> Taken:
        """Take one of the tenant's `limit` streams, for `LEASE_MS`; who has it already may ask again."""
        return await self.admit(tenant, (), Lease(tenant, stream, (Places("", limit),)), known=True)

    async def admit(
        self, tag: str, buckets: Sequence[Bucket], lease: Lease | None = None, *, known: bool = True
    ) -> Taken:
        """Take one request from each of `buckets` and the places of `lease`: all of them, or none.

        `tag` keeps what is counted together in one slot of a cluster. Raises `Busy` as `take`.
        """
        if self._clock() >= self._away_until:
            try:
                return await self._admit(tag, buckets, lease)
            except (RedisError, OSError) as error:
                self._stay_away(error)
        if not known:
            raise Busy(retry_after_ms=RETRY_MS)
        return self._admit_here(tag, buckets)

    async def renew(self, leases: Sequence[Lease]) -> None:
        """Put the end of `leases` off. What is not there any more, because another took it over, stays away.

        Raises `redis.RedisError` or `OSError`.
        """
        names: dict[str, list[str]] = {}
        for lease in leases:
            for places in lease.places:
                names.setdefault(self._leases_key(lease.tag, places), []).append(lease.stream)
        await self._renew.run_each(self._redis, [((key,), (LEASE_MS, *streams)) for key, streams in names.items()])

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give `leases` back. Raises `redis.RedisError` or `OSError`."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for lease in leases:
                for places in lease.places:
                    pipeline.zrem(self._leases_key(lease.tag, places), lease.stream)
            await pipeline.execute()

    async def _admit(self, tag: str, buckets: Sequence[Bucket], lease: Lease | None) -> Taken:
        keys = [self._prefix + BUCKET_KEY.format(tag=tag, name=bucket.name) for bucket in buckets]
        arguments: list[str | int] = [len(buckets)]
        for bucket in buckets:
            arguments += [bucket.step_us, bucket.most]
        if lease is not None:
            keys += [self._leases_key(tag, places) for places in lease.places]
            arguments += [LEASE_MS, lease.stream, lease.replaces, *(places.limit for places in lease.places)]
        refused, wait_ms, *levels = await self._take.run(self._redis, keys, arguments)
        if refused > len(buckets):
            assert lease is not None
            limit = lease.places[refused - len(buckets) - 1].limit
            return Taken(allowed=False, limit=limit, retry_after_ms=STREAMS_RETRY_MS, full=True)
        pairs = list(zip(levels[::2], levels[1::2], strict=True))
        return _told(buckets, [Level(0, left, full_ms * 1_000) for left, full_ms in pairs], refused - 1, wait_ms)

    def _admit_here(self, tag: str, buckets: Sequence[Bucket]) -> Taken:
        now_us = round(self._clock() * 1_000_000)
        levels = [self._here.take(f"{tag}:{each.name}", each.step_us, each.most, now_us) for each in buckets]
        refused = next((at for at, level in enumerate(levels) if level.wait_us), -1)
        return _told(buckets, levels, refused, math.ceil(max((level.wait_us for level in levels), default=0) / 1000))

    def _stay_away(self, error: Exception) -> None:
        LOGGER.warning("Redis did not count a request: %s", type(error).__name__)
        self._away_until = self._clock() + AWAY_S

    def _leases_key(self, tag: str, places: Places) -> str:
        return self._prefix + LEASES_KEY.format(tag=tag, name=places.name)


def _told(buckets: Sequence[Bucket], levels: Sequence[Level], refused: int, wait_ms: int) -> Taken:
    """What the caller hears: of the bucket that refused, else of the one that will be empty first."""
    if not buckets:
        return Taken(allowed=True)
    at = refused if refused >= 0 else min(range(len(levels)), key=lambda each: levels[each].remaining)
    reset_s = math.ceil(levels[at].full_us / 1_000_000)
    return Taken(refused < 0, buckets[at].per_minute, levels[at].remaining, reset_s, wait_ms)
