"""What the ledger reads from PostgreSQL: an account as it begins in Redis, and blocks that were billed before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from voicewire.storage.ledger_script import GRANTS, NEVER_MS, Op, State, tenant_op
from voicewire.storage.postings import GRANT
from voicewire.storage.store import Row, Session, Store

EXPIRES_MS = "CASE WHEN isfinite(expires) THEN floor(extract(epoch FROM expires) * 1000)::bigint END"
ACCOUNT = f"""
SELECT
    coalesce((SELECT -ms FROM balances WHERE account = 'overdraft:' || $1), 0)::bigint AS overdraft,
    (SELECT coalesce(json_agg(json_build_array(id, {EXPIRES_MS}, left_ms)), '[]') FROM grants
     WHERE tenant = $1 AND (left_ms > 0 OR expires IS NULL OR expires > now())) AS grants,
    (SELECT coalesce(json_agg(json_build_array(block, ms)), '[]') FROM entries
     WHERE tenant = $1 AND stream = $2 AND kind = 'reverse') AS reversed
"""  # noqa: S608 - one statement, so that all is of one moment; it is put together from constants
GRANT_ROW = f"SELECT id, tenant, ms, applied, {EXPIRES_MS} AS expires_ms FROM grants WHERE id = $1"  # noqa: S608 - constants
RECENT = """
SELECT DISTINCT tenant, stream, block FROM entries
WHERE recorded > now() - $1 * interval '1 second' AND stream <> $2
"""
BLOCKS = "SELECT DISTINCT block FROM entries WHERE tenant = $1 AND stream = $2"
BILLED = """
SELECT tenant, stream, block, sum(ms)::bigint AS ms, sum(audio_ms)::bigint AS audio_ms, max(post) + 1 AS posts,
    bool_or(cached) AS cached, max(model) AS model, max(voice) AS voice, max(key_id) AS key
FROM entries JOIN unnest($1::text[], $2::text[], $3::text[]) AS wanted (tenant, stream, block)
    USING (tenant, stream, block)
GROUP BY tenant, stream, block
"""
BURNT = """
SELECT tenant, stream, block, account, -sum(postings.ms)::bigint AS ms
FROM entries JOIN unnest($1::text[], $2::text[], $3::text[]) AS wanted (tenant, stream, block)
    USING (tenant, stream, block)
    JOIN postings ON postings.entry = entries.id
WHERE account <> 'usage'
GROUP BY tenant, stream, block, account
ORDER BY tenant, stream, block, min(entries.id)
"""

Block = tuple[str, str, str]  # tenant, stream, block
Streams = dict[tuple[str, str], list[State]]


async def load_op(store: Store, tenant: str) -> Op:
    """Return the operation that puts a tenant's account into Redis, unless it is there. Raises `Busy`."""
    row = await store.fetchrow(ACCOUNT, tenant, GRANTS)
    assert row is not None
    grants = [(id, NEVER_MS if expires is None else expires, left) for id, expires, left in row["grants"]]
    return tenant_op("load", tenant, row["overdraft"], grants, row["reversed"])


async def recent_blocks(session: Session | Store, seconds: float) -> list[Block]:
    """Return the blocks of which something was recorded in the last `seconds`."""
    rows = await session.fetch(RECENT, seconds, GRANTS)
    return [(row["tenant"], row["stream"], row["block"]) for row in rows]


async def blocks_of(session: Session | Store, tenant: str, stream: str) -> list[Block]:
    """Return the blocks of a stream of which something is recorded."""
    rows = await session.fetch(BLOCKS, tenant, stream)
    return [(tenant, stream, row["block"]) for row in rows]


async def billed(session: Session | Store, blocks: Sequence[Block]) -> Streams:
    """Return what is recorded of `blocks`, by tenant and stream."""
    columns = [list(each) for each in zip(*blocks, strict=True)] or [[], [], []]
    splits = _splits(await session.fetch(BURNT, *columns))
    streams: defaultdict[tuple[str, str], list[State]] = defaultdict(list)
    for row in await session.fetch(BILLED, *columns):
        split = splits.get((row["tenant"], row["stream"], row["block"]), [])
        streams[row["tenant"], row["stream"]].append(_state(row, split))
    return dict(streams)


def _splits(rows: Iterable[Row]) -> Mapping[Block, list[tuple[str, int]]]:
    splits: defaultdict[Block, list[tuple[str, int]]] = defaultdict(list)
    for row in rows:
        account = row["account"]
        if not account.startswith(GRANT):
            account = account.partition(":")[0]  # the script's name for it
        splits[row["tenant"], row["stream"], row["block"]].append((account, row["ms"]))
    return splits


def _state(row: Row, split: list[tuple[str, int]]) -> State:
    metered = all(account != "open" for account, _ in split)
    return State(
        row["block"],
        row["ms"],
        row["audio_ms"],
        row["posts"],
        int(metered),
        int(row["cached"]),
        row["model"],
        row["voice"],
        row["key"],
        [(account, ms) for account, ms in split if metered and ms > 0],
    )
