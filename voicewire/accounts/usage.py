"""What was used: sums by day, model, voice or key, and the transactions behind them. Days are UTC."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, NamedTuple

from voicewire.errors import BadRequest
from voicewire.storage.store import Store

By = Literal["day", "model", "voice", "key", "tenant"]

DAYS_MAX = 400
DAYS = 30  # where nothing is said
LINES_MAX = 1_000
PAGE_MAX = 200
ID_MAX = 2**63 - 1
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run

SUMS = """
SELECT CASE $1 WHEN 'day' THEN day::text WHEN 'model' THEN model WHEN 'voice' THEN voice WHEN 'key' THEN key_id
               ELSE tenant END AS name,
       sum(requests)::bigint AS requests, sum(audio_ms)::bigint AS audio_ms, sum(ms)::bigint AS charged_ms,
       sum(cached_ms)::bigint AS cached_ms
FROM usage_days
WHERE ($2 = '' OR tenant = $2) AND day BETWEEN $3 AND $4
GROUP BY 1
ORDER BY CASE WHEN $1 = 'day' THEN 0 ELSE -sum(audio_ms) END, 1
LIMIT $5
"""
TOTAL = """
SELECT '' AS name, coalesce(sum(requests), 0)::bigint AS requests, coalesce(sum(audio_ms), 0)::bigint AS audio_ms,
       coalesce(sum(ms), 0)::bigint AS charged_ms, coalesce(sum(cached_ms), 0)::bigint AS cached_ms
FROM usage_days
WHERE ($1 = '' OR tenant = $1) AND day BETWEEN $2 AND $3
"""
LABELS = "SELECT id, label FROM keys WHERE id = ANY($1::text[]) AND ($2 = '' OR tenant = $2)"

# A stream is shown once, where its latest entry stands; what was given back, granted or lapsed stands by itself.
TRANSACTIONS = """
WITH heads AS (
    SELECT id, stream, kind FROM entries AS entry
    WHERE tenant = $1 AND id < $2 AND kind <> 'cover' AND (kind NOT IN ('use', 'late') OR NOT EXISTS (
        SELECT FROM entries AS later
        WHERE later.tenant = $1 AND later.stream = entry.stream AND later.kind IN ('use', 'late')
              AND later.id > entry.id))
    ORDER BY id DESC
    LIMIT $3
)
SELECT heads.id, CASE heads.kind WHEN 'late' THEN 'use' ELSE heads.kind END AS kind, heads.stream, sums.*,
       coalesce(grants.note, '') AS note
FROM heads CROSS JOIN LATERAL (
    SELECT min(at) AS begins, max(at) AS ends, sum(ms)::bigint AS ms, sum(audio_ms)::bigint AS audio_ms,
           count(DISTINCT block) AS blocks, min(block) AS block, max(model) AS model, max(voice) AS voice,
           max(key_id) AS key_id, coalesce(sum(audio_ms) FILTER (WHERE cached), 0)::bigint AS cached_ms
    FROM entries
    WHERE tenant = $1 AND stream = heads.stream
          AND (id = heads.id OR heads.kind IN ('use', 'late') AND kind IN ('use', 'late'))
) AS sums LEFT JOIN grants ON heads.stream = 'grant' AND grants.id = sums.block AND grants.tenant = $1
ORDER BY heads.id DESC
"""


class Span(NamedTuple):
    """Days, both included."""

    first: date
    last: date

    @classmethod
    def of(cls, first: date | None, last: date | None, today: date) -> Span:
        """Return what was asked for, or the last days. Raises `BadRequest` for what is upside down or too long."""
        last = last or max(today, first or today)
        first = first or date.fromordinal(max(1, last.toordinal() - DAYS + 1))
        if not first <= last:
            raise BadRequest(problem="from is later than to")
        if (last - first).days >= DAYS_MAX:
            raise BadRequest(problem=f"from and to are more than {DAYS_MAX} days apart")
        return cls(first, last)


class Line(NamedTuple):
    """What was used of, by or on something. `label` is a key's."""

    name: str
    label: str
    requests: int
    audio_ms: int
    charged_ms: int
    cached_ms: int


class Transaction(NamedTuple):
    """A stream that was spoken, or one change of the balance. `ms` is taken from the balance, below 0 given to it.

    `note` says what the grant was given for.
    """

    id: int
    kind: str
    stream: str
    begins: datetime
    ends: datetime
    ms: int
    audio_ms: int
    cached_ms: int
    blocks: int
    grant: str
    model: str
    voice: str
    key: str
    note: str


async def usage(store: Store, by: By, span: Span, tenant: str = "") -> list[Line]:
    """Return sums over `span`, days in their order, all else by how much; of one tenant, or of all."""
    rows = await store.fetch(SUMS, by, tenant, span.first, span.last, LINES_MAX)
    names = [row["name"] for row in rows]
    labels = {row["id"]: row["label"] for row in await store.fetch(LABELS, names, tenant)} if by == "key" else {}
    return [_line(row, labels.get(row["name"], "")) for row in rows]


async def total(store: Store, span: Span, tenant: str = "") -> Line:
    """Return the sum over everything."""
    row = await store.fetchrow(TOTAL, tenant, span.first, span.last)
    assert row is not None
    return _line(row, "")


async def transactions(store: Store, tenant: str, before: int | None = None, limit: int = 50) -> list[Transaction]:
    """Return at most `limit` transactions of a tenant, the latest first, before the one of the id `before`."""
    rows = await store.fetch(TRANSACTIONS, tenant, ID_MAX if before is None else before, min(limit, PAGE_MAX))
    return [_transaction(row) for row in rows]


def as_csv(by: By, lines: Sequence[Line]) -> str:
    """Return lines as a table for spreadsheets, which run nothing of it."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([by, *Line._fields[1:]])
    for line in lines:
        writer.writerow([_harmless(each) for each in line])
    return out.getvalue()


def _line(row: Mapping[str, Any], label: str) -> Line:
    return Line(row["name"], label, row["requests"], row["audio_ms"], row["charged_ms"], row["cached_ms"])


def _transaction(row: Mapping[str, Any]) -> Transaction:
    of_grant = row["stream"] == "grant"
    return Transaction(
        row["id"],
        row["kind"],
        "" if of_grant else row["stream"],
        row["begins"],
        row["ends"],
        row["ms"],
        row["audio_ms"],
        row["cached_ms"],
        0 if of_grant else row["blocks"],
        row["block"] if of_grant else "",
        row["model"],
        row["voice"],
        row["key_id"],
        row["note"],
    )


def _harmless(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
