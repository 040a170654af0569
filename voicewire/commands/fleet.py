"""What gateways and workers say of themselves, and what waits between them, read from their Redis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from voicewire.remote.keys import GROUP, RUNGS, Keys
from voicewire.remote.presence import Fleet, Member
from voicewire.remote.scripts import FleetCalls
from voicewire.types import KEY_PREFIX

NOTHING_READ = b"0-0"


class Line(NamedTuple):
    """One queue of a model: `waiting` blocks that no worker has taken yet, the oldest of them for `lag_s`."""

    model: str
    rung: str
    waiting: int
    making: int
    lag_s: float


class Look(NamedTuple):
    """Everything at one moment; `given_up` counts the last blocks that workers could not make, by model."""

    at_s: float  # Redis' clock, since 1970
    gateways: tuple[Member, ...]
    workers: tuple[Member, ...]
    lines: tuple[Line, ...]
    given_up: dict[str, int]


async def look(redis: Redis, models: Iterable[str], prefix: str = KEY_PREFIX) -> Look:
    """Look at the whole fleet, and at the queues of its models and of `models`. Raises `RedisError` and `OSError`.

    A model whose workers are all gone is still one of the fleet's as long as gateways ask for it.
    """
    members = await Fleet(redis, FleetCalls(prefix)).members()
    spoken = {member.beat.model.id for member in members if member.beat.model}
    asked = {model for member in members for model in member.beat.models}
    ids = sorted(spoken | asked | set(models))
    seconds, micros = await redis.time()
    at_s = seconds + micros / 1_000_000
    return Look(
        at_s,
        tuple(member for member in members if member.beat.kind == "gateway"),
        tuple(member for member in members if member.beat.kind == "worker"),
        await _lines(redis, [(model, rung, Keys(model, prefix).queue(rung)) for model in ids for rung in RUNGS], at_s),
        dict(zip(ids, await _lengths(redis, [Keys(model, prefix).dead for model in ids]), strict=True)),
    )


async def _lines(redis: Redis, queues: Sequence[tuple[str, str, str]], at_s: float) -> tuple[Line, ...]:
    keys = [key for _, _, key in queues]
    groups = await _groups(redis, keys)
    lengths = await _lengths(redis, keys)
    oldest = await _first_after(redis, [(key, read) for key, (_, read) in zip(keys, groups, strict=True)])
    return tuple(
        Line(model, rung, max(0, length - making), making, max(0.0, at_s - since_s) if since_s else 0.0)
        for (model, rung, _), (making, _), length, since_s in zip(queues, groups, lengths, oldest, strict=True)
    )


async def _groups(redis: Redis, keys: Sequence[str]) -> list[tuple[int, bytes]]:
    """How many entries of each stream workers hold, and the last that they took."""
    async with redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.xinfo_groups(key)
        return [_group(found) for found in await pipeline.execute(raise_on_error=False)]


def _group(found: Any) -> tuple[int, bytes]:
    if isinstance(found, ResponseError) and "no such key" in str(found):
        return 0, NOTHING_READ
    if isinstance(found, Exception):
        raise found
    return next(
        ((each["pending"], each["last-delivered-id"]) for each in found if each["name"] == GROUP.encode()),
        (0, NOTHING_READ),
    )


async def _lengths(redis: Redis, keys: Sequence[str]) -> list[int]:
    async with redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.xlen(key)
        return list(await pipeline.execute())


async def _first_after(redis: Redis, places: Sequence[tuple[str, bytes]]) -> list[float]:
    """When the first entry after each place came, in seconds of Redis' clock; 0 where there is none."""
    async with redis.pipeline(transaction=False) as pipeline:
        for key, id in places:
            pipeline.xrange(key, min=b"(" + id, count=1)
        found = await pipeline.execute()
    return [int(entries[0][0].partition(b"-")[0]) / 1000 if entries else 0.0 for entries in found]
