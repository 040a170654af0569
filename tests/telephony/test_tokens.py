"""One-time tokens on a real Redis: for one call, once, and for a minute."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from voicewire.errors import Unauthorized
from voicewire.server.telephony.tokens import TOKEN_CHARS, TOKEN_S, Grant, Tokens


async def the_key(redis: Redis) -> bytes:
    (key,) = [bytes(each) async for each in redis.scan_iter("*")]
    return key


async def test_a_token_is_good_once(redis: Redis) -> None:
    tokens, grant = Tokens(redis), Grant("t_1", "CA1", "AC1")
    token = await tokens.create(grant)
    assert token.isalnum()  # Plivo's headers take nothing else
    assert token.encode() not in await the_key(redis)
    assert await tokens.redeem(token, "CA1") == grant
    with pytest.raises(Unauthorized):
        await tokens.redeem(token, "CA1")


async def test_of_many_at_once_one_redeems_it(redis: Redis) -> None:
    tokens = Tokens(redis)
    token = await tokens.create(Grant("t_1", "CA1"))
    ended = await asyncio.gather(*(tokens.redeem(token, "CA1") for _ in range(20)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in ended) == ["Grant"] + ["Unauthorized"] * 19


async def test_another_calls_is_refused_and_spent(redis: Redis) -> None:
    tokens = Tokens(redis)
    token = await tokens.create(Grant("t_1", "CA1"))
    for call in ("CA2", "CA1"):
        with pytest.raises(Unauthorized):
            await tokens.redeem(token, call)


async def test_a_stale_one_is_gone(redis: Redis) -> None:
    tokens = Tokens(redis)
    token = await tokens.create(Grant("t_1", "CA1"))
    key = await the_key(redis)
    assert 0 < await redis.ttl(key) <= TOKEN_S
    await redis.pexpire(key, 1)
    async with asyncio.timeout(10):
        while await redis.exists(key):
            await asyncio.sleep(0.001)
    with pytest.raises(Unauthorized):
        await tokens.redeem(token, "CA1")


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "0" * (TOKEN_CHARS + 1), "\ud800", "é" * 20])
async def test_what_is_no_token_is_refused(redis: Redis, token: str) -> None:
    with pytest.raises(Unauthorized):
        await Tokens(redis).redeem(token, "CA1")


async def test_a_signed_request_counts_once(redis: Redis) -> None:
    tokens = Tokens(redis)
    assert [await tokens.first(each) for each in ("a", "b", "a")] == [True, True, False]
    for key in [each async for each in redis.scan_iter("*")]:
        assert await redis.ttl(key) > 3_600  # a call may last some hours
