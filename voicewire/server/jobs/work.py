"""Jobs in PostgreSQL, as those see them who do the work: taken up on a lease, told how far it is, over.

A lease that is not kept runs out, by PostgreSQL's clock, and somebody else takes the text up; every statement of who
had it before then changes nothing, because the epoch is another.
"""

from __future__ import annotations

from collections.abc import Collection

from voicewire.errors import VoicewireError
from voicewire.server.jobs.records import Item
from voicewire.storage.store import Store

LEASE_S = 15.0

CLAIM = """
WITH heads AS (
    SELECT DISTINCT ON (tenant) tenant, job, number FROM job_items
    WHERE state IN ('queued', 'running') AND due <= now() AND model = ANY($1)
    ORDER BY tenant, due, job, number
), head AS (                                    -- of the tenant for whom least is being done
    SELECT job, number FROM heads
    ORDER BY (SELECT count(*) FROM job_items AS other
              WHERE other.tenant = heads.tenant AND other.state = 'running' AND other.due > now()), random()
    LIMIT 1
)
UPDATE job_items AS item
SET state = 'running', epoch = epoch + 1, tries = tries + (item.state = 'running')::int,
    due = now() + $2 * interval '1 second'
FROM head, jobs
WHERE item.job = head.job AND item.number = head.number AND jobs.id = item.job
    AND item.state IN ('queued', 'running') AND item.due <= now()
RETURNING item.*, jobs.caller
"""
BEGUN = "UPDATE jobs SET state = 'running', started = coalesce(started, now()) WHERE id = $1 AND state = 'queued'"
MINE = "WHERE job = $1 AND number = $2 AND epoch = $3 AND state = 'running'"
KEEP = f"UPDATE job_items SET due = now() + $4 * interval '1 second', done_ms = $5 {MINE}"  # noqa: S608 - constants
ADVANCE = f"""
UPDATE job_items SET blocks = $4, samples = $5, words_bytes = $6, done_ms = $7 {MINE}
"""  # noqa: S608 - constants
POSTPONE = f"""
UPDATE job_items SET state = 'queued', due = now() + $4 * interval '1 second', tries = tries + $5 {MINE}
"""  # noqa: S608 - constants
DONE = f"UPDATE job_items SET state = 'done', done_ms = $4, size_bytes = $5, sha256 = $6 {MINE}"  # noqa: S608 - constants
FAILED = f"UPDATE job_items SET state = 'failed', error = $4, reason = $5 {MINE}"  # noqa: S608 - constants

LOCK = "SELECT FROM jobs WHERE id = $1 FOR UPDATE"  # else two that end together each wait for the other's end
END = """
UPDATE jobs SET finished = now(), expires = now() + $2 * interval '1 second', state = CASE
    WHEN EXISTS (SELECT FROM job_items WHERE job = $1 AND state = 'done') THEN 'done' ELSE 'failed' END
WHERE id = $1 AND state IN ('queued', 'running')
    AND NOT EXISTS (SELECT FROM job_items WHERE job = $1 AND state IN ('queued', 'running'))
"""
TELL = """
UPDATE webhooks SET state = 'due', due = now() FROM jobs
WHERE job = $1 AND webhooks.state = 'waiting' AND jobs.id = job AND jobs.finished IS NOT NULL
"""
CHANGED = "UPDATE 1"


class Lost(Exception):
    """The text is not this gateway's any more: cancelled, forgotten, or taken up by another."""


class Work:
    """What is done with texts; raises `Lost` where one is somebody else's by now, and `Busy`."""

    def __init__(self, store: Store, models: Collection[str], keep_s: float, lease_s: float = LEASE_S) -> None:
        self._store = store
        self._models = models
        self._keep_s = keep_s
        self.lease_s = lease_s

    async def claim(self) -> Item | None:
        """Take up a text that this gateway's models can speak, of whoever has least in hand; None: there is none."""
        row = await self._store.fetchrow(CLAIM, sorted(self._models), self.lease_s)
        if row is None:
            return None
        await self._store.execute(BEGUN, row["job"])
        return Item.of(row)

    async def keep(self, item: Item, done_ms: int) -> None:
        """Renew the lease, and say how far it is."""
        await self._mine(KEEP, item, self.lease_s, done_ms)

    async def advance(self, item: Item, blocks: list[int], samples: int, words_bytes: int, done_ms: int) -> None:
        """So many parts are spoken, kept and billed, of so many blocks each."""
        await self._mine(ADVANCE, item, blocks, samples, words_bytes, done_ms)

    async def postpone(self, item: Item, wait_s: float, *, failed: bool) -> None:
        """Give it back, to be taken up after `wait_s`; `failed`: this try counts."""
        await self._mine(POSTPONE, item, wait_s, int(failed))

    async def complete(self, item: Item, done_ms: int, size_bytes: int, sha256: str) -> None:
        """It is spoken, and its file is in place."""
        await self._end(item, DONE, done_ms, size_bytes, sha256)

    async def fail(self, item: Item, error: VoicewireError) -> None:
        """It will not be spoken, for this reason."""
        await self._end(item, FAILED, error.row_code, error.message)

    async def _mine(self, sql: str, item: Item, *args: object) -> None:
        if await self._store.execute(sql, item.job, item.number, item.epoch, *args) != CHANGED:
            raise Lost

    async def _end(self, item: Item, sql: str, *args: object) -> None:
        async with self._store.transaction() as session:
            await session.execute(LOCK, item.job)
            if await session.execute(sql, item.job, item.number, item.epoch, *args) != CHANGED:
                raise Lost
            await session.execute(END, item.job, self._keep_s)
            await session.execute(TELL, item.job)
