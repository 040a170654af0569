"""Compares the ledger's two halves, to the millisecond, while it goes on.

A difference counts when it is still there on a second look: what happens between two readings is none.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis

from voicewire.errors import RETRY_MS, Busy
from voicewire.storage.flusher import LOCK, Flusher
from voicewire.storage.ledger_script import SHARD, Keys
from voicewire.storage.life import Life, entry_id
from voicewire.storage.postings import GRANT, Numbered, decode
from voicewire.storage.store import Session, Store

TENANTS_AT_ONCE = 200
LOOKS = 3
PAUSE_S = 0.3
RECENT_S = 7_200.0  # the entries whose postings are added up each time
SHOWN_MAX = 20
UNFLUSHED_MAX = 10_000

LEFT = """
SELECT tenant, 'grant:' || id AS account, left_ms AS ms FROM grants WHERE tenant = ANY($1) AND left_ms <> 0
UNION ALL
SELECT tenant, 'overdraft', ms FROM unnest($1::text[]) AS tenant
JOIN balances ON account = 'overdraft:' || tenant WHERE ms <> 0
"""
UNAPPLIED = "SELECT id FROM grants WHERE applied IS NULL"
TENANTS = "SELECT id FROM tenants WHERE id > $1 ORDER BY id LIMIT $2"
SEQ = "SELECT seq FROM epochs WHERE shard = $1 AND epoch = $2"
SUM = "SELECT coalesce(sum(ms), 0)::bigint FROM balances"
BALANCES = """
SELECT account, coalesce(balances.ms, 0)::bigint AS balance, coalesce(posted.ms, 0)::bigint AS posted
FROM balances FULL JOIN (SELECT account, sum(ms) AS ms FROM postings GROUP BY account) AS posted USING (account)
WHERE coalesce(balances.ms, 0) <> coalesce(posted.ms, 0) LIMIT $1
"""
GRANTS_LEFT = """
SELECT grants.id, left_ms, coalesce(balances.ms, 0)::bigint AS balance
FROM grants LEFT JOIN balances ON account = 'grant:' || id
WHERE left_ms <> coalesce(balances.ms, 0) LIMIT $1
"""
UNBALANCED = """
WITH summed AS (
    SELECT entries.id, entries.ms, kind IN ('use', 'late', 'refund') AS used, coalesce(sum(postings.ms), 0) AS total,
        coalesce(sum(postings.ms) FILTER (WHERE account = 'usage'), 0) AS usage
    FROM entries LEFT JOIN postings ON postings.entry = entries.id
    WHERE recorded > now() - $1 * interval '1 second'
    GROUP BY entries.id
)
SELECT id, ms, used, (CASE WHEN used THEN usage ELSE total END)::bigint AS found FROM summed
WHERE total <> 0 OR (used AND usage <> ms) LIMIT $2
"""


class Drift(NamedTuple):
    """Something that is not as it should be: in milliseconds, or entries."""

    what: str
    account: str
    expected: int
    found: int


class Snapshot(NamedTuple):
    """Redis at one moment: accounts of some tenants, and the entries that PostgreSQL does not have."""

    accounts: dict[str, dict[str, int]]  # tenant → account → what is left
    held: dict[str, int]
    unflushed: list[Numbered]
    seq: int


class Reconciler:
    """See the module."""

    def __init__(self, store: Store, keys: Keys, flusher: Flusher) -> None:
        self._store = store
        self._keys = keys
        self._flusher = flusher

    async def reconcile(self, redis: Redis, life: Life) -> list[Drift]:
        """Return what differs. Raises `Busy`, `RedisError` or `OSError` when it cannot be told now."""
        found = await self._differences(redis, life)
        for _ in range(LOOKS - 1):
            if not found:
                break
            await asyncio.sleep(PAUSE_S)
            again = await self._differences(redis, life)
            found = {name: again[name] for name in found.keys() & again.keys()}
        return sorted(found.values())

    async def _differences(self, redis: Redis, life: Life) -> dict[tuple[str, str, int], Drift]:
        await self._flusher.flush(redis, life)
        drifts: list[Drift] = []
        async with self._store.transaction() as session:
            await session.lock(LOCK)  # no flush meanwhile
            recorded = await session.fetchval(SEQ, SHARD, life.epoch)
            if recorded is None:
                raise Busy(retry_after_ms=RETRY_MS)
            async for tenants in _tenants(session):
                drifts += await self._accounts(session, redis, tenants, recorded)
            drifts += await self._records(session)
        return {(each.what, each.account, each.found - each.expected): each for each in drifts}

    async def _accounts(self, session: Session, redis: Redis, tenants: Sequence[str], recorded: int) -> list[Drift]:
        """Redis and what it has not handed over yet, against PostgreSQL."""
        expected: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        for row in await session.fetch(LEFT, tenants):
            expected[row["tenant"]][row["account"]] = row["ms"]
        snapshot = await self._snapshot(redis, tenants, recorded)
        untold = {GRANT + row["id"] for row in await session.fetch(UNAPPLIED)}
        for _, _, entry in snapshot.unflushed:
            for account, ms in entry.postings().items():
                expected[entry.tenant][account.partition(":")[0] if account.startswith("overdraft:") else account] += ms
        drifts = list(_gaps(recorded, snapshot))
        for tenant, found in snapshot.accounts.items():
            accounts = {*found, *(name for name in expected[tenant] if name.startswith((GRANT, "overdraft")))} - untold
            drifts += (
                Drift("account", f"{tenant} {account}", expected[tenant][account], found.get(account, 0))
                for account in accounts
                if expected[tenant][account] != found.get(account, 0)
            )
        return drifts + await self._holds(redis, snapshot)

    async def _snapshot(self, redis: Redis, tenants: Sequence[str], recorded: int) -> Snapshot:
        async with redis.pipeline(transaction=True) as pipeline:
            pipeline.hmget(self._keys.meta, ["epoch", "seq"])
            pipeline.xrange(self._keys.outbox, count=UNFLUSHED_MAX + 1)
            for tenant in tenants:
                pipeline.hmget(self._keys.account(tenant), ["e", "grants", "overdraft", "held"])
            (epoch, seq), rows, *accounts = await pipeline.execute()
        if len(rows) > UNFLUSHED_MAX:
            raise Busy(retry_after_ms=RETRY_MS)
        entries = [(*entry_id(id), decode(fields[b"e"])) for id, fields in rows]
        known = [(tenant, found) for tenant, found in zip(tenants, accounts, strict=True) if found[0] == epoch]
        return Snapshot(
            {tenant: _account(found) for tenant, found in known},
            {tenant: int(found[3]) for tenant, found in known},
            [each for each in entries if each[1] > recorded],
            int(seq or 0),
        )

    async def _holds(self, redis: Redis, snapshot: Snapshot) -> list[Drift]:
        """What accounts hold is what their running blocks hold."""
        members: Any = await redis.zrange(self._keys.leases, 0, -1)
        leases = [member.decode().split("|", 2) for member in members]
        async with redis.pipeline(transaction=False) as pipeline:
            for tenant, block, stream in leases:
                pipeline.hget(self._keys.stream(tenant, stream), block)
            blocks = await pipeline.execute()
        sums = dict.fromkeys(snapshot.held, 0)
        for (tenant, _, _), packed in zip(leases, blocks, strict=True):
            if packed and tenant in sums:
                _, state, hold, *_, metered = msgspec.msgpack.decode(packed)[:9]
                sums[tenant] += hold if state == "R" and metered else 0
        return [
            Drift("held", tenant, sums[tenant], held) for tenant, held in snapshot.held.items() if held != sums[tenant]
        ]

    async def _records(self, session: Session) -> list[Drift]:
        """PostgreSQL against itself."""
        total = await session.fetchval(SUM)
        balances = await session.fetch(BALANCES, SHOWN_MAX)
        grants = await session.fetch(GRANTS_LEFT, SHOWN_MAX)
        entries = await session.fetch(UNBALANCED, RECENT_S, SHOWN_MAX)
        return [
            *([Drift("sum", "balances", 0, total)] if total else []),
            *(Drift("balance", row["account"], row["posted"], row["balance"]) for row in balances),
            *(Drift("grant", row["id"], row["balance"], row["left_ms"]) for row in grants),
            *(Drift("entry", str(row["id"]), row["ms"] if row["used"] else 0, row["found"]) for row in entries),
        ]


async def _tenants(session: Session) -> AsyncIterator[list[str]]:
    last = ""
    while rows := await session.fetch(TENANTS, last, TENANTS_AT_ONCE):
        tenants = [row["id"] for row in rows]
        yield tenants
        last = tenants[-1]


def _account(found: Sequence[bytes]) -> dict[str, int]:
    _, grants, overdraft, _ = found
    accounts = {GRANT + id: left for id, _, left in msgspec.msgpack.decode(grants)}
    return accounts | ({"overdraft": -int(overdraft)} if int(overdraft) else {})


def _gaps(recorded: int, snapshot: Snapshot) -> Iterator[Drift]:
    """Entries are numbered without a gap, from what is recorded to the last."""
    missing = max(0, snapshot.seq - recorded) - len(snapshot.unflushed)
    if missing:
        yield Drift("entries", "outbox", snapshot.seq - recorded, len(snapshot.unflushed))
