"""Keys as a gateway sees them: quick to forget what changed, slow to ask, on when PostgreSQL is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.accounts.running import live, running
from voicewire.accounts.key_cache import ASK_EVERY_S, REMEMBERED_S, UNSURE_S, KeyCache
from voicewire.accounts.keys import Keys, Maker, Wish
from voicewire.accounts.news import News
from voicewire.auth.keys import generate_key, key_id
from voicewire.errors import Busy
from voicewire.storage.store import Store, Unreachable

PEPPER = b"p" * 32
HOME = Maker.operator("home")


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Watched(Store):
    """A store that counts what it is asked, and can be cut off."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked: list[int] = []
        self.away = False
        self.gate: asyncio.Event | None = None

    async def fetch(self, sql: str, *args: object) -> list[object]:  # type: ignore[override]  # rows are of any kind
        if self.away:
            raise Unreachable("cut off")
        ids = args[0]
        self.asked.append(len(ids) if isinstance(ids, list) else 0)
        rows = await super().fetch(sql, *args)
        if self.gate is not None:
            await self.gate.wait()
        return list(rows)


@pytest.fixture
async def watched(postgres_url: str) -> AsyncIterator[Watched]:
    store = Watched(postgres_url)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def news(redis: Redis) -> News:
    return News(redis)


@pytest.fixture
async def cache(watched: Watched, news: News, clock: Clock) -> AsyncIterator[KeyCache]:
    cache = KeyCache(watched, news, clock=clock)
    async with running(cache.run()):
        yield cache


async def test_a_key_is_asked_for_once_in_30_seconds(
    watched: Watched, cache: KeyCache, news: News, clock: Clock
) -> None:
    made = await Keys(watched, PEPPER, None).make(HOME, Wish("a client"))
    async with running(news.run()):
        await live(news)
        for _ in range(3):
            assert await cache.find(made.record.id) == made.record
        assert await cache.find("aaaaaaaa") is None
        assert await cache.find("aaaaaaaa") is None
        assert watched.asked == [1, 1]
        clock.now_s += REMEMBERED_S
        await cache.find(made.record.id)
        assert watched.asked == [1, 1, 1]


async def test_without_news_it_is_remembered_for_two_seconds(watched: Watched, cache: KeyCache, clock: Clock) -> None:
    made = await Keys(watched, PEPPER, None).make(HOME, Wish())
    await cache.find(made.record.id)
    clock.now_s += UNSURE_S
    await Keys(watched, PEPPER, None).revoke(HOME, made.record.id)  # by somebody who cannot tell
    found = await cache.find(made.record.id)
    assert found is not None
    assert found.revoked is not None


async def test_what_another_gateway_changes_is_seen_at_once(watched: Watched, redis: Redis) -> None:
    """Made, found unknown here before; revoked; its tenant suspended: each is told, whatever was remembered."""
    here, there = News(redis), News(redis)
    cache = KeyCache(watched, here)
    keys = Keys(watched, PEPPER, there)
    heard = asyncio.Event()
    here.on("keys", lambda _: heard.set())
    here.on("tenants", lambda _: heard.set())

    async def told() -> None:
        async with asyncio.timeout(5):
            await heard.wait()
        heard.clear()

    async with running(cache.run(), here.run()):
        await live(here)
        heard.clear()
        key = generate_key()
        assert await cache.find(key_id(key)) is None
        made = await Keys(watched, PEPPER, there, generate=lambda _: key).make(HOME, Wish())
        await told()
        assert await cache.find(made.record.id) == made.record
        await watched.execute("UPDATE tenants SET suspended = now() WHERE id = 'home'")
        await there.tell("tenants", "home")
        await told()
        found = await cache.find(made.record.id)
        assert found is not None
        assert found.suspended
        await keys.revoke(HOME, made.record.id)
        await told()
        found = await cache.find(made.record.id)
        assert found is not None
        assert found.revoked is not None


async def test_a_change_while_it_is_read_is_not_remembered_as_it_was(watched: Watched, cache: KeyCache) -> None:
    made = await Keys(watched, PEPPER, None).make(HOME, Wish())
    watched.gate = asyncio.Event()
    reading = asyncio.create_task(cache.find(made.record.id))
    while not watched.asked:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    await watched.execute("UPDATE keys SET revoked = now()")
    cache._forget(made.record.id)
    watched.gate.set()
    await reading
    found = await cache.find(made.record.id)
    assert found is not None
    assert found.revoked is not None


