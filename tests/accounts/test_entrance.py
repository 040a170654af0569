"""How people come in, over a real PostgreSQL: what they are told, what a thief gets, and what is never said."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from tests.accounts.entering import ADDRESS, PASSWORD, House, open_house
from voicewire.accounts import links, sweep, tenants, users
from voicewire.accounts.audit import events
from voicewire.accounts.logins import LIFE, LOGINS_MAX
from voicewire.auth.passwords import Passwords, Work
from voicewire.errors import BadRequest, Forbidden, Gone, Unauthorized
from voicewire.storage.store import Store

ADA, EVE = "ada@example.org", "eve@example.org"


@pytest.fixture
async def house(store: Store, redis: Redis) -> AsyncIterator[House]:
    async with open_house(store, redis) as opened:
        yield opened


async def test_signing_up_makes_a_person_a_tenant_and_a_first_month(house: House) -> None:
    entered = await house.sign_up("Ada@Example.org", name="Ada")
    assert (entered.user.email, entered.user.name, entered.user.role) == (ADA, "Ada", "creator")
    (membership,) = await tenants.memberships(house.store, entered.user.id)
    assert (membership.tenant, membership.role) == (entered.tenant, "owner")
    plan = await house.store.fetchval("SELECT plan FROM subscriptions WHERE tenant = $1", entered.tenant)
    assert plan == "free"
    assert [grant.split(":")[:2] for grant in house.granted] == [["plan", entered.tenant]]
    principal = await house.people.find(entered.access_token)
    assert (principal.user, principal.tenant, principal.kind) == (entered.user.id, entered.tenant, "user")
    assert "admin" not in principal.scopes
    assert [event.action for event in await events(house.store, tenant=entered.tenant)] == ["user.register"]


async def test_before_the_link_is_followed_there_is_no_account(house: House) -> None:
    await house.entrance.register(ADA, PASSWORD)
    await house.mailer.drain()
    assert f"{ADDRESS}/account/#verify=" in house.box.text(ADA)
    with pytest.raises(Unauthorized):
        await house.entrance.log_in(ADA, PASSWORD)
    await house.entrance.forgot(ADA)
    await house.mailer.drain()
    assert house.box.subjects(ADA) == ["Confirm your address"]


async def test_a_link_is_good_once_and_for_a_day(house: House) -> None:
    await house.sign_up(ADA)
    with pytest.raises(Gone):
        await house.entrance.verify(house.box.token(ADA), PASSWORD)
    await house.entrance.register(EVE, PASSWORD)
    await house.mailer.drain()
    house.clock.wait(days=1)
    with pytest.raises(Gone):
        await house.entrance.verify(house.box.token(EVE), PASSWORD)
    for nonsense in ("", "x", "x" * 10_000, "\ud800"):
        with pytest.raises(Gone):
            await house.entrance.verify(nonsense, PASSWORD)


async def test_a_link_makes_no_account_for_another_than_who_signed_up(house: House) -> None:
    """Whoever follows the link in their mail out of habit must not confirm the password that a stranger chose."""
    await house.entrance.register(ADA, "chosen by eve", "Eve")
    await house.mailer.drain()
    link = house.box.token(ADA)
    for guess in (PASSWORD, "", "chosen by Eve"):
        with pytest.raises(Unauthorized):
            await house.entrance.verify(link, guess)
    with pytest.raises(Unauthorized):
        await house.entrance.log_in(ADA, "chosen by eve")
    assert await house.store.fetchval("SELECT count(*) FROM members") == 0
    assert (await house.entrance.verify(link, "chosen by eve")).user.name == "Eve"  # a wrong password spends nothing


async def test_a_known_address_is_told_by_mail_only_and_keeps_its_password(house: House) -> None:
    await house.sign_up(ADA)
    await house.entrance.register(ADA, "another password", "Eve")
    await house.mailer.drain()
    assert house.box.subjects(ADA) == ["Confirm your address", "You have an account"]
    assert (await house.entrance.log_in(ADA, PASSWORD)).user.name == ""
    with pytest.raises(Unauthorized):
        await house.entrance.log_in(ADA, "another password")


async def test_who_signs_up_with_anothers_address_leaves_no_password_behind(house: House) -> None:
    """Each link carries the password that was chosen with it: following one's own link never takes a stranger's."""
    await house.entrance.register(ADA, "chosen by eve", "Eve")
    await house.mailer.drain()
    await house.entrance.register(ADA, PASSWORD, "Ada")
    await house.mailer.drain()
    own = house.box.token(ADA)
    await house.entrance.register(ADA, "eve once more", "Eve")
    await house.mailer.drain()
    eves = house.box.token(ADA)
    assert (await house.entrance.verify(own, PASSWORD)).user.name == "Ada"
    with pytest.raises(Gone):
        await house.entrance.verify(eves, "eve once more")
    await house.entrance.log_in(ADA, PASSWORD)
    for stranger in ("chosen by eve", "eve once more"):
        with pytest.raises(Unauthorized):
            await house.entrance.log_in(ADA, stranger)


@pytest.mark.parametrize("email", ["", "ada", "ada@", "@example.org", "a b@example.org", "ada@-x.org", "a..b@x.org"])
async def test_what_is_no_address_is_said(house: House, email: str) -> None:
    with pytest.raises(BadRequest):
        await house.entrance.register(email, PASSWORD)
    with pytest.raises(Unauthorized):
        await house.entrance.log_in(email, PASSWORD)


async def test_a_weak_password_is_said(house: House) -> None:
    for weak in ("short", "1234567890", "ada@example.org"):
        with pytest.raises(BadRequest):
            await house.entrance.register(ADA, weak)


async def test_where_people_may_not_sign_up_nobody_does(store: Store, redis: Redis) -> None:
    async with open_house(store, redis, may_sign_up=False) as house:
        with pytest.raises(Forbidden):
            await house.entrance.register(ADA, PASSWORD)


async def test_a_refresh_replaces_the_token_and_a_second_use_ends_the_login(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    first = await house.sign_up(ADA)
    second = await house.entrance.refresh(first.refresh_token)
    third = await house.entrance.refresh(second.refresh_token)
    await house.people.find(third.access_token)
    with pytest.raises(Unauthorized), caplog.at_level(logging.WARNING):
        await house.entrance.refresh(first.refresh_token)
    assert "came a second time" in caplog.text
    assert first.refresh_token not in caplog.text
    for entered in (first, second, third):
        with pytest.raises(Unauthorized):
            await house.people.find(entered.access_token)
    with pytest.raises(Unauthorized):
        await house.entrance.refresh(third.refresh_token)
    await house.entrance.log_in(ADA, PASSWORD)


async def test_an_invented_refresh_token_ends_nobodys_login(house: House) -> None:
    entered = await house.sign_up(ADA)
    login = entered.refresh_token.split("_")[1]
    for invented in (f"vwr_{login}_{'A' * 67}", entered.refresh_token[:-1] + "!", "vwr_", "", "\ud800", "x" * 5_000):
        with pytest.raises(Unauthorized):
            await house.entrance.refresh(invented)
    await house.entrance.refresh(entered.refresh_token)


async def test_a_login_ends_when_it_is_not_used_and_at_the_end_of_its_life(house: House) -> None:
    idle = await house.sign_up(ADA)
    house.clock.wait(days=31)
    with pytest.raises(Unauthorized):
        await house.entrance.refresh(idle.refresh_token)
    used, began = await house.entrance.log_in(ADA, PASSWORD), house.clock.now()
    while house.clock.now() + (step := (LIFE / 10)) < began + LIFE:
        house.clock.at += step
        used = await house.entrance.refresh(used.refresh_token)
    house.clock.at = began + LIFE
    with pytest.raises(Unauthorized):
        await house.entrance.refresh(used.refresh_token)


async def test_a_new_login_ends_the_oldest_of_too_many(house: House) -> None:
    first = await house.sign_up(ADA)
    for _ in range(LOGINS_MAX):
        house.clock.wait(seconds=1)
        await house.entrance.enter(first.user.id)
    with pytest.raises(Unauthorized):
        await house.entrance.refresh(first.refresh_token)


async def test_logging_out_ends_one_login(house: House) -> None:
    one, other = await house.sign_up(ADA), await house.entrance.log_in(ADA, PASSWORD)
    await house.entrance.log_out(await house.people.find(one.access_token))
    with pytest.raises(Unauthorized):
        await house.people.find(one.access_token)
    with pytest.raises(Unauthorized):
        await house.entrance.refresh(one.refresh_token)
    await house.people.find(other.access_token)
    await house.entrance.refresh(other.refresh_token)


async def test_a_forgotten_password_is_set_by_the_link_and_ends_all_logins(house: House) -> None:
    entered = await house.sign_up(ADA)
    for _ in range(2):
        await house.entrance.forgot(ADA)
        await house.mailer.drain()
    token = house.box.token(ADA)
    with pytest.raises(BadRequest):
        await house.entrance.reset(token, "short")
    await house.entrance.reset(token, "a parliament of owls")
    await house.mailer.drain()
    assert house.box.subjects(ADA)[-1] == "Your password was changed"
    with pytest.raises(Gone):
        await house.entrance.reset(token, "a parliament of owls")
    with pytest.raises(Unauthorized):
        await house.people.find(entered.access_token)
    with pytest.raises(Unauthorized):
        await house.entrance.log_in(ADA, PASSWORD)
    await house.entrance.log_in(ADA, "a parliament of owls")


async def test_a_link_to_a_new_password_is_good_for_an_hour_and_for_nothing_else(house: House) -> None:
    await house.sign_up(ADA)
    await house.entrance.forgot(ADA)
    await house.mailer.drain()
    with pytest.raises(Gone):
        await house.entrance.verify(house.box.token(ADA), PASSWORD)
    house.clock.wait(hours=1)
    with pytest.raises(Gone):
        await house.entrance.reset(house.box.token(ADA), PASSWORD)


async def test_nobody_is_mailed_who_is_not_here(house: House) -> None:
    await house.entrance.forgot(EVE)
    await house.mailer.drain()
    assert house.box.mails == []


async def test_changing_a_password_ends_the_other_logins(house: House) -> None:
    here, elsewhere = await house.sign_up(ADA), await house.entrance.log_in(ADA, PASSWORD)
    me = await house.people.find(here.access_token)
    with pytest.raises(Unauthorized):
        await house.entrance.change(me, "not the password", "a parliament of owls")
    await house.entrance.change(me, PASSWORD, "a parliament of owls")
    await house.people.find(here.access_token)
    with pytest.raises(Unauthorized):
        await house.people.find(elsewhere.access_token)
    await house.entrance.log_in(ADA, "a parliament of owls")


async def test_a_suspended_person_cannot_come_in_by_any_way(house: House) -> None:
    entered = await house.sign_up(ADA)
    await house.entrance.forgot(ADA)
    await house.mailer.drain()
    await house.directory.set_suspended(entered.user.id, True, "operator")
    with pytest.raises(Unauthorized):
        await house.people.find(entered.access_token)
    with pytest.raises(Unauthorized):
        await house.entrance.refresh(entered.refresh_token)
    with pytest.raises(Unauthorized):
        await house.entrance.log_in(ADA, PASSWORD)
    await house.entrance.reset(house.box.token(ADA), "a parliament of owls")
    with pytest.raises(Unauthorized):
        await house.entrance.log_in(ADA, "a parliament of owls")
    await house.directory.set_suspended(entered.user.id, False, "operator")
    await house.entrance.log_in(ADA, "a parliament of owls")


async def test_a_person_of_two_tenants_chooses(house: House) -> None:
    ada, eve = await house.sign_up(ADA), await house.sign_up(EVE)
    async with house.store.transaction() as session:
        await tenants.add(session, ada.tenant, eve.user.id, "member", "user:ada")
    other = await house.entrance.log_in(EVE, PASSWORD, ada.tenant)
    assert (await house.people.find(other.access_token)).tenant == ada.tenant
    back = await house.entrance.refresh(other.refresh_token, eve.tenant)
    assert (await house.people.find(back.access_token)).tenant == eve.tenant
    assert (await house.entrance.refresh(back.refresh_token)).tenant == eve.tenant
    with pytest.raises(BadRequest, match="nothing at this address"):
        await house.entrance.log_in(ADA, PASSWORD, eve.tenant)
    again = await house.entrance.log_in(ADA, PASSWORD)
    with pytest.raises(BadRequest):
        await house.entrance.refresh(again.refresh_token, eve.tenant)
    await house.entrance.refresh(again.refresh_token)  # what was refused has not spent the token


async def test_a_weaker_hash_is_renewed_when_its_person_comes(house: House) -> None:
    entered = await house.sign_up(ADA)
    weak = await house.entrance.passwords.hash(PASSWORD)
    await users.set_password(house.store, entered.user.id, weak)
    later = replace(house.entrance, passwords=Passwords(Work(2, 64)))
    await later.log_in(ADA, PASSWORD)
    found = await users.credentials(house.store, email=ADA)
    assert found
    assert found.kept
    assert ",t=2," in found.kept
    await house.entrance.log_in(ADA, PASSWORD)


async def test_what_nobody_can_use_is_forgotten(house: House) -> None:
    entered = await house.sign_up(ADA)
    await house.entrance.register(EVE, PASSWORD)
    await house.mailer.drain()
    await sweep.sweep(house.store, house.clock.now())
    assert await users.by_email(house.store, EVE)
    house.clock.wait(days=70)
    await house.entrance.log_in(ADA, PASSWORD)
    await sweep.sweep(house.store, house.clock.now())
    assert await users.by_email(house.store, EVE) is None
    assert await users.find(house.store, entered.user.id)
    counts = await house.store.fetchrow(
        "SELECT (SELECT count(*) FROM logins) AS logins, (SELECT count(*) FROM mailed) AS links"
    )
    assert counts
    assert tuple(counts.values()) == (1, 0)


async def test_no_secret_is_kept_or_logged(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        entered = await house.sign_up(ADA)
        entered = await house.entrance.refresh(entered.refresh_token)
        await house.entrance.forgot(ADA)
        await house.mailer.drain()
    secrets = [PASSWORD, entered.refresh_token, entered.access_token, house.box.token(ADA)]
    rows = await house.store.fetch(
        "SELECT users::text AS t FROM users UNION SELECT logins::text FROM logins UNION SELECT mailed::text FROM mailed"
        " UNION SELECT audit::text FROM audit"
    )
    kept = "\n".join(row["t"] for row in rows)
    assert kept.count("\n") >= 4
    for secret in secrets:
        assert secret not in kept
        assert secret not in caplog.text
    assert await links.find(house.store, "password", secrets[-1], house.clock.now())
