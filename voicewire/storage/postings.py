"""Entries of the ledger in PostgreSQL: each with its postings, which add up to zero, and the balances they change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

import msgspec
from msgspec import Struct

from voicewire.storage.store import Session

GRANT = "grant:"
COUNTERPARTS: Mapping[str, str] = MappingProxyType(
    {
        "use": "usage",
        "late": "usage",
        "refund": "usage",
        "lapse": "lapsed",
        "reverse": "reversed",
        "cover": "overdraft",
    }
)
"""Kind of an entry → the account that gets what the tenant's accounts give."""

INSERT = """
INSERT INTO entries
    (tenant, stream, block, post, kind, ms, audio_ms, cached, model, voice, key_id, at, epoch, seq)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::bigint[], $7::bigint[],
    $8::boolean[], $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::bigint[], $14::bigint[])
ON CONFLICT (tenant, stream, block, post) DO NOTHING
RETURNING id, epoch, seq
"""
POST = "INSERT INTO postings (entry, account, ms) SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[])"
BALANCE = """
INSERT INTO balances (account, ms) SELECT * FROM unnest($1::text[], $2::bigint[])
ON CONFLICT (account) DO UPDATE SET ms = balances.ms + excluded.ms
"""
LEAVE = """
UPDATE grants SET left_ms = left_ms + change.ms
FROM unnest($1::text[], $2::bigint[]) AS change (id, ms) WHERE grants.id = change.id
"""


class Entry(Struct, array_like=True, frozen=True):
    """A fact about a block or a grant, as the script packs it. `split`: which account gave how much."""

    tenant: str
    stream: str
    block: str | int
    post: int
    kind: str
    ms: int
    audio_ms: int
    cached: int
    model: str
    voice: str
    key: str
    at_ms: int
    split: list[tuple[str, int]]

    def postings(self) -> dict[str, int]:
        """Return what each account gets; they add up to zero."""
        sums: defaultdict[str, int] = defaultdict(int)
        for account, ms in self.split:
            sums[self._full(account)] -= ms
            sums[self._full(COUNTERPARTS[self.kind])] += ms
        return {account: ms for account, ms in sums.items() if ms}

    def _full(self, account: str) -> str:
        return f"{account}:{self.tenant}" if account in {"overdraft", "open"} else account


Numbered = tuple[int, int, Entry]  # epoch, seq
_DECODER = msgspec.msgpack.Decoder(Entry)


def decode(packed: bytes) -> Entry:
    """Read an entry of the outbox."""
    return _DECODER.decode(packed)


async def enter(session: Session, entries: Sequence[Numbered]) -> int:
    """Write `entries` in the transaction of `session`; return how many were new. Others change nothing."""
    columns = list(zip(*(_row(*each) for each in entries), strict=True))
    new = await session.fetch(INSERT, *columns)
    found = {(epoch, seq): entry for epoch, seq, entry in entries}
    posted = [(row["id"], found[row["epoch"], row["seq"]].postings()) for row in new]
    flat = [(id, account, ms) for id, sums in posted for account, ms in sums.items()]
    if flat:
        await session.execute(POST, *zip(*flat, strict=True))
        await _balance(session, [(account, ms) for _, account, ms in flat])
    return len(new)


async def _balance(session: Session, changes: Iterable[tuple[str, int]]) -> None:
    sums: defaultdict[str, int] = defaultdict(int)
    for account, ms in changes:
        sums[account] += ms
    ordered = sorted(sums.items())  # so that two transactions cannot wait for each other
    await session.execute(BALANCE, *zip(*ordered, strict=True))
    grants = [(account.removeprefix(GRANT), ms) for account, ms in ordered if account.startswith(GRANT)]
    if grants:
        await session.execute(LEAVE, *zip(*grants, strict=True))


def _row(epoch: int, seq: int, entry: Entry) -> tuple[object, ...]:
    at = datetime.fromtimestamp(entry.at_ms / 1000, UTC)
    return (
        *(entry.tenant, entry.stream, str(entry.block), entry.post, entry.kind, entry.ms, entry.audio_ms),
        *(bool(entry.cached), entry.model, entry.voice, entry.key, at, epoch, seq),
    )
