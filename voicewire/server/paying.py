"""The ledger as a gateway has it: opened before anybody speaks, kept going, closed when everything was told."""

from __future__ import annotations

import contextlib

from redis.exceptions import RedisError

from voicewire.auth.principal import Principal
from voicewire.errors import Busy
from voicewire.server.storage import Storage
from voicewire.server.tasks import supervise
from voicewire.storage.ledger_service import LedgerService
from voicewire.storage.rates import Rates

REFUNDS_BURST = 10
REQUESTS_A_REFUND = 4  # of what a plan allows in a minute
REFUNDS_MINUTE = 6  # at least


class Refunds:
    """How often a tenant is given back what was not heard: who is always interrupted at once listens for nothing."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates

    async def allowed(self, principal: Principal) -> bool:
        """Count an interruption, and say whether it gives something back."""
        if not principal.limits.metered:
            return True
        a_minute = max(REFUNDS_MINUTE, principal.limits.requests_minute // REQUESTS_A_REFUND)
        taken = await self._rates.take(f"refund:{principal.tenant}", a_minute, REFUNDS_BURST, known=True)
        return taken.allowed


async def open_ledger(storage: Storage, stack: contextlib.AsyncExitStack) -> LedgerService:
    """Open the ledger, if Redis and PostgreSQL answer; else it opens as soon as they do."""
    service = LedgerService(storage.redis, storage.store)
    stack.push_async_callback(service.close)

    async def run() -> None:
        await storage.migrated.wait()
        await service.run()

    if storage.migrated.is_set():
        with contextlib.suppress(Busy, RedisError, OSError):
            await service.start()
    supervise(stack, "ledger", run)
    return service