async def test_a_flood_of_unknown_keys_is_asked_for_in_few_statements(watched: Watched, cache: KeyCache) -> None:
    made = await Keys(watched, PEPPER, None).make(HOME, Wish())
    first = asyncio.create_task(cache.find("aaaaaaaa"))
    await asyncio.sleep(0)
    flood = [cache.find(key_id(generate_key())) for _ in range(1_000)]
    *bogus, good = await asyncio.gather(*flood, cache.find(made.record.id))
    await first
    assert bogus == [None] * 1_000
    assert good == made.record
    assert len(watched.asked) <= 3
    assert sum(watched.asked) == 1_002


async def test_too_many_who_wait_are_told_so(watched: Watched, cache: KeyCache) -> None:
    watched.gate = asyncio.Event()
    answers = [asyncio.ensure_future(cache.find(key_id(generate_key()))) for _ in range(4_500)]
    async with asyncio.timeout(5):
        while not any(answer.done() for answer in answers):
            await asyncio.sleep(0.01)
    watched.gate.set()
    results = await asyncio.gather(*answers, return_exceptions=True)
    assert {type(result) for result in results} == {type(None), Busy}


async def test_while_postgresql_is_away_known_keys_go_on(watched: Watched, cache: KeyCache, clock: Clock) -> None:
    made = await Keys(watched, PEPPER, None).make(HOME, Wish())
    await cache.find(made.record.id)
    watched.away = True
    clock.now_s += 600
    for _ in range(3):
        assert await cache.find(made.record.id) == made.record
    with pytest.raises(Busy):
        await cache.find("aaaaaaaa")
    watched.away = False
    async with asyncio.timeout(5):
        while True:
            try:
                assert await cache.find("aaaaaaaa") is None
            except Busy:
                await asyncio.sleep(ASK_EVERY_S)
            else:
                break
    assert await cache.find(made.record.id) == made.record


async def test_whoever_gave_up_waiting_does_not_stop_the_others(watched: Watched, cache: KeyCache) -> None:
    made = await Keys(watched, PEPPER, None).make(HOME, Wish())
    watched.gate = asyncio.Event()
    impatient, patient = (asyncio.ensure_future(cache.find(made.record.id)) for _ in range(2))
    await asyncio.sleep(0.05)
    impatient.cancel()
    watched.gate.set()
    assert await patient == made.record


async def test_the_operators_key_is_found_by_whatever_it_shows(watched: Watched, news: News) -> None:
    await Keys(watched, PEPPER, None, generate=lambda _: "the-operators-own-key").make(HOME, Wish())
    cache = KeyCache(watched, news, given_id="abcdefgh")
    async with running(cache.run()):
        found = await cache.find("abcdefgh")
        assert found is not None
        assert found.id == "bootstrap"


async def test_uses_are_written_in_one_statement(watched: Watched, cache: KeyCache) -> None:
    keys = Keys(watched, PEPPER, None)
    made = [await keys.make(HOME, Wish(str(number))) for number in range(3)]
    for each in made[:2]:
        cache.used(each.record.id)
        cache.used(each.record.id)
    await cache.write_last_used()
    records = {record.id: record for record in await keys.page("home")}
    assert [records[each.record.id].last_used is not None for each in made] == [True, True, False]


async def test_a_silent_redis_is_noticed_and_what_was_missed_is_forgotten(redis: Redis) -> None:
    news, others = News(redis), News(redis)
    heard: list[str] = []
    news.on("keys", heard.append)
    async with running(news.run()):
        await live(news)
        assert heard == [""]
        await redis.client_kill_filter(_type="pubsub")
        async with asyncio.timeout(5):
            while news.live:
                await asyncio.sleep(0.01)
        await others.tell("keys", "missed")
        await live(news)
        assert heard[:2] == ["", ""]


async def test_what_could_not_be_told_is_told_later(redis: Redis) -> None:
    class Deaf(Redis):
        async def publish(self, *_: object, **__: object) -> int:
            raise ConnectionError

    telling, hearing = News(redis), News(redis)
    heard: list[str] = []
    hearing.on("keys", heard.append)
    async with running(hearing.run()):
        await live(hearing)
        telling._redis = Deaf()
        await telling.tell("keys", "late")
        telling._redis = redis
        async with running(telling.run()), asyncio.timeout(5):
            while "late" not in heard:
                await asyncio.sleep(0.01)
