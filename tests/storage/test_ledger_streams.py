"""A stream that is begun again, long after: what was billed of it is not billed anew, and what was told outlives us."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from redis.asyncio import Redis

from voicewire.accounts.grants import Grant, give
from voicewire.errors import Busy
from voicewire.storage import ledger as ledger_module
from voicewire.storage.ledger import Item, Ledger
from voicewire.storage.ledger_service import LedgerService
from voicewire.storage.redis import open_redis
from voicewire.storage.store import Store

TENANT, STREAM = "t_1", "j_1.0.0"
GRANT_MS = 60_000


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def service(redis: Redis, store: Store) -> AsyncIterator[LedgerService]:
    service = LedgerService(redis, store)
    await store.execute("INSERT INTO tenants (id, name) VALUES ($1, '')", TENANT)
    await service.start()
    async with store.transaction() as session:
        await give(session, Grant.new("main", TENANT, "admin", GRANT_MS, None, datetime.now(UTC)))
    await service.ledger.grant("main")
    yield service
    await service.close()


def item(block: int) -> Item:
    return Item(TENANT, STREAM, block, "kokoro", "heart", "k_1")


async def speak(ledger: Ledger, *, last: str) -> None:
    """Two blocks, of which the second is told as `last`."""
    await ledger.reserve(item(0), 6_000, 4_000, metered=True)
    await ledger.settle(item(0), 5_000, 5_000)
    await ledger.reserve(item(1), 6_000, 4_000, metered=True)
    await getattr(ledger, last)(item(1), 1_500, 1_500)


async def forget(redis: Redis, ledger: Ledger) -> None:
    """An hour later, in another gateway."""
    assert await redis.delete(ledger.keys.stream(TENANT, STREAM)) == 1


@pytest.mark.parametrize("recalled", [True, False])
async def test_what_redis_forgot_is_billed_once_where_it_is_recalled(
    service: LedgerService, redis: Redis, store: Store, *, recalled: bool
) -> None:
    ledger = service.ledger
    await speak(ledger, last="park")
    await service.flush()
    await forget(redis, ledger)
    if recalled:
        assert await ledger.recall(TENANT, STREAM) == {0, 1}
    again = Ledger(redis, store)
    again.calls.life, again.calls.client = ledger.calls.life, ledger.calls.client
    await speak(again, last="settle")
    await again.settle(item(0), 5_000, 5_000)
    left = await again.left(TENANT)
    assert left == GRANT_MS - (6_500 if recalled else 13_000)  # without it, the balance would be wrong


async def test_what_failed_is_given_back_however_late(service: LedgerService, redis: Redis) -> None:
    ledger = service.ledger
    await speak(ledger, last="park")
    await service.flush()
    await forget(redis, ledger)
    for block in await ledger.recall(TENANT, STREAM):
        await ledger.amend(item(block), 0, 0)
    assert await ledger.left(TENANT) == GRANT_MS


async def test_a_stream_of_which_nothing_is_known_is_no_trouble(service: LedgerService) -> None:
    assert await service.ledger.recall(TENANT, "j_2.0.0") == set()
    await service.ledger.told(TENANT, "j_2.0.0")


async def test_what_was_told_is_waited_for(service: LedgerService) -> None:
    ledger = service.ledger
    await speak(ledger, last="settle")
    await ledger.told(TENANT, STREAM)
    ledger.calls.pause()  # Redis is away
    await ledger.settle(item(2), 700, 700)
    with patch.object(ledger_module, "TOLD_S", 0.2), pytest.raises(Busy):
        await ledger.told(TENANT, STREAM)
    await service.start()
    await ledger.resend()
    await ledger.told(TENANT, STREAM)
