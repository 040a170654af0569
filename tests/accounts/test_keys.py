"""Keys of a tenant: nobody gives away more than they have, and nobody sees another's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from voicewire.accounts.audit import events
from voicewire.accounts.first_key import add_tenant
from voicewire.accounts.keys import KEYS_MAX, Change, Keys, Maker, Wish
from voicewire.auth.keys import KeyLimits, hash_key, key_id, matches
from voicewire.auth.scopes import ALL_SCOPES, CLIENT_SCOPES
from voicewire.errors import BadRequest, Forbidden
from voicewire.storage.store import Store

PEPPER = b"p" * 32
HOME = Maker.operator("home")
LESS = Maker("home", "key:less", frozenset({"speak", "keys:write"}))


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(store: Store, clock: Clock) -> Keys:
    return Keys(store, PEPPER, None, now=clock)


async def _other(store: Store) -> Maker:
    async with store.transaction() as session:
        await add_tenant(session, "t_other", datetime(2026, 1, 1, tzinfo=UTC))
    return Maker.operator("t_other")


async def test_a_key_is_kept_without_the_key(keys: Keys, store: Store, clock: Clock) -> None:
    made = await keys.make(HOME, Wish("a client", "test", limits=KeyLimits(streams=2)))
    assert made.key.startswith("vw_test_")
    assert made.key not in repr(made)
    record = await keys.get("home", made.record.id)
    assert record == made.record
    assert (record.scopes, record.environment, record.created) == (CLIENT_SCOPES, "test", clock.now)
    assert matches(PEPPER, made.key, record, clock.now)
    row = await store.fetchrow("SELECT * FROM keys")
    assert row is not None
    assert made.key.removeprefix("vw_test_")[len(record.id) :].lstrip("_") not in str(dict(row))
    assert [event.action for event in await events(store)] == ["key.create"]


async def test_nobody_gives_away_more_than_they_have(keys: Keys) -> None:
    made = await keys.make(LESS, Wish())
    assert made.record.scopes == {"speak"}
    with pytest.raises(Forbidden, match="admin"):
        await keys.make(LESS, Wish(scopes=frozenset({"speak", "admin"})))
    with pytest.raises(BadRequest, match="sing"):
        await keys.make(HOME, Wish(scopes=frozenset({"sing"})))
    more = await keys.make(HOME, Wish(scopes=ALL_SCOPES))
    for attempt in (
        keys.rotate(LESS, more.record.id, 0),
        keys.change(LESS, more.record.id, Change(scopes=frozenset({"speak"}))),
        keys.change(LESS, made.record.id, Change(scopes=ALL_SCOPES)),
    ):
        with pytest.raises(Forbidden):
            await attempt
    assert await keys.get("home", more.record.id) == more.record


async def test_a_limited_key_makes_no_freer_one(keys: Keys) -> None:
    first = await keys.make(HOME, Wish(scopes=LESS.scopes, limits=KeyLimits(streams=2)))
    free = await keys.make(HOME, Wish(scopes=frozenset({"speak"})))
    maker = LESS._replace(key=first.record.id)
    child = await keys.make(maker, Wish(limits=KeyLimits(streams=9, contexts=1)))
    assert child.record.limits == KeyLimits(streams=2, contexts=1)
    changed = await keys.change(maker, first.record.id, Change(limits=None))
    assert changed.limits == KeyLimits(streams=2)
    assert (await keys.rotate(maker, free.record.id, 0)).record.limits == KeyLimits(streams=2)


async def test_a_key_that_ends_makes_none_that_outlives_it(keys: Keys, clock: Clock) -> None:
    soon, later = clock.now + timedelta(days=1), clock.now + timedelta(days=2)
    first = await keys.make(HOME, Wish(scopes=LESS.scopes, expires=soon))
    maker = LESS._replace(key=first.record.id)
    assert (await keys.make(maker, Wish())).record.expires == soon
    assert (await keys.make(maker, Wish(expires=later))).record.expires == soon
    sooner = clock.now + timedelta(hours=1)
    child = await keys.make(maker, Wish(expires=sooner))
    assert child.record.expires == sooner
    for wished in (later, None):
        changed = await keys.change(maker, first.record.id, Change(expires=wished))
        assert changed.expires == soon
        assert await keys.get("home", first.record.id) == changed
    endless = await keys.make(HOME, Wish(scopes=frozenset({"speak"})))
    assert (await keys.change(maker, endless.record.id, Change(label="renamed"))).expires is None
    assert (await keys.rotate(maker, endless.record.id, 0)).record.expires == soon


async def test_what_is_not_named_stays(keys: Keys, clock: Clock) -> None:
    later = clock.now + timedelta(days=1)
    made = await keys.make(HOME, Wish("before", limits=KeyLimits(streams=1), expires=later))
    changed = await keys.change(HOME, made.record.id, Change(label="after"))
    assert (changed.label, changed.limits, changed.expires) == ("after", KeyLimits(streams=1), later)
    changed = await keys.change(HOME, made.record.id, Change(expires=None, limits=None))
    assert (changed.limits, changed.expires) == (None, None)
    assert await keys.get("home", made.record.id) == changed
    with pytest.raises(BadRequest, match="over already"):
        await keys.change(HOME, made.record.id, Change(expires=clock.now))


async def test_a_rotated_key_is_good_until_the_overlap_ends(keys: Keys, clock: Clock) -> None:
    old = await keys.make(HOME, Wish("a client", scopes=frozenset({"speak"}), limits=KeyLimits(streams=3)))
    new = await keys.rotate(HOME, old.record.id, 60)
    assert (new.record.label, new.record.limits) == ("a client", KeyLimits(streams=3))
    assert new.record.scopes == {"speak"}
    assert new.record.replaces == old.record.id
    assert new.record.expires is None
    assert matches(PEPPER, old.key, await keys.get("home", old.record.id), clock.now)
    with pytest.raises(BadRequest) as again:
        await keys.rotate(HOME, old.record.id, 60)
    assert again.value.row_code == "conflict"
    clock.now += timedelta(seconds=60)
    assert not matches(PEPPER, old.key, await keys.get("home", old.record.id), clock.now)
    assert matches(PEPPER, new.key, await keys.get("home", new.record.id), clock.now)


async def test_a_key_that_ended_is_not_rotated_and_can_be_revoked_twice(keys: Keys, store: Store) -> None:
    made = await keys.make(HOME, Wish())
    await keys.revoke(HOME, made.record.id)
    await keys.revoke(HOME, made.record.id)
    with pytest.raises(BadRequest):
        await keys.rotate(HOME, made.record.id, 60)
    assert [event.action for event in await events(store)] == ["key.revoke", "key.create"]


async def test_another_tenants_key_does_not_exist(keys: Keys, store: Store) -> None:
    other = await _other(store)
    made = await keys.make(HOME, Wish())
    for attempt in (
        keys.get("t_other", made.record.id),
        keys.change(other, made.record.id, Change(label="mine")),
        keys.rotate(other, made.record.id, 0),
        keys.revoke(other, made.record.id),
    ):
        with pytest.raises(BadRequest) as refused:
            await attempt
        assert refused.value.row_code == "not_found"
    assert await keys.page("t_other") == []
    assert await keys.page("t_other", made.record.id) == []
    await keys.revoke(other, made.record.id, anywhere=True)
    assert (await keys.get("", made.record.id)).revoked is not None


async def test_pages_are_complete_and_the_latest_is_first(keys: Keys, clock: Clock) -> None:
    made = []
    for number in range(5):
        clock.now += timedelta(seconds=number // 2)  # some at the same moment
        made.append((await keys.make(HOME, Wish())).record.id)
    seen: list[str] = []
    while page := await keys.page("home", seen[-1] if seen else "", 2):
        seen += [record.id for record in page]
    assert sorted(seen) == sorted(made)
    assert seen[0] in made[-2:]


async def test_a_tenant_has_a_bounded_number_of_keys(keys: Keys, store: Store) -> None:
    await store.execute(
        "INSERT INTO keys (id, tenant, hash, environment, scopes)"
        " SELECT 'k' || n, 'home', 'h', 'live', '{speak}' FROM generate_series(1, $1) n",
        KEYS_MAX,
    )
    with pytest.raises(BadRequest, match="at most"):
        await keys.make(HOME, Wish())
    await keys.revoke(HOME, "k1")
    made = await keys.make(HOME, Wish())
    assert made.record.hash == hash_key(PEPPER, made.key)
    assert made.record.id == key_id(made.key)
