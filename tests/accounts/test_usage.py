"""Sums and transactions follow from the entries, whatever wrote them in how many statements."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import pytest

from voicewire.accounts.usage import Line, Span, as_csv, total, transactions, usage
from voicewire.errors import BadRequest
from voicewire.storage.store import Store

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPAN = Span(date(2026, 2, 1), date(2026, 4, 1))
ADD = (
    "INSERT INTO entries (tenant, stream, block, post, kind, ms, audio_ms, cached, model, voice, key_id, at)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
)
MANY = (
    "INSERT INTO entries (tenant, stream, block, post, kind, ms, audio_ms, cached, model, voice, key_id, at)"
    " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::bigint[], $7::bigint[],"
    " $8::bool[], $9::text[], $10::text[], $11::text[], $12::timestamptz[])"
)


class Entry(NamedTuple):
    tenant: str = "home"
    stream: str = "s1"
    block: str = "0"
    post: int = 0
    kind: str = "use"
    ms: int = 1_000
    audio_ms: int = 1_000
    cached: bool = False
    model: str = "tone"
    voice: str = "a"
    key: str = "k1"
    at: datetime = DAY


async def _write(store: Store, *entries: Entry) -> None:
    for entry in entries:
        await store.execute(ADD, *entry)


async def test_sums_by_everything(store: Store) -> None:
    await store.execute(
        "INSERT INTO keys (id, tenant, hash, environment, label, scopes)"
        " VALUES ('k1', 'home', '', 'live', 'mine', '{}')"
    )
    late = DAY + timedelta(days=1)
    await _write(
        store,
        Entry(),
        Entry(block="1", cached=True, ms=500),
        Entry(stream="s2", voice="b", key="k2", at=late),
        Entry(stream="s2", voice="b", key="k2", at=late, post=1, kind="refund", ms=-400, audio_ms=-400),
        Entry(tenant="other", stream="s1"),
        Entry(stream="grant", block="plan:home:2026-03-01", kind="grant", ms=-600_000, audio_ms=0),
    )
    assert await usage(store, "day", SPAN, "home") == [
        Line("2026-03-01", "", 1, 2_000, 1_500, 1_000),
        Line("2026-03-02", "", 1, 600, 600, 0),
    ]
    assert await usage(store, "key", SPAN, "home") == [
        Line("k1", "mine", 1, 2_000, 1_500, 1_000),
        Line("k2", "", 1, 600, 600, 0),
    ]
    assert [line.name for line in await usage(store, "voice", SPAN, "home")] == ["a", "b"]
    assert await usage(store, "model", SPAN, "home") == [Line("tone", "", 2, 2_600, 2_100, 1_000)]
    assert [(line.name, line.requests) for line in await usage(store, "tenant", SPAN)] == [("home", 2), ("other", 1)]
    assert await total(store, SPAN, "home") == Line("", "", 2, 2_600, 2_100, 1_000)
    assert await total(store, Span(date(2026, 3, 2), date(2026, 3, 2)), "home") == Line("", "", 1, 600, 600, 0)
    assert await usage(store, "day", SPAN, "nobody") == []


async def test_days_are_those_of_utc(store: Store) -> None:
    await _write(store, Entry(at=datetime.fromisoformat("2026-03-01T23:30:00-05:00")))
    assert [line.name for line in await usage(store, "day", SPAN, "home")] == ["2026-03-02"]


async def test_an_entry_that_comes_again_counts_once(store: Store) -> None:
    again = ADD + " ON CONFLICT DO NOTHING"
    for _ in range(3):
        await store.execute(again, *Entry())
    assert await total(store, SPAN, "home") == Line("", "", 1, 1_000, 1_000, 0)


def _some(rng: random.Random) -> list[Entry]:
    return [
        Entry(
            stream=rng.choice(["s1", "s2", "s3"]),
            block=str(number),
            kind=rng.choice(["use", "late", "refund"]),
            ms=rng.randint(-100, 1_000),
            audio_ms=rng.randint(0, 1_000),
            cached=rng.random() < 0.5,
            voice=rng.choice("ab"),
            at=DAY + timedelta(days=rng.randint(0, 3)),
        )
        for number in range(rng.randint(0, 30))
    ]


@pytest.mark.parametrize("seed", range(5))
async def test_sums_do_not_depend_on_how_entries_were_written(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    written = _some(rng)
    edges = [0, *sorted(rng.sample(range(len(written) + 1), min(3, len(written)))), len(written)]
    for start, stop in itertools.pairwise(edges):  # many rows in one statement, as the flusher writes them
        await store.execute(MANY, *map(list, zip(*written[start:stop], strict=True) if start < stop else [[]] * 12))
    found = await total(store, SPAN, "home")
    assert found.audio_ms == sum(entry.audio_ms for entry in written)
    assert found.charged_ms == sum(entry.ms for entry in written)
    assert found.cached_ms == sum(entry.audio_ms for entry in written if entry.cached)
    assert found.requests == len({entry.stream for entry in written})
    spoken = [each for each in await transactions(store, "home", limit=100) if each.kind == "use"]
    uses = [entry for entry in written if entry.kind != "refund"]
    assert {each.stream for each in spoken} == {entry.stream for entry in uses}
    assert sum(each.ms for each in spoken) == sum(entry.ms for entry in uses)


async def test_transactions_are_streams_and_changes(store: Store) -> None:
    await _write(
        store,
        Entry(stream="grant", block="plan:home:2026-03-01", kind="grant", ms=-600_000, audio_ms=0, key=""),
        Entry(),
        Entry(stream="s2"),
        Entry(block="1", kind="late", ms=500, audio_ms=500, at=DAY + timedelta(seconds=9)),
        Entry(block="1", post=1, kind="refund", ms=-200, audio_ms=-200),
        Entry(tenant="other", stream="s9"),
    )
    found = await transactions(store, "home")
    assert [(each.kind, each.stream, each.grant, each.ms, each.blocks) for each in found] == [
        ("refund", "s1", "", -200, 1),
        ("use", "s1", "", 1_500, 2),
        ("use", "s2", "", 1_000, 1),
        ("grant", "", "plan:home:2026-03-01", -600_000, 0),
    ]
    assert (found[1].begins, found[1].ends) == (DAY, DAY + timedelta(seconds=9))


async def test_a_change_says_what_its_grant_was_given_for(store: Store) -> None:
    for id, tenant, note in (
        ("admin:home:a", "home", "a fault"),
        ("admin:o:b", "other", "theirs"),
        ("s1", "home", "?"),
    ):
        await store.execute("INSERT INTO tenants (id, name) VALUES ($1, $1) ON CONFLICT DO NOTHING", tenant)
        row = "INSERT INTO grants (id, tenant, kind, ms, left_ms, note) VALUES ($1, $2, 'admin', 1, 0, $3)"
        await store.execute(row, id, tenant, note)
    await _write(
        store,
        Entry(stream="grant", block="admin:home:a", kind="grant", ms=-1, audio_ms=0),
        Entry(stream="grant", block="admin:home:a", post=1, kind="lapse", ms=1, audio_ms=0),
        Entry(stream="grant", block="admin:o:b", kind="grant", ms=-1, audio_ms=0),  # of another tenant, as nothing is
        Entry(stream="a", block="s1"),
    )
    found = await transactions(store, "home")
    assert [(each.kind, each.note) for each in found] == [
        ("use", ""),
        ("grant", ""),
        ("lapse", "a fault"),
        ("grant", "a fault"),
    ]


async def test_pages_of_transactions_lose_and_repeat_nothing(store: Store) -> None:
    for number in range(30):
        await _write(store, Entry(stream=f"s{number % 7}", block=str(number)))
    seen: list[str] = []
    before: int | None = None
    while page := await transactions(store, "home", before, 3):
        seen += [each.stream for each in page]
        before = page[-1].id
    assert sorted(seen) == [f"s{number}" for number in range(7)]


def test_spans() -> None:
    today = date(2026, 3, 31)
    assert Span.of(None, None, today) == (date(2026, 3, 2), today)
    assert Span.of(date(2026, 1, 1), None, today) == (date(2026, 1, 1), today)
    for first, last in ((today, date(2026, 1, 1)), (date(2020, 1, 1), today)):
        with pytest.raises(BadRequest):
            Span.of(first, last, today)


def test_a_table_runs_nothing() -> None:
    text = as_csv("key", [Line('=cmd|" /c calc"', "+1", 1, -2, 3, 4)])
    assert text.splitlines()[0] == "key,label,requests,audio_ms,charged_ms,cached_ms"
    assert text.splitlines()[1] == '"\'=cmd|"" /c calc""",\'+1,1,-2,3,4'
