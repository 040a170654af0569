import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from voicewire.auth.principal import Limits, Principal
from voicewire.auth.tickets import TicketStore
from voicewire.errors import Busy, Unauthorized

ORIGIN = "https://reader.example"
CALLER = Principal("abcdefgh", "acme", frozenset({"speak", "voices:read"}), "key", "a page", Limits(streams=3))


async def test_a_ticket_gives_back_its_caller(redis: Redis) -> None:
    tickets = TicketStore(redis)
    found = await tickets.redeem(await tickets.create(CALLER, ORIGIN), ORIGIN)
    assert found.kind == "ticket"
    assert (found.id, found.tenant, found.scopes, found.label, found.limits) == (
        CALLER.id, CALLER.tenant, CALLER.scopes, CALLER.label, CALLER.limits,
    )  # fmt: skip


async def test_of_a_hundred_who_show_it_at_once_one_gets_in(redis: Redis) -> None:
    tickets = TicketStore(redis)
    ticket = await tickets.create(CALLER, ORIGIN)
    tries = await asyncio.gather(*(tickets.redeem(ticket, ORIGIN) for _ in range(100)), return_exceptions=True)
    assert sum(isinstance(each, Principal) for each in tries) == 1
    assert sum(isinstance(each, Unauthorized) for each in tries) == 99


@pytest.mark.parametrize(
    "other",
    [None, "", "null", "http://reader.example", "https://reader.example:443", "https://reader.example.evil.example",
     "https://READER.example", "https://reader.example/", "\ud800"],
)  # fmt: skip
async def test_another_origin_is_refused_and_spends_it(redis: Redis, other: str | None) -> None:
    tickets = TicketStore(redis)
    ticket = await tickets.create(CALLER, ORIGIN)
    with pytest.raises(Unauthorized):
        await tickets.redeem(ticket, other)
    with pytest.raises(Unauthorized):
        await tickets.redeem(ticket, ORIGIN)


async def test_a_ticket_without_an_origin_is_for_callers_without_one(redis: Redis) -> None:
    tickets = TicketStore(redis)
    assert (await tickets.redeem(await tickets.create(CALLER, None), None)).id == CALLER.id
    with pytest.raises(Unauthorized):
        await tickets.redeem(await tickets.create(CALLER, None), ORIGIN)


async def test_it_expires_in_redis_itself(redis: Redis) -> None:
    await TicketStore(redis).create(CALLER, ORIGIN)
    (key,) = await redis.keys("*")
    assert 0 < await redis.pttl(key) <= 30_000


async def test_after_its_time_it_is_refused(redis: Redis) -> None:
    tickets = TicketStore(redis, lifetime_s=0.001)
    ticket = await tickets.create(CALLER, ORIGIN)
    while await redis.dbsize():
        await asyncio.sleep(0.001)
    with pytest.raises(Unauthorized):
        await tickets.redeem(ticket, ORIGIN)


async def test_redis_never_sees_the_ticket(redis: Redis) -> None:
    ticket = await TicketStore(redis, prefix="mine:").create(CALLER, ORIGIN)
    (key,) = await redis.keys("*")
    assert repr(key).startswith("b'mine:ticket:")
    assert ticket not in f"{key!r} {await redis.get(key)!r}"


@pytest.mark.parametrize("forged", ["", "x", "x" * 43, "x" * 10_000_000, "*", "\ud800", "\0", "ticket:" + "0" * 64])
async def test_a_forged_ticket_is_refused(redis: Redis, forged: str) -> None:
    tickets = TicketStore(redis)
    await tickets.create(CALLER, ORIGIN)
    with pytest.raises(Unauthorized):
        await tickets.redeem(forged, ORIGIN)


async def test_tickets_have_256_bits_of_the_callers_randomness(redis: Redis) -> None:
    asked: list[int] = []

    def random_bytes(size: int) -> bytes:
        asked.append(size)
        return bytes(size)

    assert await TicketStore(redis, random_bytes=random_bytes).create(CALLER, ORIGIN) == "A" * 43
    assert asked == [32]


async def test_without_redis_it_says_to_come_again(tmp_path: Path) -> None:
    async with Redis(unix_socket_path=str(tmp_path / "nobody"), retry=Retry(NoBackoff(), 0)) as redis:
        tickets = TicketStore(redis)
        with pytest.raises(Busy) as busy:
            await tickets.create(CALLER, ORIGIN)
        with pytest.raises(Busy):
            await tickets.redeem("x" * 43, ORIGIN)
    assert busy.value.retry_after_ms == 1_000
