"""The ledger as a gateway has it: opened before anybody speaks, kept going, closed when everything was told."""

from __future__ import annotations

import contextlib

from redis.exceptions import RedisError

from voicewire.errors import Busy
from voicewire.server.storage import Storage
from voicewire.server.tasks import supervise
from voicewire.storage.ledger_service import LedgerService


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
