"""What an operator says of voices, and what each tenant sees of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from tests.accounts.running import live, running
from voicewire.accounts.audit import events
from voicewire.accounts.first_key import add_tenant
from voicewire.accounts.news import News
from voicewire.accounts.voices import NamedVoice, Voices
from voicewire.catalogue import Catalogue, Current
from voicewire.errors import BadRequest
from voicewire.storage.store import Conflict, Store
from voicewire.types import Model, Voice

ENGINES = [
    (
        Model("plain", "Plain", 22_050, "sam"),
        [Voice("sam", "Sam", "plain", "en-US", "male"), Voice("de", "Max", "plain", "de")],
    ),
    (
        Model("blender", "Blender", 24_000, "af_bella", blends=True),
        [Voice("af_bella", "Bella", "blender", "en-US"), Voice("af_sky", "Sky", "blender", "en-US")],
    ),
]
ACTOR = "key:admin"


@pytest.fixture
async def voices(store: Store, redis: Redis) -> Voices:
    async with store.transaction() as session:
        for tenant in ("t_a", "t_b"):
            await add_tenant(session, tenant, datetime(2026, 1, 1, tzinfo=UTC))
    return Voices(store, News(redis), ENGINES, "plain")


def _knows(catalogue: Catalogue, name: str, model: str = "") -> bool:
    try:
        catalogue.resolve(model, name, "")
    except BadRequest as error:
        if error.row_code != "unknown_voice":
            raise
        return False
    return True


async def test_without_names_the_catalogue_is_the_engines(voices: Voices) -> None:
    await voices.load()
    assert voices.catalogue("t_a") is voices.catalogue("t_b")
    assert [voice.name for voice in voices.catalogue("t_a").voices()] == ["Sam", "Max", "Bella", "Sky"]


async def test_a_public_name_stands_for_the_engines_voice(voices: Voices) -> None:
    await voices.put(NamedVoice("Narrator", "plain", "sam", description="calm"), ACTOR)
    catalogue = voices.catalogue("t_a")
    assert catalogue.resolve("", "narrator", "").voice == "sam"
    shown = catalogue.voice("Narrator")
    assert (shown.id, shown.language, shown.gender, shown.description) == ("sam", "en-US", "male", "calm")
    assert not _knows(catalogue, "Sam by another name")
    assert catalogue.resolve("plain", "", "").voice == "sam"


async def test_a_private_voice_does_not_exist_for_others(voices: Voices) -> None:
    await voices.put(NamedVoice("Ours", "blender", "af_sky", tenant="t_a"), ACTOR)
    mine, theirs = voices.catalogue("t_a"), voices.catalogue("t_b")
    for name in ("Ours", "ours", "af_sky", "AF_SKY", "af_sky(2)", "af_bella+af_sky", "af_bella(1),af_sky(2)"):
        assert not _knows(theirs, name, "blender"), name
        assert _knows(mine, name, "blender"), name
    assert "Ours" in {voice.name for voice in mine.voices()}
    assert {voice.id for voice in theirs.voices()} == {"sam", "de", "af_bella"}
    with pytest.raises(BadRequest):
        theirs.voice("af_sky")
    public = {
        voice: voices.public("blender", voice) for voice in ("af_bella", "af_sky", "af_bella+af_sky", "Bella", "x")
    }
    assert public == {"af_bella": True, "af_sky": False, "af_bella+af_sky": False, "Bella": False, "x": False}
    assert not voices.public("no such model", "af_bella")


async def test_a_voice_that_is_off_does_not_exist_and_another_is_the_default(voices: Voices) -> None:
    await voices.put(NamedVoice("Sam", "plain", "sam", active=False), ACTOR)
    catalogue = voices.catalogue("t_a")
    assert not _knows(catalogue, "sam")
    assert catalogue.resolve("plain", "", "").voice == "de"
    await voices.put(NamedVoice("Max", "plain", "de", active=False), ACTOR)
    assert not _knows(voices.catalogue("t_a"), "", "plain")


async def test_a_name_may_stand_for_a_blend(voices: Voices) -> None:
    await voices.put(NamedVoice("Both", "blender", "af_bella(2)+af_sky(1)", language="en-GB"), ACTOR)
    choice = voices.catalogue("t_a").resolve("", "both", "")
    assert (choice.model.id, choice.voice, choice.language) == ("blender", "af_bella(2)+af_sky(1)", "en-GB")
    assert _knows(voices.catalogue("t_a"), "af_bella")


WRONG = [
    (NamedVoice("X", "nothing", "sam"), "unknown_model"),
    (NamedVoice("X", "plain", "nobody"), "unknown_voice"),
    (NamedVoice("X", "plain", "sam+de"), "unknown_voice"),
    (NamedVoice("X", "plain", "sam", tenant="t_nobody"), "bad_message"),
    (NamedVoice("de", "plain", "sam"), "conflict"),
]


@pytest.mark.parametrize(("named", "code"), WRONG)
async def test_what_cannot_be_is_refused(voices: Voices, named: NamedVoice, code: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await voices.put(named, ACTOR)
    assert refused.value.row_code == code
    assert await voices.page() == []


async def test_names_differ_in_more_than_case(voices: Voices) -> None:
    await voices.put(NamedVoice("Narrator", "plain", "sam"), ACTOR)
    with pytest.raises(Conflict):
        await voices.put(NamedVoice("narrator", "plain", "de"), ACTOR)


async def test_what_was_removed_is_the_engines_again(voices: Voices, store: Store) -> None:
    await voices.put(NamedVoice("Ours", "plain", "sam", tenant="t_a"), ACTOR)
    assert not _knows(voices.catalogue("t_b"), "sam")
    await voices.delete("Ours", ACTOR)
    assert _knows(voices.catalogue("t_b"), "Sam")
    with pytest.raises(BadRequest):
        await voices.delete("Ours", ACTOR)
    assert [(event.action, event.tenant) for event in await events(store)] == [
        ("voice.delete", "t_a"),
        ("voice.put", "t_a"),
    ]


async def test_a_session_that_lives_follows_what_another_gateway_changes(store: Store, redis: Redis) -> None:
    here, there = News(redis), News(redis)
    following, changing = Voices(store, here, ENGINES, "plain"), Voices(store, there, ENGINES, "plain")
    session = Current(lambda: following.catalogue("t_a"))
    async with running(here.run(), following.run()):
        await live(here)
        assert session.resolve("", "sam", "").voice == "sam"
        await changing.put(NamedVoice("Narrator", "plain", "sam"), ACTOR)
        async with asyncio.timeout(5):
            while not _knows(following.catalogue("t_a"), "Narrator"):
                await asyncio.sleep(0.01)
        assert session.resolve("", "Narrator", "").voice == "sam"
