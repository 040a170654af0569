"""What a gateway makes of workers elsewhere: their models come and go, and its own engines stay its own."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from voicewire.accounts.voices import Engines, Voices
from voicewire.engines.pooling import Pool
from voicewire.engines.tone import open_engine
from voicewire.remote.exchange import Exchange
from voicewire.remote.presence import Beat, Fleet
from voicewire.remote.remote_pool import RemotePool
from voicewire.remote.scripts import FleetCalls
from voicewire.server import workers
from voicewire.server.pools import missing_engines
from voicewire.server.workers import Staff

TONE, VOICES = open_engine().model, tuple(open_engine().voices())


class Offered(Voices):
    """Remembers what it was offered, and needs no database for that."""

    def __init__(self) -> None:
        self.offers: list[Engines] = []

    def offer(self, engines: Engines) -> None:
        self.offers.append(engines)


def speaks(id: str, lanes: int = 4, description: str = "") -> Beat:
    return Beat(kind="worker", model=replace(TONE, id=id, description=description), voices=VOICES, lanes=lanes)


async def test_models_come_with_the_first_worker_and_go_with_the_last(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, voices, exchange = Fleet(redis, FleetCalls()), Offered(), Exchange(redis)
    here = RemotePool(replace(TONE, id="here"), VOICES, exchange, queue_limit=1)
    pools: dict[str, Pool] = {"here": here}
    staff = Staff(fleet, exchange, pools, voices, 10)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(exchange.close)
        stack.push_async_callback(staff.close)
        await staff.look()
        assert (list(pools), voices.offers) == (["here"], [])
        for name, model in (("a", "tone"), ("b", "tone"), ("c", "here")):
            await fleet.beat(name, speaks(model))
        await staff.look()
        assert pools.keys() == {"here", "tone"}
        assert pools["here"] is here, "what is spoken here is not asked of others"
        assert pools["tone"].stats().workers == 2
        await fleet.beat("a", speaks("tone", description="another release"))
        await staff.look()
        assert [[model.id for model, _ in offer] for offer in voices.offers] == [["here", "tone"]] * 2
        assert pools["tone"].model.description == "another release"
        for name in "ab":
            await fleet.leave(name)
        await staff.look()
        assert pools["tone"].stats().workers == 0
        monkeypatch.setattr(workers, "GONE_S", -1.0)
        await staff.look()
        assert pools.keys() == {"here"}
        assert len(voices.offers) == 3


async def test_a_model_has_the_voices_that_all_its_workers_have(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    fleet, voices, exchange = Fleet(redis, FleetCalls()), Offered(), Exchange(redis)
    pools: dict[str, Pool] = {}
    staff = Staff(fleet, exchange, pools, voices, 10)

    async def listed(**said: str) -> list[str]:
        """What is listed once these workers say what they have: `id` or `id:consent`."""
        for name, has in said.items():
            found = [replace(VOICES[0], id=id, consent=mark) for id, _, mark in (e.partition(":") for e in has.split())]
            await fleet.beat(name, Beat(kind="worker", model=TONE, voices=tuple(found), lanes=4))
        for _ in range(workers.DIFFERENT_LOOKS + 2):
            await staff.look()
        return [voice.id for voice in pools["tone"].voices]

    def warned() -> int:
        return sum("have different voices" in line for line in caplog.messages)

    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(exchange.close)
        stack.push_async_callback(staff.close)
        assert await listed(a="one two") == ["one", "two"]
        assert await listed(a="one two", b="two three") == ["two"]
        assert await listed(a="one two", b="two three") == ["two"]
        assert warned() == 1
        assert await listed(a="two three", b="two three") == ["two", "three"]
        assert await listed(a="two three", b="two:other three") == ["three"], "another consent is another voice"
        assert warned() == 2
        await fleet.leave("a")
        assert await listed(b="four") == ["four"]
        assert [[voice.id for voice in offer[0][1]] for offer in voices.offers] == [
            ["one", "two"],
            ["two"],
            ["two", "three"],
            ["three"],
            ["four"],
        ]


def test_a_gateway_without_anybody_says_that_it_waits() -> None:
    assert missing_engines({}) == ["a worker"]
