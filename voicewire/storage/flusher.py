"""Carries entries from Redis to PostgreSQL: each once, in their order, and only then out of the outbox.

Any gateway may do it, one at a time does; who is killed is followed by the next. A transaction holds the row of the
ledger's epoch, so what belongs to an epoch that has ended cannot be written any more.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from voicewire.storage.ledger_script import SHARD, Keys
from voicewire.storage.life import Life, entry_id
from voicewire.storage.postings import Numbered, decode, enter
from voicewire.storage.store import Session, Store

PAGE = 500  # entries in one transaction: what they cost the event loop is a few milliseconds
LOCK = f"ledger:{SHARD}:flush"

TRY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))"
EPOCH = "SELECT epoch, seq FROM epochs WHERE shard = $1 FOR UPDATE"
MARK = "UPDATE epochs SET seq = $2 WHERE shard = $1 AND seq < $2"

LOGGER = logging.getLogger(__name__)


class Flusher:
    """See the module. `gaps` counts entries that should have been in the outbox and were not."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self._keys = keys
        self.flushed = 0
        self.gaps = 0

    async def flush(self, redis: Redis, life: Life) -> int:
        """Carry all there is; return how many were new. Nothing is done while another gateway does it.

        Raises `Busy`, `RedisError` or `OSError`; what was carried then is carried again, without effect.
        """
        new = 0
        while page := await self.read(redis):
            async with self._store.transaction() as session:
                if not await session.fetchval(TRY_LOCK, LOCK):
                    return new
                carried = await self.carry(session, page, life.epoch)
            if carried is None:
                return new
            new += carried
            await self.trim(redis, page[-1])
            if len(page) < PAGE:
                break
        return new

    async def read(self, redis: Redis, after: str = "") -> list[Numbered]:
        """Return the oldest entries of the outbox that come `after`."""
        rows: Any = await redis.xrange(self._keys.outbox, min=f"({after}" if after else "-", count=PAGE)
        return [(*entry_id(id), decode(fields[b"e"])) for id, fields in rows]

    async def carry(self, session: Session, page: Sequence[Numbered], epoch: int | None = None) -> int | None:
        """Write what belongs to the epoch in force, which must be `epoch` where one is given; else return None."""
        row = await session.fetchrow(EPOCH, SHARD)
        if row is None or (epoch is not None and row["epoch"] != epoch):
            return None
        entries = [each for each in page if each[0] == row["epoch"]]
        if not entries:
            return 0
        self._count_gaps(row["seq"], [seq for _, seq, _ in entries])
        new = await enter(session, entries)
        await session.execute(MARK, SHARD, entries[-1][1])
        self.flushed += new
        return new

    def _count_gaps(self, before: int, seqs: Sequence[int]) -> None:
        missing = max(0, seqs[0] - before - 1) + (seqs[-1] - seqs[0] + 1 - len(seqs))
        if missing:
            self.gaps += missing
            LOGGER.error("%d entries of the ledger are missing between %d and %d", missing, before, seqs[-1])

    async def trim(self, redis: Redis, last: Numbered) -> None:
        """Drop from the outbox what PostgreSQL has."""
        epoch, seq, _ = last
        await redis.xtrim(self._keys.outbox, minid=f"{epoch}-{seq + 1}", approximate=False)
