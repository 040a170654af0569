"""Everything around the ledger that goes on by itself: watching Redis, flushing, sweeping, reconciling."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicewire.errors import RETRY_MS, Busy
from voicewire.storage.flusher import Flusher
from voicewire.storage.ledger import Ledger
from voicewire.storage.ledger_calls import Away
from voicewire.storage.ledger_script import LEASE_MS, Answer, Item, LedgerScript, block_op
from voicewire.storage.life import View, look
from voicewire.storage.reconcile import Drift, Reconciler
from voicewire.storage.recovery import RESTORED_S, Recovery
from voicewire.storage.store import Store
from voicewire.types import KEY_PREFIX

WATCH_S = 0.3
FLUSH_S = 0.25
SWEEP_S = 0.5
GRANTS_S = 5.0
LAPSE_S = 60.0
RECONCILE_S = 3_600.0
SWEPT_MAX = 1_000  # at a time

UNAPPLIED = "SELECT id FROM grants WHERE applied IS NULL ORDER BY created LIMIT $1"
LAPSED = "SELECT DISTINCT tenant FROM grants WHERE expires < now() AND left_ms > 0 LIMIT $1"

LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class Counters:
    """What the ledger says of itself."""

    flushed: int = 0
    gaps: int = 0
    expired: int = 0
    recoveries: int = 0
    recovery_s: float = 0.0  # the last one
    resent: int = 0
    drifts: int = 0  # found by the last reconciliation
    facts: int = 0  # that are not known to be recorded
    outbox: int = 0
    outbox_age_s: float = 0.0


class LedgerService:
    """The ledger of one gateway and what keeps it going. `run` belongs to the supervisor.

    `restored_s`: for how long after its last bill a block may be held again, by a resume.
    """

    def __init__(
        self,
        redis: Redis,
        store: Store,
        *,
        prefix: str = KEY_PREFIX,
        lease_ms: int = LEASE_MS,
        on_drift: Callable[[Sequence[Drift]], None] | None = None,
        flusher: type[Flusher] = Flusher,
        restored_s: float = RESTORED_S,
    ) -> None:
        self.ledger = Ledger(redis, store, prefix=prefix, lease_ms=lease_ms)
        self._redis = redis
        self._store = store
        self._flusher = flusher(store, self.ledger.keys)
        script = LedgerScript(self.ledger.keys, lease_ms=lease_ms)
        self._recovery = Recovery(redis, store, script, self._flusher, restored_s)
        self._reconciler = Reconciler(store, self.ledger.keys, self._flusher)
        self._on_drift = on_drift
        self._view: View | None = None
        self._expired = 0
        self._drifts = 0
        self._recovered = asyncio.Event()

    def counters(self) -> Counters:
        """Return the present figures."""
        view = self._view
        return Counters(
            self._flusher.flushed,
            self._flusher.gaps,
            self._expired,
            self._recovery.recoveries,
            self._recovery.took_s,
            self.ledger.resent,
            self._drifts,
            len(self.ledger.facts),
            view.waiting if view else 0,
            view.behind_s(time.time()) if view else 0.0,
        )

    async def start(self) -> None:
        """Open the ledger, if Redis and PostgreSQL answer; `run` goes on trying."""
        await self._watch()

    async def run(self) -> None:
        """Keep the ledger going, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._each(WATCH_S, self._watch))
            group.create_task(self._each(FLUSH_S, self.flush))
            group.create_task(self._each(SWEEP_S, self.sweep))
            group.create_task(self._each(GRANTS_S, self.apply_grants))
            group.create_task(self._each(LAPSE_S, self.lapse))
            group.create_task(self._reconcile_hourly())

    async def close(self) -> None:
        """Say what is unsaid and carry it to PostgreSQL, as far as they answer now; then close the connections."""
        for last in (self._watch, self.flush, self._watch):
            await self._try(last)
        await self.ledger.calls.drain()
        await self.ledger.calls.close()

    async def flush(self) -> int:
        """Carry what is in the outbox to PostgreSQL; return how many entries were new. Raises `Busy`, `RedisError`."""
        calls = self.ledger.calls
        if calls.client is None or calls.life is None:
            return 0
        return await self._flusher.flush(calls.client, calls.life)

    async def sweep(self) -> int:
        """End the holds whose gateway has not renewed them, and bill what it told; return how many those were."""
        calls = self.ledger.calls
        if calls.client is None:
            return 0
        seconds, _ = await calls.client.time()
        due: Any = await calls.client.zrangebyscore(self.ledger.keys.leases, 0, (seconds + 1) * 1000, 0, SWEPT_MAX)
        answers = await calls.do_each(block_op("expire", _leased(member)) for member in due)
        expired = sum(isinstance(each, Answer) and each.status == "OK" for each in answers)
        self._expired += expired
        return expired

    async def apply_grants(self) -> None:
        """Tell Redis of grants that it was not told of. Raises `Busy`."""
        for row in await self._store.fetch(UNAPPLIED, SWEPT_MAX):
            await self.ledger.grant(row["id"])

    async def lapse(self) -> None:
        """Have grants of tenants that do nothing lapse at their time. Raises `Busy`."""
        for row in await self._store.fetch(LAPSED, SWEPT_MAX):
            await self.ledger.left(row["tenant"])

    async def reconcile(self) -> list[Drift]:
        """Compare Redis with PostgreSQL, and PostgreSQL with itself; what differs is logged and told.

        Raises `Busy`, `RedisError` or `OSError` when it cannot be done now.
        """
        calls = self.ledger.calls
        if calls.client is None or calls.life is None:
            raise Busy(retry_after_ms=RETRY_MS)
        drifts = await self._reconciler.reconcile(calls.client, calls.life)
        self._drifts = len(drifts)
        for drift in drifts:
            LOGGER.error("the ledger differs: %s", drift)
        if self._on_drift is not None:
            self._on_drift(drifts)
        return drifts

    async def _watch(self) -> None:
        """See in which life Redis is; after a restart, recover. Then say what it has not heard."""
        calls = self.ledger.calls
        try:
            view = await look(self._redis, self.ledger.keys)
            if view.life is None:
                calls.pause()
                await self._recovery.recover()
                self._recovered.set()
                view = await look(self._redis, self.ledger.keys)
        except (RedisError, OSError):
            calls.pause()
            raise
        self._view = view
        if view.life is None:
            return
        await calls.open(view.life)
        self.ledger.observe(view, time.time())
        await self.ledger.resend()

    async def _reconcile_hourly(self) -> None:
        while _wanted():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECONCILE_S):
                    await self._recovered.wait()
                await asyncio.sleep(SWEEP_S)  # gateways say again what they know
            self._recovered.clear()
            await self._try(self.reconcile)

    async def _each(self, period_s: float, work: Callable[[], Awaitable[object]]) -> None:
        while _wanted():
            await self._try(work)
            await asyncio.sleep(period_s)

    async def _try(self, work: Callable[[], Awaitable[object]]) -> None:
        """What cannot be done now is done next time."""
        try:
            await work()
        except (Busy, Away, RedisError, OSError) as error:
            LOGGER.debug("the ledger's %s was put off: %s", work.__name__, type(error).__name__)


def _wanted() -> bool:
    """Whether this task was not cancelled: before Python 3.12, `asyncio.wait_for` in a library may keep that back."""
    task = asyncio.current_task()
    return task is not None and not task.cancelling()


def _leased(member: bytes) -> Item:
    tenant, block, stream = member.decode().split("|", 2)
    return Item(tenant, stream, int(block), "", "", "")
