"""Brings the ledger of a Redis that was restarted back to what PostgreSQL knows, and opens a new epoch.

The order matters; each step was found necessary by a run that failed without it. See docs/decisions/0007-ledger.md.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable
from itertools import islice

from redis.asyncio import Redis

from voicewire.errors import Busy
from voicewire.storage.flusher import PAGE, Flusher
from voicewire.storage.ledger_records import billed, recent_blocks
from voicewire.storage.ledger_script import OPS_MAX, SHARD, LedgerScript, Op, restore_op
from voicewire.storage.life import bound, look
from voicewire.storage.scripts import Script
from voicewire.storage.store import Store

RESTORED_S = 120.0  # a block that was billed so recently may be held again: after a resume, at another gateway
BLOCKS_AT_ONCE = 10_000
LOCK = f"ledger:{SHARD}:recovery"
RETRY_MS = 300

BEGIN = """
INSERT INTO epochs (shard, epoch, run_id) VALUES ($1, 1, $2)
ON CONFLICT (shard) DO UPDATE SET epoch = epochs.epoch + 1, seq = 0, run_id = $2, opened = now()
RETURNING epoch
"""
OPEN = """
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'run_id', ARGV[3], 'seq', 0)
return 1
"""

LOGGER = logging.getLogger(__name__)


class Recovery:
    """One gateway recovers at a time; the others wait, and find it done."""

    def __init__(self, redis: Redis, store: Store, script: LedgerScript, flusher: Flusher, restored_s: float) -> None:
        self._redis = redis
        self._store = store
        self._script = script
        self._keys = script.keys
        self._flusher = flusher
        self._restored_s = restored_s
        self._open = Script(OPEN)
        self.recoveries = 0
        self.took_s = 0.0

    async def recover(self) -> None:
        """Open a new epoch, unless one is open. Raises `Busy`, `RedisError` or `OSError`: then try again."""
        async with self._store.transaction() as turn:
            await turn.lock(LOCK)
            view = await look(self._redis, self._keys)
            if view.life is not None:
                return
            began = time.monotonic()
            redis = bound(self._redis, view.run_id)
            try:
                epoch = await self._recover(redis, view.run_id)
            finally:
                await redis.aclose()
        self.recoveries += 1
        self.took_s = time.monotonic() - began
        LOGGER.info("the ledger begins epoch %d, after %.2f s", epoch, self.took_s)

    async def _recover(self, redis: Redis, run_id: str) -> int:
        fence = f"fence-{secrets.token_hex(8)}"
        await redis.hset(self._keys.meta, "epoch", fence)  # from here on no operation of any gateway is done
        await self._flush(redis)
        epoch = int(await self._store.fetchval(BEGIN, SHARD, run_id))  # nor any flush of what was before
        await self._restore(redis, fence, epoch)
        keys = (self._keys.meta, self._keys.leases, self._keys.outbox)
        if not await self._open.run(redis, keys, (fence, epoch, run_id)):
            raise Busy(retry_after_ms=RETRY_MS)  # another gateway believed this one dead, and began anew
        return epoch

    async def _flush(self, redis: Redis) -> None:
        """Write what survived: it was answered for, whatever was lost behind it."""
        after = ""
        while page := await self._flusher.read(redis, after):
            async with self._store.transaction() as session:
                await self._flusher.carry(session, page)
            after = f"{page[-1][0]}-{page[-1][1]}"
            if len(page) < PAGE:
                break

    async def _restore(self, redis: Redis, fence: str, epoch: int) -> None:
        """Make known which blocks were billed, so that to bill them again changes nothing."""
        blocks = await recent_blocks(self._store, self._restored_s)
        for at in range(0, len(blocks), BLOCKS_AT_ONCE):
            streams = await billed(self._store, blocks[at : at + BLOCKS_AT_ONCE])
            ops = (restore_op(tenant, stream, epoch, states) for (tenant, stream), states in streams.items())
            for some in _batches(ops):
                await self._script.call(redis, fence, some)


def _batches(ops: Iterable[Op]) -> Iterable[list[Op]]:
    rest = iter(ops)
    while some := list(islice(rest, OPS_MAX)):
        yield some
