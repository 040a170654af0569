"""Invitations over a real PostgreSQL: who asked must still stand when somebody says yes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.accounts.entering import House, open_house
from voicewire.accounts import invitations, tenants
from voicewire.accounts.invitations import accept, invite
from voicewire.accounts.keys import Change, Keys, Maker, Wish
from voicewire.auth.scopes import PERSON_SCOPES
from voicewire.errors import Gone
from voicewire.storage.store import Store

ADA, EVE = "ada@example.org", "eve@example.org"


class Inviter:
    """Ada, who has a key; Eve is whom she asks."""

    def __init__(self, house: House, keys: Keys, tenant: str, ada: str, eve: str) -> None:
        self.house, self.keys, self.tenant, self.ada, self.eve = house, keys, tenant, ada, eve
        self.maker = Maker(tenant, f"user:{ada}", frozenset(PERSON_SCOPES), ada)

    async def key(self) -> str:
        return (await self.keys.make(self.maker, Wish())).record.id

    async def ask(self, actor: str) -> str:
        async with self.house.store.transaction() as session:
            token = await invite(session, self.tenant, self.eve, "member", actor, self.house.clock.now())
        assert token
        return token

    async def joins(self, token: str) -> bool:
        try:
            async with self.house.store.transaction() as session:
                await accept(session, token, self.eve, self.house.clock.now())
        except Gone:
            return False
        return self.eve in [each.user for each in await tenants.members(self.house.store, self.tenant)]


@pytest.fixture
async def inviter(store: Store, redis: Redis) -> AsyncIterator[Inviter]:
    async with open_house(store, redis) as house:
        ada, eve = await house.sign_up(ADA), await house.sign_up(EVE)
        keys = Keys(store, b"pepper", house.news, house.clock.now)
        yield Inviter(house, keys, ada.tenant, ada.user.id, eve.user.id)


async def test_who_was_asked_with_a_key_joins_once(inviter: Inviter) -> None:
    token = await inviter.ask(f"key:{await inviter.key()}")
    assert await inviter.joins(token)
    assert not await inviter.joins(token)


@pytest.mark.parametrize("how", ["revoked", "expired", "rotated", "its maker suspended"])
async def test_what_was_asked_with_a_key_ends_with_the_key(inviter: Inviter, how: str) -> None:
    key, clock = await inviter.key(), inviter.house.clock
    token = await inviter.ask(f"key:{key}")
    match how:
        case "revoked":
            await inviter.keys.revoke(inviter.maker, key)
        case "expired":
            ends = clock.now() + invitations.PAUSE
            await inviter.keys.change(inviter.maker, key, Change(expires=ends))
            clock.at = ends
        case "rotated":
            await inviter.keys.rotate(inviter.maker, key, 0)
        case _:
            await inviter.house.directory.set_suspended(inviter.ada, True, "operator")
    assert not await inviter.joins(token)


async def test_whom_a_suspended_person_asked_waits_until_they_are_back(inviter: Inviter) -> None:
    token = await inviter.ask(f"user:{inviter.ada}")
    await inviter.house.directory.set_suspended(inviter.ada, True, "operator")
    assert not await inviter.joins(token)
    await inviter.house.directory.set_suspended(inviter.ada, False, "operator")
    assert await inviter.joins(token)
