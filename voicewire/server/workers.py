"""Workers on other hosts, for a gateway: a model comes with the first who speaks it, and goes with the last."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicewire.accounts.voices import Voices
from voicewire.config import Config
from voicewire.engines.pooling import Pool
from voicewire.engines.voice_list import common, told_apart
from voicewire.remote.exchange import Exchange
from voicewire.remote.presence import BEAT_S, Fleet, Member, workers
from voicewire.remote.remote_pool import RemotePool
from voicewire.remote.scripts import FleetCalls
from voicewire.server.metrics import Elsewhere, Metrics
from voicewire.server.tasks import supervise
from voicewire.types import Voice

LOGGER = logging.getLogger(__name__)

GONE_S = 60.0  # for so long a model without a worker is busy, and then unknown
DIFFERENT_LOOKS = 5  # in a row, before it is said: one worker hears of a change before the other


async def follow_workers(
    config: Config,
    redis: Redis,
    pools: dict[str, Pool],
    voices: Voices,
    metrics: Metrics,
    stack: contextlib.AsyncExitStack,
) -> None:
    """Let `pools` have those of workers elsewhere, too, and `voices` theirs, until the stack is unwound."""
    exchange = Exchange(redis)
    stack.push_async_callback(exchange.close)
    supervise(stack, "exchange", exchange.run)
    staff = Staff(Fleet(redis, FleetCalls()), exchange, pools, voices, config.queue_limit)
    stack.push_async_callback(staff.close)
    metrics.read(Elsewhere(lambda: staff.members))
    with contextlib.suppress(RedisError, OSError):
        await staff.look()
    if not pools:
        LOGGER.warning("no engine runs here, and no worker elsewhere; nothing can be spoken until one is there")
    supervise(stack, "workers", staff.run)


class Staff:
    """Whoever lives, looked at as often as they say so. Models that are spoken here are left to this gateway."""

    def __init__(
        self, fleet: Fleet, exchange: Exchange, pools: dict[str, Pool], voices: Voices, queue_limit: int
    ) -> None:
        self.members: list[Member] = []  # of the fleet, as they were when it was looked at last
        self._fleet = fleet
        self._exchange = exchange
        self._pools = pools
        self._voices = voices
        self._queue_limit = queue_limit
        self._here = frozenset(pools)
        self._remote: dict[str, RemotePool] = {}
        self._seen_s: dict[str, float] = {}  # when a model had a worker last
        self._different: dict[str, int] = {}  # looks at a model whose workers do not have the same voices
        self._away = False

    async def run(self) -> None:
        """Look again and again; while Redis is away, nobody is seen."""
        while True:
            try:
                await self.look()
                self._away = False
            except (RedisError, OSError) as error:
                self.members = []
                if not self._away:
                    LOGGER.warning("the workers cannot be seen: %s", type(error).__name__)
                self._away = True
            await asyncio.sleep(BEAT_S)

    async def look(self) -> None:
        """Look once. Raises `RedisError` or `OSError`."""
        members = self.members = await self._fleet.members()
        gateways = sum(member.beat.kind == "gateway" for member in members)
        found = {model: hosts for model, hosts in workers(members).items() if model not in self._here}
        now = time.monotonic()
        self._seen_s |= dict.fromkeys(found, now)
        changed = [await self._have(hosts) for hosts in found.values()]
        changed += [await self._let_go(model) for model in self._gone(now)]
        for model, pool in self._remote.items():
            pool.staffed(found.get(model, []), gateways)
        if any(changed):
            self._voices.offer([(pool.model, pool.voices) for pool in self._pools.values()])

    async def close(self) -> None:
        """End what waits for workers elsewhere."""
        for pool in self._remote.values():
            await pool.close()

    async def _have(self, hosts: list[Member]) -> bool:
        """Have a pool for what these speak; return whether that changes what can be spoken."""
        said = hosts[0].beat
        assert said.model is not None
        voices = self._voices_of(said.model.id, hosts)
        pool = self._remote.get(said.model.id)
        if pool is None:
            LOGGER.info("workers elsewhere speak %s", said.model.id)
            pool = RemotePool(said.model, voices, self._exchange, queue_limit=self._queue_limit)
            await pool.start()
            self._pools[said.model.id] = self._remote[said.model.id] = pool
            return True
        if (pool.model, pool.voices) == (said.model, voices):
            return False
        pool.model, pool.voices = said.model, voices
        return True

    def _voices_of(self, model: str, hosts: list[Member]) -> tuple[Voice, ...]:
        """Return those that all have: what is listed must not be refused by whoever happens to take it."""
        lists = [host.beat.voices for host in hosts]
        differ = len({told_apart(each) for each in lists}) > 1
        self._different[model] = self._different.get(model, 0) + 1 if differ else 0
        found = common(lists)
        if self._different[model] == DIFFERENT_LOOKS:
            names = ", ".join(host.name for host in hosts)
            LOGGER.warning(
                "the workers of %s have different voices; only the %d that all have can be used: %s",
                model,
                len(found),
                names,
            )
        return found

    def _gone(self, now: float) -> list[str]:
        return [model for model in self._remote if now - self._seen_s[model] > GONE_S]

    async def _let_go(self, model: str) -> bool:
        LOGGER.warning("no worker speaks %s any more", model)
        pool = self._remote.pop(model)
        del self._pools[model], self._seen_s[model], self._different[model]
        await pool.close()
        return True
