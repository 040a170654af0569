"""A connection that is reset when a command was done, and not answered: each is applied once."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.conftest import redis_server
from tests.faults.proxy import FaultProxy, Harm, fault_proxy
from voicewire.accounts.grants import Grant, give
from voicewire.storage.ledger import Item, Ledger
from voicewire.storage.ledger_service import LedgerService
from voicewire.storage.life import bound, look
from voicewire.storage.redis import open_redis
from voicewire.storage.store import Store

TENANT, GRANT_MS = "t_1", 60_000
ITEM = Item(TENANT, "s", 0, "m", "v", "k")
ANSWER_BYTES = 8  # of an answer that is cut; what is said of the server varies by less


@pytest.fixture
def redis_port(unused_tcp_port: int) -> Iterator[int]:
    folder = Path(tempfile.mkdtemp(prefix="voicewire-"))
    options = ["--port", str(unused_tcp_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen([redis_server(), *options], stdout=subprocess.DEVNULL)
    yield unused_tcp_port
    server.kill()
    server.wait()
    shutil.rmtree(folder)


@asynccontextmanager
async def proxied(port: int, store: Store) -> AsyncIterator[tuple[FaultProxy, LedgerService]]:
    """A ledger whose connections can be harmed, and whose tenant has a minute."""
    await store.execute("INSERT INTO tenants (id, name) VALUES ($1, '')", TENANT)
    async with store.transaction() as session:
        await give(session, Grant.new("g", TENANT, "admin", GRANT_MS, None, datetime.now(UTC)))
    async with fault_proxy(f"redis://127.0.0.1:{port}") as proxy:
        client = open_redis(proxy.url.replace("http", "redis"))
        service = LedgerService(client, store)
        while service.ledger.calls.life is None:
            try:
                await service.start()
            except RedisError:
                continue
        yield proxy, service
        await service.close()
        await client.aclose()


async def greeting_bytes(client: Redis, proxy: FaultProxy, service: LedgerService) -> int:
    """How much a connection of the ledger receives before its first answer."""
    view = await look(client, service.ledger.keys)
    probe = bound(client, view.run_id)
    await probe.ping()
    received = proxy.links[-1].carried_bytes - len(b"+PONG\r\n")
    await probe.aclose()
    return received


Command = Callable[[Ledger], Awaitable[object]]
COMMANDS: dict[str, tuple[Command, int, int]] = {  # what is left after it, and held
    "grant": (lambda ledger: ledger.grant("g"), GRANT_MS, 0),
    "reserve": (lambda ledger: ledger.reserve(ITEM, 6_000, 4_000, metered=True), GRANT_MS, 6_000),
    "touch": (lambda ledger: ledger.touch([(ITEM, 500, 500)]), GRANT_MS, 6_000),
    "park": (lambda ledger: ledger.park(ITEM, 1_000, 1_000), GRANT_MS - 1_000, 0),
    "reserve again": (lambda ledger: ledger.reserve(ITEM, 6_000, 4_000, metered=True), GRANT_MS - 1_000, 5_000),
    "settle": (lambda ledger: ledger.settle(ITEM, 5_000, 5_000), GRANT_MS - 5_000, 0),
    "amend": (lambda ledger: ledger.amend(ITEM, 4_000, 4_000), GRANT_MS - 4_000, 0),
    "left": (lambda ledger: ledger.left(TENANT), GRANT_MS - 4_000, 0),
    "reverse": (lambda ledger: ledger.reverse("g", 10_000), GRANT_MS - 14_000, 0),
}


async def test_a_reset_after_any_command_applies_it_once(redis_port: int, store: Store) -> None:
    async with proxied(redis_port, store) as (proxy, service), Redis(port=redis_port) as direct:
        ledger = service.ledger
        greeting = await greeting_bytes(ledger.calls._redis, proxy, service)
        for name, (command, left, held) in COMMANDS.items():
            await forget_connections(service)
            proxy.plan.append(Harm(after_bytes=greeting + ANSWER_BYTES))
            await command(ledger)
            await ledger.resend()
            assert not proxy.plan, name
            assert await ledger.left(TENANT) == left, name
            assert int(await direct.hget(ledger.keys.account(TENANT), "held") or -1) == held, name
        assert proxy.breaks == len(COMMANDS)
        await service.flush()
        rows = await store.fetch("SELECT kind, post, ms FROM entries ORDER BY id")
        assert [tuple(row.values()) for row in rows] == [
            ("grant", 0, -GRANT_MS),
            ("use", 0, 1_000),
            ("late", 1, 4_000),
            ("refund", 2, -1_000),
            ("reverse", 2, 10_000),
        ]


async def forget_connections(service: LedgerService) -> None:
    """Have the next command open a connection."""
    assert service.ledger.calls.client is not None
    await service.ledger.calls.client.connection_pool.disconnect()


async def test_a_redis_that_began_another_life_gets_no_command(redis_port: int, store: Store) -> None:
    """A client of the life before does not connect, though the address and the data are the same."""
    async with proxied(redis_port, store) as (_, service), Redis(port=redis_port) as direct:
        stale = bound(service.ledger.calls._redis, "f" * 40)
        with pytest.raises(RedisError, match="another life"):
            await stale.incr("counted")
        assert await direct.get("counted") is None
        await stale.aclose()
