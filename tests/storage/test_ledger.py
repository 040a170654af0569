"""The ledger as a gateway uses it, on a real Redis and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from unittest.mock import AsyncMock, patch

import msgspec
import pytest
from redis.asyncio import Redis

from voicewire.accounts.grants import Grant, give
from voicewire.errors import Busy
from voicewire.storage import facts, reconcile
from voicewire.storage.ledger import AGAIN_S, Item, Ledger, Reserved
from voicewire.storage.ledger_script import Answer
from voicewire.storage.ledger_service import LedgerService
from voicewire.storage.life import Life, View
from voicewire.storage.redis import open_redis
from voicewire.storage.store import Store

TENANT = "t_1"
GRANT_MS = 60_000


@pytest.fixture
async def service(redis_url: str, store: Store) -> AsyncIterator[LedgerService]:
    client = open_redis(redis_url)
    service = LedgerService(client, store)
    await store.execute("INSERT INTO tenants (id, name) VALUES ($1, '')", TENANT)
    await service.start()
    yield service
    await service.close()
    await client.aclose()


@pytest.fixture
async def ledger(service: LedgerService, store: Store) -> Ledger:
    """A ledger whose tenant has a minute."""
    await endow(service, store, "main", GRANT_MS)
    return service.ledger


async def endow(service: LedgerService, store: Store, id: str, ms: int, expires_s: float | None = None) -> None:
    now = datetime.now(UTC)
    expires = None if expires_s is None else now + timedelta(seconds=expires_s)
    async with store.transaction() as session:
        await give(session, Grant.new(id, TENANT, "admin", ms, expires, now))
    await service.ledger.grant(id)


def item(block: int = 0, stream: str = "s", *, cached: bool = False) -> Item:
    return Item(TENANT, stream, block, "kokoro", "heart", "k_1", cached)


async def entries(store: Store) -> list[tuple[str, int, int]]:
    rows = await store.fetch("SELECT kind, post, ms FROM entries WHERE stream <> 'grant' ORDER BY id")
    return [(row["kind"], row["post"], row["ms"]) for row in rows]


async def balances(store: Store) -> dict[str, int]:
    rows = await store.fetch("SELECT account, ms FROM balances WHERE ms <> 0")
    return {row["account"]: row["ms"] for row in rows}


async def test_a_block_is_held_and_billed_and_its_repeats_change_nothing(
    service: LedgerService, ledger: Ledger, store: Store
) -> None:
    for _ in range(2):
        assert await ledger.reserve(item(), 6_000, 4_000, metered=True) == Reserved(True, 6_000, GRANT_MS)
    await ledger.touch([(item(), 1_000, 1_000)])
    for _ in range(2):
        assert await ledger.settle(item(), 5_000, 5_000) == 55_000
    for _ in range(2):
        assert await ledger.amend(item(), 4_000, 4_000) == 56_000
    assert await ledger.settle(item(), 5_000, 5_000) == 56_000
    await service.flush()
    assert await entries(store) == [("use", 0, 5_000), ("refund", 1, -1_000)]
    assert await balances(store) == {"grant:main": 56_000, "usage": 4_000, "issued": -GRANT_MS}
    assert await store.fetchval("SELECT left_ms FROM grants WHERE id = 'main'") == 56_000


async def test_a_parked_block_goes_on_and_only_the_rest_is_billed(
    service: LedgerService, ledger: Ledger, store: Store
) -> None:
    await ledger.reserve(item(), 6_000, 4_000, metered=True)
    assert await ledger.park(item(), 1_500, 1_500) == 58_500
    assert (await ledger.reserve(item(), 6_000, 4_000, metered=True)).hold_ms == 4_500
    assert await ledger.settle(item(), 5_000, 5_000) == 55_000
    await service.flush()
    assert await entries(store) == [("use", 0, 1_500), ("late", 1, 3_500)]


async def test_what_is_left_is_held_where_it_is_enough_and_refused_where_not(ledger: Ledger) -> None:
    assert await ledger.reserve(item(0), 50_000, 50_000, metered=True) == Reserved(True, 50_000, GRANT_MS)
    assert await ledger.reserve(item(1), 15_000, 10_001, metered=True) == Reserved(False, 0, GRANT_MS)
    assert await ledger.reserve(item(1), 15_000, 10_000, metered=True) == Reserved(True, 10_000, GRANT_MS)
    assert await ledger.reserve(item(2), 0, 0, metered=True) == Reserved(True, 0, GRANT_MS)  # what is free, is


async def test_grants_are_burnt_in_the_order_in_which_they_end(
    service: LedgerService, ledger: Ledger, store: Store
) -> None:
    await endow(service, store, "later", 1_000, 3_600)
    await endow(service, store, "sooner", 1_000, 1_800)
    await ledger.settle(item(), 1_500, 1_500)
    await service.flush()
    assert await balances(store) | {"usage": 0, "issued": 0} == {
        "grant:main": GRANT_MS,
        "grant:later": 500,
        "usage": 0,
        "issued": 0,
    }


async def test_a_grant_lapses_at_its_time_and_a_debt_is_paid_by_the_next(service: LedgerService, store: Store) -> None:
    ledger = service.ledger
    await endow(service, store, "short", 1_000, 0.2)
    await ledger.settle(item(0), 400, 400)
    await asyncio.sleep(0.25)
    assert await ledger.settle(item(1), 700, 700) == 0
    await endow(service, store, "next", 5_000)
    assert await ledger.left(TENANT) == 4_300
    await service.flush()
    found = await balances(store)
    assert (found["lapsed"], found["usage"], found["grant:next"]) == (600, 1_100, 4_300)
    assert f"overdraft:{TENANT}" not in found
    assert await service.reconcile() == []


async def test_grants_of_those_who_do_nothing_lapse_too(service: LedgerService, store: Store) -> None:
    await endow(service, store, "short", 1_000, 0.05)
    await asyncio.sleep(0.1)
    await service.lapse()
    await service.flush()
    assert (await balances(store))["lapsed"] == 1_000


async def test_who_is_not_metered_speaks_for_nothing_and_is_recorded(service: LedgerService, store: Store) -> None:
    ledger = service.ledger
    assert await ledger.reserve(item(), 6_000, 4_000, metered=False) == Reserved(True, 6_000, None)
    assert await ledger.settle(item(), 5_000, 5_000) is None
    await service.flush()
    assert await balances(store) == {f"open:{TENANT}": -5_000, "usage": 5_000}


async def test_sound_that_costs_nothing_is_recorded(service: LedgerService, ledger: Ledger, store: Store) -> None:
    await ledger.settle(item(cached=True), 0, 3_000)
    await service.flush()
    row = await store.fetchrow("SELECT ms, audio_ms, cached, model, voice, key_id FROM entries WHERE stream = 's'")
    assert row is not None
    assert tuple(row.values()) == (0, 3_000, True, "kokoro", "heart", "k_1")


async def test_a_hold_that_nobody_renews_is_freed_and_billed_as_told(redis_url: str, store: Store) -> None:
    client = open_redis(redis_url)
    service = LedgerService(client, store, lease_ms=50)
    await store.execute("INSERT INTO tenants (id, name) VALUES ($1, '')", TENANT)
    await service.start()
    await endow(service, store, "main", GRANT_MS)
    await service.ledger.reserve(item(stream="a|b"), 6_000, 4_000, metered=True)
    await service.ledger.touch([(item(stream="a|b"), 700, 700)])
    await asyncio.sleep(0.1)
    assert await service.sweep() == 1
    assert await service.ledger.reserve(item(1), GRANT_MS, GRANT_MS - 700, metered=True)
    assert await service.ledger.settle(item(stream="a|b"), 900, 900) == GRANT_MS - 900
    await service.flush()
    assert await entries(store) == [("use", 0, 700), ("late", 1, 200)]
    await service.close()
    await client.aclose()


async def test_many_streams_cannot_outspend_the_balance(service: LedgerService, ledger: Ledger, store: Store) -> None:
    """64 streams on a minute: it is spent, and beyond it only what running blocks took more than they held."""
    over = 0

    async def stream(nth: int) -> None:
        nonlocal over
        dice, block = random.Random(nth), 0
        while (held := await ledger.reserve(item(block, f"s{nth}"), 3_000, 2_000, metered=True)).ok:
            await asyncio.sleep(0)
            ms = dice.randint(500, 3_500)
            over += max(0, ms - held.hold_ms)
            await ledger.settle(item(block, f"s{nth}"), ms, ms)
            block += 1

    await asyncio.gather(*map(stream, range(64)))
    await service.flush()
    spent = (await balances(store))["usage"]
    assert GRANT_MS - 2_000 < spent <= GRANT_MS + over
    assert over <= 64 * 1_500
    assert await service.reconcile() == []


async def test_a_grant_counts_once_and_the_sweep_finds_those_that_were_not_told(
    service: LedgerService, store: Store
) -> None:
    now = datetime.now(UTC)
    async with store.transaction() as session:
        await give(session, Grant.new("g", TENANT, "admin", 5_000, None, now))
    await service.apply_grants()
    for _ in range(2):
        await service.ledger.grant("g")
    await service.ledger.grant("unknown")
    assert await service.ledger.left(TENANT) == 5_000
    assert await store.fetchval("SELECT applied FROM grants WHERE id = 'g'") is not None


async def test_a_grant_is_taken_back_once_as_far_as_it_is_left(
    service: LedgerService, ledger: Ledger, store: Store, redis: Redis
) -> None:
    await ledger.settle(item(), 10_000, 10_000)
    assert await ledger.reverse("main", 20_000) == 20_000
    assert await ledger.reverse("main") == 20_000
    assert await ledger.left(TENANT) == 30_000
    await service.flush()
    await redis.flushdb()
    await service.start()
    assert await ledger.reverse("main") == 20_000  # also by a Redis that was not there
    assert await ledger.reverse("unknown") == 0
    await service.flush()
    assert (await balances(store))["reversed"] == 20_000
    assert await service.reconcile() == []


async def test_a_redis_that_was_emptied_is_told_again(
    service: LedgerService, ledger: Ledger, store: Store, redis: Redis
) -> None:
    await ledger.reserve(item(0), 6_000, 4_000, metered=True)
    await ledger.settle(item(0), 1_000, 1_000)
    await service.flush()
    await ledger.settle(item(1), 2_000, 2_000)  # not carried to PostgreSQL yet
    await ledger.reserve(item(2), 6_000, 4_000, metered=True)
    await redis.flushdb()
    assert await ledger.settle(item(3), 3_000, 3_000) is None  # in no epoch
    await service.start()
    assert await ledger.settle(item(0), 1_000, 1_000) == GRANT_MS - 6_000
    await ledger.touch([(item(2), 500, 500)])
    assert await redis.hget(ledger.keys.account(TENANT), "held") == b"6000"  # the hold is taken again
    await ledger.settle(item(2), 600, 600)
    await service.flush()
    await service.start()
    assert len(ledger.facts) == 0
    assert sorted(await entries(store)) == [("use", 0, 600), ("use", 0, 1_000), ("use", 0, 2_000), ("use", 0, 3_000)]
    assert await service.reconcile() == []


async def test_what_was_not_made_known_is_looked_up(redis_url: str, store: Store, redis: Redis) -> None:
    """A bill from long before a restart of Redis, of which the next word comes after it."""
    client = open_redis(redis_url)
    service = LedgerService(client, store, restored_s=0)
    await store.execute("INSERT INTO tenants (id, name) VALUES ($1, '')", TENANT)
    await service.start()
    await endow(service, store, "main", GRANT_MS)
    for block in range(3):
        await service.ledger.reserve(item(block), 6_000, 4_000, metered=True)
    await service.ledger.settle(item(0), 1_000, 1_000)
    await service.ledger.park(item(1), 1_000, 1_000)
    await service.flush()
    await redis.flushdb()
    await service.start()
    assert await service.ledger.amend(item(0), 400, 400) == GRANT_MS - 1_400
    assert await service.ledger.settle(item(1), 1_500, 1_500) == GRANT_MS - 1_900
    assert await service.ledger.settle(item(2), 2_000, 2_000) == GRANT_MS - 3_900
    await service.flush()
    late = [("refund", 1, -600), ("late", 1, 500), ("use", 0, 2_000)]
    assert await entries(store) == [("use", 0, 1_000), ("use", 0, 1_000), *late]
    assert await service.reconcile() == []
    await service.close()
    await client.aclose()


async def test_nothing_is_done_behind_a_fence(service: LedgerService, ledger: Ledger, redis: Redis) -> None:
    await redis.hset(ledger.keys.meta, "epoch", "fence-of-another")
    assert await ledger.settle(item(), 1_000, 1_000) is None
    assert ledger.calls.life is None
    await service.start()
    assert await ledger.left(TENANT) == GRANT_MS - 1_000


async def test_two_gateways_recover_once(service: LedgerService, redis_url: str, store: Store, redis: Redis) -> None:
    client = open_redis(redis_url)
    other = LedgerService(client, store)
    await redis.flushdb()
    await asyncio.gather(service.start(), other.start())
    assert service.ledger.calls.life == other.ledger.calls.life
    assert await store.fetchval("SELECT epoch FROM epochs") == 2
    await other.close()
    await client.aclose()


async def test_without_redis_the_metered_wait_and_the_others_speak(store: Store) -> None:
    client = open_redis("redis://127.0.0.1:1")
    ledger = Ledger(client, store)
    with pytest.raises(Busy):
        await ledger.reserve(item(), 6_000, 4_000, metered=True)
    with pytest.raises(Busy):
        await ledger.left(TENANT)
    assert await ledger.reserve(item(), 6_000, 4_000, metered=False) == Reserved(True, 6_000, None)
    assert await ledger.settle(item(), 5_000, 5_000) is None
    assert len(ledger.facts) == 1
    await client.aclose()


async def test_who_has_too_much_to_say_takes_no_more_on(ledger: Ledger) -> None:
    with patch.object(facts, "FACTS_MAX", 3):
        for block in range(3):
            await ledger.settle(item(block), 1, 1)
        with pytest.raises(Busy):
            await ledger.reserve(item(9), 1, 1, metered=False)


async def test_nothing_is_sold_while_nothing_is_recorded_for_an_hour(ledger: Ledger) -> None:
    ledger.observe(View("r", 1, "r", 7, 7, (1, 1), int((time.time() - 3_700) * 1000)), time.time())
    with pytest.raises(Busy):
        await ledger.reserve(item(), 1, 1, metered=True)
    assert (await ledger.reserve(item(), 1, 1, metered=False)).ok


async def test_a_gap_in_the_outbox_is_counted(service: LedgerService, ledger: Ledger, redis: Redis) -> None:
    for block in range(3):
        await ledger.settle(item(block), 1_000, 1_000)
    life = ledger.calls.life
    assert life is not None
    await redis.xdel(ledger.keys.outbox, f"{life.epoch}-2")
    await service.flush()
    assert service.counters().gaps == 1


@pytest.mark.parametrize(
    ("what", "sql"),
    [
        ("balance", "UPDATE balances SET ms = ms + 1 WHERE account = 'usage'"),
        ("sum", "UPDATE balances SET ms = ms + 1 WHERE account = 'usage'"),
        ("grant", "UPDATE grants SET left_ms = left_ms - 1"),
        ("account", "UPDATE grants SET left_ms = left_ms - 1"),
        ("entry", "DELETE FROM postings WHERE account = 'usage'"),
        ("balance", "DELETE FROM postings WHERE account = 'usage'"),
    ],
)
async def test_a_difference_in_postgres_is_found(
    service: LedgerService, ledger: Ledger, store: Store, what: str, sql: str
) -> None:
    await ledger.settle(item(), 1_000, 1_000)
    assert await service.reconcile() == []
    await store.execute(sql)
    with patch.object(reconcile, "PAUSE_S", 0):
        assert what in {drift.what for drift in await service.reconcile()}
    assert service.counters().drifts


async def test_a_difference_in_redis_is_found(service: LedgerService, ledger: Ledger, redis: Redis) -> None:
    await ledger.reserve(item(), 1_000, 1_000, metered=True)
    account = ledger.keys.account(TENANT)
    packed = msgspec.msgpack.encode([["main", (1 << 53) - 1, GRANT_MS - 1]])
    await redis.hset(account, mapping={"grants": packed, "held": 999})
    with patch.object(reconcile, "PAUSE_S", 0):
        drifts = {drift.what: (drift.expected, drift.found) for drift in await service.reconcile()}
    assert drifts == {"account": (GRANT_MS, GRANT_MS - 1), "held": (1_000, 999)}


async def test_an_entry_that_is_gone_is_found(service: LedgerService, ledger: Ledger, store: Store) -> None:
    """One that PostgreSQL is said to have, and does not."""
    await ledger.settle(item(), 1_000, 1_000)
    await store.execute("UPDATE epochs SET seq = seq - 1")
    await service.flush()
    await store.execute("UPDATE epochs SET seq = seq - 1")
    with patch.object(reconcile, "PAUSE_S", 0):
        assert "entries" in {drift.what for drift in await service.reconcile()}


async def test_what_redis_cannot_do_is_said_and_not_each_time(
    redis_url: str, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    client, now = open_redis(redis_url), 0.0
    ledger = Ledger(client, store, clock=lambda: now)
    await ledger.calls.open(Life("run", 1))
    refused = Answer("ERROR", None, "MISCONF the disk is full", 0)
    with patch.object(ledger.calls, "do", AsyncMock(return_value=refused)):
        for said in (1, 1, 2):
            with pytest.raises(Busy):
                await ledger.left(TENANT)
            assert caplog.text.count("MISCONF the disk is full") == said
            now += AGAIN_S / 2
    await client.aclose()
