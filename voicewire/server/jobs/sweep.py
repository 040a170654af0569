"""Forgets jobs whose time is over, and keeps the folder of their files within its bound."""

from __future__ import annotations

import asyncio
import logging

from voicewire.errors import Busy
from voicewire.server.jobs.shelf import Shelf
from voicewire.storage.store import Row, Store

LOGGER = logging.getLogger(__name__)

EVERY_S = 300.0

EXPIRED = "DELETE FROM jobs WHERE expires < now() RETURNING id"
KNOWN = "SELECT id FROM jobs WHERE id = ANY($1)"
KEPT = """
SELECT item.job, item.number, item.tenant, item.size_bytes,
    sum(item.size_bytes) OVER (PARTITION BY item.tenant)::bigint AS tenant_bytes
FROM job_items AS item JOIN jobs ON jobs.id = item.job
WHERE item.size_bytes > 0 ORDER BY jobs.created, item.number
"""
DROPPED = "UPDATE job_items SET size_bytes = 0 WHERE job = $1 AND number = $2"


def surplus(rows: list[Row], bytes_max: int) -> list[Row]:
    """Return what has to go: of whoever keeps most, the oldest first, until the rest is within the bound."""
    kept = {row["tenant"]: int(row["tenant_bytes"]) for row in rows}
    waiting: dict[str, list[Row]] = {tenant: [] for tenant in kept}
    for row in reversed(rows):
        waiting[row["tenant"]].append(row)
    going = []
    while sum(kept.values()) > bytes_max:
        tenant = max(kept, key=kept.__getitem__)
        row = waiting[tenant].pop()
        kept[tenant] -= row["size_bytes"]
        going.append(row)
    return going


class Sweep:
    """Sweeps the table and this gateway's folder."""

    def __init__(self, store: Store, shelf: Shelf, bytes_max: int) -> None:
        self._store = store
        self._shelf = shelf
        self._bytes_max = bytes_max

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            try:
                await self.once()
            except Busy as error:
                LOGGER.warning("old jobs stay for now: %s", error)
            await asyncio.sleep(EVERY_S)

    async def once(self) -> None:
        for row in await self._store.fetch(EXPIRED):
            await asyncio.to_thread(self._shelf.drop, row["id"])
        await self._drop_strays()
        for row in surplus(await self._store.fetch(KEPT), self._bytes_max):
            await self._store.execute(DROPPED, row["job"], row["number"])
            await asyncio.to_thread(self._shelf.drop_text, row["job"], row["number"])

    async def _drop_strays(self) -> None:
        """Remove what is left of jobs that another gateway, or a deletion of their tenant, has forgotten."""
        found = await asyncio.to_thread(self._shelf.strays)
        known = {row["id"] for row in await self._store.fetch(KNOWN, found)}
        for job in found:
            if job not in known:
                await asyncio.to_thread(self._shelf.drop, job)
