"""The life of a Redis: from its start to its end, in which it forgets nothing.

A Redis that was restarted may have lost its last seconds, and with them what it answered. Each connection of the ledger
therefore belongs to one life: to another it will not send a command.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from voicewire.storage.ledger_script import Keys
from voicewire.storage.postings import decode

RUN_ID = re.compile(rb"run_id:(\w+)")
CONNECTIONS_MAX = 4
TIMEOUT_S = 1.0


class Life(NamedTuple):
    """A run of the server and, in it, an epoch of the ledger."""

    run_id: str
    epoch: int


class View(NamedTuple):
    """How the ledger's Redis stands, at one moment."""

    run_id: str
    epoch: int  # 0: fenced, or never opened
    opened_run_id: str  # in which the epoch was opened
    seq: int  # the last entry that was made
    waiting: int  # entries that PostgreSQL does not have yet
    first: tuple[int, int] | None  # epoch and seq of the oldest of them …
    first_ms: int = 0  # … and when it was made

    @property
    def life(self) -> Life | None:
        """The life that is open; None where the ledger must be recovered first."""
        return Life(self.run_id, self.epoch) if self.epoch and self.opened_run_id == self.run_id else None

    @property
    def recorded(self) -> int:
        """The last entry of the epoch that PostgreSQL has: entries leave the outbox only when it does."""
        return self.seq if self.first is None else self.first[1] - 1

    def behind_s(self, now_s: float) -> float:
        """For how long the oldest entry has been waiting for PostgreSQL."""
        return 0.0 if self.first is None else max(0.0, now_s - self.first_ms / 1000)


async def look(redis: Redis, keys: Keys) -> View:
    """Return the present view. Raises `RedisError` or `OSError`."""
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.info("server")
        pipeline.hmget(keys.meta, ["epoch", "run_id", "seq"])
        pipeline.xlen(keys.outbox)
        pipeline.xrange(keys.outbox, count=1)
        info, (epoch, opened, seq), waiting, first = await pipeline.execute()
    return View(
        str(info["run_id"]),
        int(epoch) if epoch and epoch.isdigit() else 0,
        (opened or b"").decode(),
        int(seq or 0),
        int(waiting),
        entry_id(first[0][0]) if first else None,
        decode(first[0][1][b"e"]).at_ms if first else 0,
    )


def entry_id(id: bytes) -> tuple[int, int]:
    """Epoch and seq of an entry in the outbox."""
    epoch, _, seq = id.partition(b"-")
    return int(epoch), int(seq)


def bound(redis: Redis, run_id: str) -> Redis:
    """Return a client of the same server that talks to this run of it and to no other."""

    async def connect(connection: Any) -> None:
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        found = RUN_ID.search(await connection.read_response())
        if found is None or found[1].decode() != run_id:
            raise RedisConnectionError("this Redis has begun another life")

    pool = redis.connection_pool
    return Redis.from_pool(
        BlockingConnectionPool(
            max_connections=CONNECTIONS_MAX,
            timeout=TIMEOUT_S,
            connection_class=pool.connection_class,
            **{**pool.connection_kwargs, "redis_connect_func": connect},
        )
    )
