"""The store, on a real PostgreSQL: what values become, what errors become, and what is waited for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from voicewire.errors import BadRequest, Busy
from voicewire.storage import store as module
from voicewire.storage.store import FOREVER, Conflict, Store, Unreachable


async def test_rows_are_read_by_name(store: Store) -> None:
    rows = await store.fetch("SELECT id, name FROM tenants WHERE id = $1", "home")
    assert [(row["id"], row["name"]) for row in rows] == [("home", "This server")]
    assert await store.fetchrow("SELECT 1 WHERE false") is None
    assert await store.fetchval("SELECT count(*) FROM plans WHERE id = ANY($1)", ["free", "pro", "none"]) == 2


async def test_statements_say_what_they_changed(store: Store) -> None:
    assert await store.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", "t_1", "one") == "INSERT 0 1"
    await store.executemany("INSERT INTO tenants (id, name) VALUES ($1, $2)", [("t_2", "two"), ("t_3", "three")])
    assert await store.execute("DELETE FROM tenants WHERE id LIKE 't_%'") == "DELETE 3"


async def test_json_goes_in_and_comes_out_as_values(store: Store) -> None:
    value = {"a": [1, None, "ü\u2028"], "b": {"c": True}}
    await store.execute(
        "INSERT INTO audit (tenant, actor, action, details) VALUES ('home', 'operator', 'x', $1)", value
    )
    assert await store.fetchval("SELECT details FROM audit") == value
    assert await store.fetchval("SELECT details->'b'->>'c' FROM audit") == "true"


@pytest.mark.parametrize(("name", "details"), [("a\0", {}), ("", {"a": "\0"}), ("\ud800", {})])
async def test_a_character_that_cannot_be_kept_is_the_callers_mistake(store: Store, name: str, details: object) -> None:
    with pytest.raises(BadRequest, match="cannot be kept"):
        await store.execute("INSERT INTO audit (tenant, actor, action, details) VALUES ('', '', $1, $2)", name, details)


@pytest.mark.parametrize("value", [1 << 63, -(1 << 63) - 1])
async def test_a_number_out_of_bounds_is_the_callers_mistake(store: Store, value: int) -> None:
    with pytest.raises(BadRequest, match="cannot be kept"):
        await store.fetchval("SELECT $1::bigint", value)
    with pytest.raises(BadRequest, match="cannot be kept"):
        await store.fetchval("SELECT ($1::numeric * 1)::bigint", Decimal(value))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
async def test_what_is_no_json_is_refused(store: Store, value: float) -> None:
    with pytest.raises(Exception, match="JSON"):
        await store.fetchval("SELECT $1::jsonb", value)


async def test_times_are_in_utc_to_the_microsecond_whatever_zone_they_come_in(store: Store) -> None:
    local = datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=-11)))
    got = await store.fetchval("SELECT $1::timestamptz", local)
    assert got == local
    assert got.tzinfo is UTC
    assert await store.fetchval("SELECT date_trunc('day', $1::timestamptz)", local) == datetime(2024, 3, 1, tzinfo=UTC)
    before = datetime(1969, 12, 31, 23, 59, tzinfo=UTC)
    assert await store.fetchval("SELECT $1::timestamptz", before) == before


async def test_infinity_is_a_time_that_compares_and_goes_back(store: Store) -> None:
    end = await store.fetchval("SELECT period_end FROM subscriptions WHERE tenant = 'home'")
    assert end == FOREVER > datetime.now(UTC)
    assert await store.fetchval("SELECT $1::timestamptz = 'infinity'", end) is True


async def test_a_time_without_its_zone_is_refused(store: Store) -> None:
    with pytest.raises(Exception, match="without its zone"):
        await store.fetchval("SELECT $1::timestamptz", datetime(2024, 1, 1))


async def test_what_is_to_be_unique_conflicts_by_the_name_of_its_rule(store: Store) -> None:
    with pytest.raises(Conflict) as caught:
        await store.execute("INSERT INTO tenants (id, name) VALUES ('home', 'again')")
    assert (caught.value.constraint, caught.value.row.status) == ("tenants_pkey", 409)


async def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    async def add_twice() -> None:
        async with store.transaction() as change:
            await change.execute("INSERT INTO tenants (id, name) VALUES ('t_1', 'one')")
            await change.execute("INSERT INTO tenants (id, name) VALUES ('t_1', 'again')")

    with pytest.raises(Conflict):
        await add_twice()
    assert await store.fetchval("SELECT count(*) FROM tenants") == 1
    async with store.transaction() as change:
        await change.execute("INSERT INTO tenants (id, name) VALUES ('t_1', 'one')")
        assert await change.fetchval("SELECT count(*) FROM tenants") == 2
    assert await store.fetchval("SELECT count(*) FROM tenants") == 2


async def test_a_transaction_that_is_cancelled_leaves_nothing_behind(store: Store) -> None:
    begun = asyncio.Event()

    async def change() -> None:
        async with store.transaction() as session:
            await session.execute("INSERT INTO tenants (id, name) VALUES ('t_1', 'one')")
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(change())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.fetchval("SELECT count(*) FROM tenants") == 1


async def test_a_lock_lets_one_transaction_in_at_a_time(store: Store) -> None:
    inside, seen = 0, []

    async def enter() -> None:
        nonlocal inside
        async with store.transaction() as session:
            await session.lock("a door")
            inside += 1
            seen.append(inside)
            await session.fetchval("SELECT pg_sleep(0.01)")
            inside -= 1

    await asyncio.gather(*(enter() for _ in range(5)))
    assert seen == [1] * 5


async def test_a_deadlock_is_busy_for_one_and_done_for_the_other(store: Store) -> None:
    both = asyncio.Barrier(2)

    async def cross(first: str, second: str) -> str:
        try:
            async with store.transaction() as session:
                await session.lock(first)
                await both.wait()
                await session.lock(second)
        except Busy:
            return "busy"
        return "done"

    assert sorted(await asyncio.gather(cross("a", "b"), cross("b", "a"))) == ["busy", "done"]


async def test_a_connection_that_the_server_ends_is_busy_once_and_then_made_anew(store: Store) -> None:
    with pytest.raises(Busy) as caught:
        await store.fetchval("SELECT pg_terminate_backend(pg_backend_pid())")
    assert caught.value.retry_after_ms == 1_000
    assert await store.fetchval("SELECT 1") == 1


async def test_a_transaction_whose_connection_ends_is_busy(store: Store) -> None:
    async def lose() -> None:
        async with store.transaction() as session:
            pid = await session.fetchval("SELECT pg_backend_pid()")
            await store.execute("SELECT pg_terminate_backend($1)", pid)
            await session.execute("INSERT INTO tenants (id, name) VALUES ('t_1', 'one')")

    with pytest.raises(Busy):
        await lose()
    assert await store.fetchval("SELECT count(*) FROM tenants") == 1


async def test_what_takes_too_long_is_busy_and_the_connection_is_of_use_again(store: Store) -> None:
    with pytest.raises(Busy):
        async with store.transaction(timeout_s=0.05) as session:
            await session.fetchval("SELECT pg_sleep(30)")
    assert await store.fetchval("SELECT 1") == 1


async def test_connections_are_bounded_and_who_waits_too_long_is_told_busy(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECT_S", 0.2)
    store = await Store(postgres_url, connections_max=1).open()
    async with store.transaction():
        with pytest.raises(Busy):
            await store.fetchval("SELECT 1")
    assert await store.fetchval("SELECT 1") == 1
    await store.close()


@pytest.mark.parametrize("place", ["/nowhere?host=/nowhere", "127.0.0.1:9/nowhere"])
async def test_a_server_that_is_away_is_busy_with_a_reason_and_opening_does_not_mind(place: str) -> None:
    store = await Store(f"postgresql://voicewire:hunter2@{place}").open()
    with pytest.raises(Unreachable) as caught:
        await store.fetchval("SELECT 1")
    assert caught.value.reason
    assert "hunter2" not in caught.value.reason
    await store.close()


async def test_a_database_that_is_not_there_is_said(postgres_url: str) -> None:
    store = await Store(postgres_url.replace("voicewire_test", "voicewire_absent")).open()
    with pytest.raises(Unreachable) as caught:
        await store.fetchval("SELECT 1")
    assert "does not exist" in caught.value.reason
    await store.close()


async def test_a_mistake_of_ours_is_not_called_busy(store: Store) -> None:
    with pytest.raises(Exception, match="syntax error") as caught:
        await store.fetchval("SELEKT 1")
    assert not isinstance(caught.value, Busy)


async def test_closing_twice_does_nothing(store: Store) -> None:
    await store.close()
    await store.close()
