"""What a gateway says of itself to the fleet, so that whoever looks finds it: see `voicewire top`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Callable, Mapping

from msgspec.structs import replace
from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicewire import __version__
from voicewire.engines.pooling import Pool
from voicewire.remote.presence import BEAT_S, Beat, Fleet
from voicewire.remote.remote_pool import RemotePool
from voicewire.remote.scripts import FleetCalls
from voicewire.server.live.sessions import Sessions
from voicewire.server.tasks import supervise

LOGGER = logging.getLogger(__name__)

COUNTS = ("completed", "failed", "refused", "rendered_ms")


def start_heartbeat(
    stack: contextlib.AsyncExitStack, redis: Redis, sessions: Sessions, pools: Mapping[str, Pool], *, billing: bool
) -> None:
    """Say every moment how this gateway does, until the stack is unwound."""
    host = socket.gethostname()
    name = f"{host}-{secrets.token_hex(3)}"
    heartbeat = Heartbeat(
        Fleet(redis, FleetCalls()), name, lambda: replace(beat_of(host, sessions, pools), billing=billing)
    )
    stack.push_async_callback(heartbeat.leave)
    supervise(stack, "heartbeat", heartbeat.run)


def beat_of(host: str, sessions: Sessions, pools: Mapping[str, Pool]) -> Beat:
    """How a gateway does."""
    stats = [pool.stats() for pool in pools.values()]
    return Beat(
        kind="gateway",
        host=host,
        version=__version__,
        models=tuple(model for model, pool in pools.items() if isinstance(pool, RemotePool)),
        queued=sum(each.queued for each in stats),
        running=sum(each.running for each in stats),
        streams=len(sessions),
        draining=sessions.draining,
        counts={name: sum(getattr(each, name) for each in stats) for name in COUNTS},
    )


class Heartbeat:
    """Says what `said` returns, under `name`, as long as it runs."""

    def __init__(self, fleet: Fleet, name: str, said: Callable[[], Beat]) -> None:
        self._fleet = fleet
        self._name = name
        self._said = said

    async def run(self) -> None:
        """Go on until cancelled; while Redis is away nobody hears it, and nothing else depends on that."""
        while True:
            try:
                await self._fleet.beat(self._name, self._said())
            except (RedisError, OSError) as error:
                LOGGER.debug("the fleet does not hear of this gateway: %s", type(error).__name__)
            await asyncio.sleep(BEAT_S)

    async def leave(self) -> None:
        """Say that the gateway is gone."""
        with contextlib.suppress(RedisError, OSError):
            await self._fleet.leave(self._name)
