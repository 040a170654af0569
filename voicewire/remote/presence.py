"""What gateways and workers say of themselves, so that each knows of the others: a heartbeat in Redis."""

from __future__ import annotations

import logging
from typing import Literal, NamedTuple

import msgspec
from redis.asyncio import Redis

from voicewire.remote.scripts import FleetCalls
from voicewire.types import Model, Voice

BEAT_S = 0.75
FRESH_S = 3.0  # as fleet.lua has it: who was silent for longer is gone

logger = logging.getLogger(__name__)


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """One heartbeat. Gateways have no model of their own to offer; `models` are those that they ask workers for."""

    kind: Literal["gateway", "worker"]
    host: str = ""
    version: str = ""
    model: Model | None = None
    models: tuple[str, ...] = ()
    voices: tuple[Voice, ...] = ()
    lanes: int = 0  # blocks that it can have open at once
    queued: int = 0
    running: int = 0
    streams: int = 0  # of listeners
    draining: bool = False
    billing: bool | None = None  # whether balances limit speech; None: an older gateway does not say
    counts: dict[str, int] = {}  # since its start


class Member(NamedTuple):
    """One of the fleet, as it last said."""

    name: str
    age_s: float
    beat: Beat


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Beat)


class Fleet:
    """Everyone who lives. Every call raises `redis.RedisError` or `OSError`."""

    def __init__(self, redis: Redis, calls: FleetCalls) -> None:
        self._redis = redis
        self._calls = calls

    async def beat(self, name: str, beat: Beat) -> None:
        """Say that `name` lives."""
        await self._calls.beat(self._redis, name, _encoder.encode(beat))

    async def leave(self, name: str) -> None:
        """Say that `name` is gone, before it is found out."""
        await self._calls.leave(self._redis, name)

    async def members(self) -> list[Member]:
        """Everyone who was heard in the last `FRESH_S`, by name. Whoever cannot be understood is left out."""
        members = []
        for name, age_s, body in await self._calls.read(self._redis):
            try:
                members.append(Member(name, age_s, _decoder.decode(body)))
            except msgspec.MsgspecError as error:
                logger.warning("%s speaks of itself as another release does: %s", name, error)
        return sorted(members)


def workers(members: list[Member]) -> dict[str, list[Member]]:
    """The workers that take blocks, by the id of their model."""
    found: dict[str, list[Member]] = {}
    for member in members:
        model = member.beat.model
        if member.beat.kind == "worker" and model is not None and not member.beat.draining:
            found.setdefault(model.id, []).append(member)
    return found
