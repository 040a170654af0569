"""Who tokens stand for, as of now; and what operators, owners and issuers change of it. Real PostgreSQL and Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from tests.accounts.entering import PASSWORD, SECRET, House, open_house
from tests.accounts.running import live
from voicewire.accounts import tenants
from voicewire.accounts.people import KEPT_S, STALE_S, People
from voicewire.accounts.terms import Terms
from voicewire.auth.issuer import Identity
from voicewire.auth.principal import Principal
from voicewire.auth.scopes import ALL_SCOPES, PERSON_SCOPES
from voicewire.auth.tokens import AccessTokens
from voicewire.errors import BadRequest, Busy, Forbidden, Unauthorized
from voicewire.storage.store import Conflict, Store

ADA, EVE = "ada@example.org", "eve@example.org"
ISSUER = "https://issuer.example.org"


class Trusted:
    """An issuer whose tokens were checked already: `tests/auth` has the checks."""

    def __init__(self) -> None:
        self.named = Identity(ISSUER, "subject 1", ADA, True, "Ada", 2_000_000_000.0)

    async def find(self, _token: str, /) -> Identity:
        return self.named


@pytest.fixture
def issuer() -> Trusted:
    return Trusted()


@pytest.fixture
async def house(store: Store, redis: Redis, issuer: Trusted) -> AsyncIterator[House]:
    async with open_house(store, redis, issuer) as opened:
        await live(opened.news)
        yield opened


async def test_a_person_has_what_people_have_and_an_admin_everything(house: House) -> None:
    entered = await house.sign_up(ADA, name="Ada")
    person = await house.people.find(entered.access_token)
    assert person.scopes == PERSON_SCOPES
    assert person.label == "Ada"
    assert person.limits.streams == len(entered.tenant)
    assert person.expires == house.clock.seconds() + 24 * 3600
    await house.directory.set_role(entered.user.id, "admin", "operator")
    assert (await house.people.find(entered.access_token)).scopes == ALL_SCOPES
    await house.directory.set_role(entered.user.id, "creator", "operator")
    assert (await house.people.find(entered.access_token)).scopes == PERSON_SCOPES


async def test_the_role_in_a_token_counts_for_nothing(house: House) -> None:
    """Only the database makes an admin: a token of before a demotion says otherwise for a day."""
    entered = await house.sign_up(ADA)
    login = (await house.people.find(entered.access_token)).id
    token = AccessTokens(SECRET, house.clock.seconds).issue(entered.user.id, entered.tenant, "admin", login)
    assert (await house.people.find(token)).scopes == PERSON_SCOPES


@pytest.mark.parametrize("field", ["user", "tenant", "login"])
async def test_a_token_of_things_that_do_not_belong_together_is_refused(house: House, field: str) -> None:
    ada, eve = await house.sign_up(ADA), await house.sign_up(EVE)
    me, other = await house.people.find(ada.access_token), await house.people.find(eve.access_token)
    said = {"user": me.user, "tenant": me.tenant, "login": me.id}
    said[field] = {"user": other.user, "tenant": other.tenant, "login": other.id}[field]
    token = AccessTokens(SECRET, house.clock.seconds).issue(said["user"], said["tenant"], "creator", said["login"])
    with pytest.raises(Unauthorized):
        await house.people.find(token)


async def ended_by(house: House, how: str, user: str, principal: Principal) -> None:
    match how:
        case "suspended":
            await house.directory.set_suspended(user, True, "operator")
        case "logged out":
            await house.entrance.log_out(principal)
        case "removed":
            other = (await house.sign_up(EVE)).user.id
            async with house.store.transaction() as session:
                await tenants.add(session, principal.tenant, other, "owner", "user:x")
                await tenants.leave(session, principal.tenant, user, "user:x")
            await house.news.tell("person", user)


async def _confirm_for_ever(people: People, principal: Principal) -> None:
    async with asyncio.timeout(5):
        while True:
            await people.confirm(principal)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", ["suspended", "logged out", "removed"])
async def test_whoever_ended_is_refused_at_once_here_and_soon_elsewhere(
    house: House, store: Store, redis: Redis, how: str
) -> None:
    entered = await house.sign_up(ADA)
    async with open_house(store, redis) as elsewhere:
        await live(elsewhere.news)
        principal = await elsewhere.people.find(entered.access_token)
        await ended_by(house, how, entered.user.id, await house.people.find(entered.access_token))
        with pytest.raises(Unauthorized):
            await house.people.find(entered.access_token)
        with pytest.raises(Unauthorized):  # by the news alone: time stands still for what is kept
            await _confirm_for_ever(elsewhere.people, principal)


async def test_without_news_what_was_looked_up_is_forgotten_within_five_seconds(house: House) -> None:
    entered = await house.sign_up(ADA)
    principal = await house.people.find(entered.access_token)
    await house.store.execute("UPDATE tenants SET suspended = now() WHERE id = $1", entered.tenant)
    await house.people.confirm(principal)
    assert KEPT_S < 5
    house.clock.wait(seconds=KEPT_S)
    with pytest.raises(Unauthorized):
        await house.people.confirm(principal)


async def test_while_postgresql_is_away_those_who_are_known_stay_for_a_while(house: House) -> None:
    entered = await house.sign_up(ADA)
    stranger = await house.entrance.log_in(ADA, PASSWORD)
    await house.people.find(entered.access_token)
    away = await Store("postgresql://nobody@127.0.0.1:1/none").open()
    house.people._store = away
    house.clock.wait(seconds=KEPT_S)
    await house.people.find(entered.access_token)
    with pytest.raises(Busy):
        await house.people.find(stranger.access_token)
    house.clock.wait(seconds=STALE_S)
    with pytest.raises(Busy):
        await house.people.find(entered.access_token)
    await away.close()


async def test_what_is_kept_has_a_bound(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicewire.accounts.people.STANDINGS_KEPT", 3)
    entered = await house.sign_up(ADA)
    for _ in range(5):
        await house.people.find((await house.entrance.enter(entered.user.id)).access_token)
    assert len(house.people._known) == 3


async def test_tokens_of_issuers_need_issuers(house: House, store: Store) -> None:
    entered = await house.sign_up(ADA)
    header, _, rest = entered.access_token.partition(".")
    alone = People(store, house.news, house.people._tokens, house.people._limits, house.people._identities)
    foreign = f"{header}.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlLm9yZyJ9.{rest.partition('.')[2]}"
    with pytest.raises(Unauthorized):
        await alone.find(foreign)
    assert (await house.people.find(foreign)).user == entered.user.id


FOREIGN = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlLm9yZyJ9.c2lnbg"


async def test_a_visitor_becomes_a_person_once(house: House, issuer: Trusted) -> None:
    people = await asyncio.gather(*(house.people.find(FOREIGN) for _ in range(6)))
    assert len({each.user for each in people}) == 1
    assert people[0].expires == issuer.named.expires
    assert people[0].id == people[0].user
    assert len(house.granted) == 1
    await house.people.confirm(people[0])
    issuer.named = replace(issuer.named, email="changed@example.org")
    assert (await house.people.find(FOREIGN)).user == people[0].user
    await house.directory.set_suspended(people[0].user, True, "operator")
    with pytest.raises(Unauthorized):
        await house.people.confirm(people[0])


async def test_a_visitor_of_a_known_verified_address_is_that_person(house: House, issuer: Trusted) -> None:
    entered = await house.sign_up(ADA)
    assert (await house.people.find(FOREIGN)).user == entered.user.id
    issuer.named = replace(issuer.named, subject="subject 2", email_verified=False)
    with pytest.raises(Forbidden):
        await house.people.find(FOREIGN)


async def test_a_visitor_takes_no_password_over_that_a_stranger_chose(house: House) -> None:
    await house.entrance.register(ADA, "chosen by eve", "Eve")
    await house.mailer.drain()
    visitor = await house.people.find(FOREIGN)
    assert visitor.label == "Ada"
    with pytest.raises(Exception, match="link"):
        await house.entrance.verify(house.box.token(ADA), "chosen by eve")
    with pytest.raises(Unauthorized):
        await house.entrance.log_in(ADA, "chosen by eve")


async def test_where_people_may_not_sign_up_only_known_visitors_come_in(
    store: Store, redis: Redis, issuer: Trusted
) -> None:
    async with open_house(store, redis, issuer, may_sign_up=False) as house:
        with pytest.raises(Forbidden):
            await house.people.find(FOREIGN)
        added = await house.directory.add(ADA, None, "operator", role="admin", tenant="home")
        principal = await house.people.find(FOREIGN)
        assert (principal.user, principal.tenant, principal.scopes) == (added.id, "home", ALL_SCOPES)


async def test_operators_add_people_once(house: House) -> None:
    added = await house.directory.add("Grace@Example.org", None, "operator", name="Grace")
    assert (added.email, added.role) == ("grace@example.org", "creator")
    assert added.verified
    with pytest.raises(Conflict):
        await house.directory.add("grace@example.org", None, "operator")
    with pytest.raises(BadRequest):
        await house.directory.add("no address", None, "operator")
    with pytest.raises(BadRequest):
        await house.directory.add(EVE, None, "operator", tenant="t_nobody")
    with pytest.raises(BadRequest):
        await house.directory.get(EVE)
    assert [each.email for each in await house.directory.page("GRACE")] == ["grace@example.org"]
    assert await house.directory.page("%") == []
    with pytest.raises(BadRequest):
        await house.directory.set_role(added.id, "king", "operator")
    with pytest.raises(BadRequest):
        await house.directory.set_suspended("u_nobody", True, "operator")


async def test_the_last_owner_stays(house: House) -> None:
    ada, eve = await house.sign_up(ADA), await house.sign_up(EVE)
    async with house.store.transaction() as session:
        assert await tenants.add(session, ada.tenant, eve.user.id, "member", "user:ada")
        assert not await tenants.add(session, ada.tenant, eve.user.id, "owner", "user:ada")
    assert [each.role for each in await tenants.members(house.store, ada.tenant)] == ["owner", "member"]
    with pytest.raises(Forbidden):
        async with house.store.transaction() as session:
            await tenants.leave(session, ada.tenant, ada.user.id, "user:ada")
    async with house.store.transaction() as session:
        await tenants.leave(session, ada.tenant, eve.user.id, "user:ada")
    with pytest.raises(BadRequest):
        async with house.store.transaction() as session:
            await tenants.leave(session, ada.tenant, eve.user.id, "user:ada")


async def test_terms_are_accepted_by_each_for_itself_and_by_version(house: House) -> None:
    entered = await house.sign_up(ADA)
    person = await house.people.find(entered.access_token)
    key = replace(person, id="k1", kind="key", key="k1")
    terms, again = Terms(house.store, "2026-01"), Terms(house.store, "2026-02")
    await Terms(house.store, "").require(person)
    with pytest.raises(Forbidden, match="2026-01"):
        await terms.require(person)
    with pytest.raises(BadRequest):
        await terms.accept(person, "2025-01", house.clock.now())
    for _ in range(2):
        await terms.accept(person, "2026-01", house.clock.now())
    await terms.require(person)
    await terms.require(replace(person, id="l_another", kind="ticket"))
    await Terms(house.store, "2026-01").require(person)
    for who, which in ((key, terms), (person, again)):
        with pytest.raises(Forbidden) as refusal:
            await which.require(who)
        assert refusal.value.row_code == "terms_required"
    await terms.accept(key, "2026-01", house.clock.now())
    await terms.require(key)
