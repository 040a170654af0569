"""Heartbeats on a real Redis: who lives is known to all, who leaves or falls silent is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from voicewire.engines.tone import open_engine
from voicewire.remote.keys import SEEN_KEY
from voicewire.remote.presence import FRESH_S, Beat, Fleet, workers
from voicewire.remote.scripts import FleetCalls
from voicewire.types import KEY_PREFIX

TONE = open_engine().model
OTHER = replace(TONE, id="other")


def speaks(model: object = TONE, **fields: object) -> Beat:
    return Beat(kind="worker", model=model, voices=tuple(open_engine().voices()), lanes=4, **fields)  # type: ignore[arg-type]  # as a test likes it


@pytest.fixture
def fleet(redis: Redis) -> Fleet:
    return Fleet(redis, FleetCalls())


async def test_what_is_said_is_heard_by_all(fleet: Fleet) -> None:
    said = speaks(counts={"completed": 7})
    await fleet.beat("b", said)
    await fleet.beat("a", Beat(kind="gateway", streams=3))
    first, second = await fleet.members()
    assert (first.name, first.beat.kind, first.beat.streams) == ("a", "gateway", 3)
    assert (second.name, second.beat) == ("b", said)
    assert 0 <= second.age_s <= FRESH_S


async def test_who_leaves_or_falls_silent_is_gone(fleet: Fleet, redis: Redis) -> None:
    for name in ("leaves", "silent", "stays"):
        await fleet.beat(name, speaks())
    await fleet.leave("leaves")
    await redis.zincrby(KEY_PREFIX + SEEN_KEY, -1_000 * FRESH_S - 60_000, "silent")
    assert [member.name for member in await fleet.members()] == ["stays"]
    await fleet.beat("stays", speaks())
    assert await redis.zrange(KEY_PREFIX + SEEN_KEY, 0, -1) == [b"stays"], "and is forgotten"


async def test_who_cannot_be_understood_is_left_out(fleet: Fleet, redis: Redis) -> None:
    await FleetCalls().beat(redis, "tomorrow's", b"\x93\x01\x02\x03")
    await fleet.beat("ours", speaks())
    assert [member.name for member in await fleet.members()] == ["ours"]


async def test_workers_are_found_by_their_model_unless_they_drain(fleet: Fleet) -> None:
    await fleet.beat("a", speaks())
    await fleet.beat("b", speaks(OTHER))
    await fleet.beat("c", speaks(draining=True))
    await fleet.beat("d", Beat(kind="gateway"))
    found = workers(await fleet.members())
    assert {model: [member.name for member in members] for model, members in found.items()} == {
        "tone": ["a"],
        "other": ["b"],
    }
