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


def test_a_gateway_without_anybody_says_that_it_waits() -> None:
    assert missing_engines({}) == ["a worker"]
