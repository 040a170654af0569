"""Refresh tokens: each is good once, but for the seconds in which a page may have missed the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.accounts.entering import House, open_house
from voicewire.accounts.logins import GRACE
from voicewire.errors import Unauthorized
from voicewire.storage.store import Store

pytestmark = pytest.mark.asyncio

ADA = "ada@example.org"


@pytest_asyncio.fixture
async def house(store: Store, redis: Redis) -> AsyncIterator[House]:
    async with open_house(store, redis) as house:
        yield house


async def test_five_refreshes_at_once_get_the_same_token(house: House) -> None:
    first = await house.sign_up(ADA)
    answers = await asyncio.gather(*(house.entrance.refresh(first.refresh_token) for _ in range(5)))
    [token] = {each.refresh_token for each in answers}
    assert token != first.refresh_token
    for each in (first, *answers):
        await house.people.find(each.access_token)
    await house.entrance.refresh(token)


async def test_an_answer_that_was_missed_is_given_again_for_some_seconds_only(house: House) -> None:
    first = await house.sign_up(ADA)
    second = await house.entrance.refresh(first.refresh_token)
    house.clock.at += GRACE * 0.9
    again = await house.entrance.refresh(first.refresh_token)
    assert again.refresh_token == second.refresh_token
    house.clock.at += GRACE * 0.1  # counted from the first use
    with pytest.raises(Unauthorized):
        await house.entrance.refresh(first.refresh_token)
    with pytest.raises(Unauthorized):
        await house.people.find(second.access_token)
    with pytest.raises(Unauthorized):
        await house.entrance.refresh(second.refresh_token)


async def test_a_token_is_not_good_again_once_its_successor_was_used(house: House) -> None:
    first = await house.sign_up(ADA)
    second = await house.entrance.refresh(first.refresh_token)
    third = await house.entrance.refresh(second.refresh_token)
    with pytest.raises(Unauthorized):
        await house.entrance.refresh(first.refresh_token)
    with pytest.raises(Unauthorized):
        await house.entrance.refresh(third.refresh_token)


async def test_a_login_that_has_ended_gives_nothing_again(house: House) -> None:
    first = await house.sign_up(ADA)
    second = await house.entrance.refresh(first.refresh_token)
    await house.entrance.log_out(await house.people.find(second.access_token))
    with pytest.raises(Unauthorized):
        await house.entrance.refresh(first.refresh_token)
