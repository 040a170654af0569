"""The sessions of a gateway on a real Redis: who is let in and with what limits, and whose a session is."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import pytest
from redis.asyncio import Redis

from tests.server.costing import meter_over
from tests.test_session import CATALOGUE
from voicewire import frames
from voicewire.auth.principal import Limits as CallerLimits
from voicewire.auth.principal import Principal
from voicewire.clips import Clips
from voicewire.errors import Busy, Gone, OverQuota
from voicewire.frames import Parser, Ready
from voicewire.pipeline import Pipeline
from voicewire.server.leases import Leases
from voicewire.server.limits import Limiter
from voicewire.server.live import sessions as module
from voicewire.server.live.journal import Journal
from voicewire.server.live.live import Live
from voicewire.server.live.machinery import Machinery, Settings
from voicewire.server.live.sessions import Admission, Sessions
from voicewire.server.live.ticker import Ticker
from voicewire.server.live.wire import WireProtocol
from voicewire.session import Limits
from voicewire.storage.ledger import Ledger
from voicewire.storage.rates import Rates
from voicewire.storage.store import Store

CALLER = Principal("k", "t", frozenset({"speak"}), "key", limits=CallerLimits(streams=100))


class Wire:
    """A connection that reads everything: what was written, and how it was closed."""

    stuck = False
    buffered_bytes = 0

    def __init__(self) -> None:
        self.messages: list[frames.ServerMessage] = []
        self.closed: list[str] = []

    def write(self, data: bytes) -> None:
        self.messages.append(Parser().server(data[data.index(b"{") :]))

    def finish(self, code: int, reason: str) -> None:  # noqa: ARG002 - as WireProtocol has it
        self.closed.append(reason)


def machinery(redis: Redis) -> Machinery:
    settings = Settings(Limits(contexts=4, text_chars=1_000), 5.0, 60.0, 1 << 20, "tone")

    ledger = Ledger(redis, Store("postgresql://nobody@127.0.0.1/nothing"))
    meter = meter_over(ledger)
    journal = Journal(redis, interval_s=0.01, resume_s=60.0)
    return Machinery(settings, Pipeline({}, Clips(0)), Ticker(0.005), journal, meter, Parser(), print)


def gateway(redis: Redis, streams_max: int = 100) -> Sessions:
    async def limits_of(tenant: str) -> CallerLimits:  # noqa: ARG001 - every tenant has the same
        return CALLER.limits

    rates = Rates(redis)
    limiter = Limiter(rates, Leases(rates), limits_of)
    return Sessions(machinery(redis), Admission(streams_max, 1 << 18), limiter, lambda _: CATALOGUE)


@pytest.fixture
async def sessions(redis: Redis) -> AsyncIterator[Sessions]:
    here = gateway(redis)
    yield here
    await here.leave()


async def begin(sessions: Sessions, caller: Principal = CALLER) -> tuple[Live, Wire, Ready]:
    wire = Wire()
    live = await sessions.begin(cast(WireProtocol, wire), caller)
    [ready] = wire.messages
    assert isinstance(ready, Ready)
    return live, wire, ready


async def resume(sessions: Sessions, ready: Ready, token: str = "") -> tuple[Live, Wire] | None:
    wire = Wire()
    found = await sessions.claim(frames.Resume(ready.session, token or ready.resume_token))
    if found is None:
        return None
    return await sessions.resume(cast(WireProtocol, wire), *found, {}), wire


async def test_a_session_has_the_lower_of_the_servers_and_its_callers_limits(sessions: Sessions) -> None:
    poor = replace(CALLER, limits=CallerLimits(contexts=1, text_chars=5_000))
    live, wire, ready = await begin(sessions, poor)
    assert (ready.limits.contexts, ready.limits.text_chars) == (1, 1_000)
    for name in "ab":
        live.receive(f'{{"type":"open","context":"{name}"}}')
    refusal = wire.messages[-1]
    assert isinstance(refusal, frames.Error)
    assert (refusal.code, refusal.context) == ("too_many_contexts", "b")
    _, _, other = await begin(sessions)
    assert other.limits.contexts == 4
    resumed = await resume(sessions, ready)
    assert resumed
    assert isinstance(resumed[1].messages[0], Ready)
    assert resumed[1].messages[0].limits == ready.limits


async def test_who_was_looked_at_again_has_the_limits_of_now(sessions: Sessions) -> None:
    live, wire, _ = await begin(sessions)
    live.receive('{"type":"open","context":"before"}')
    fewer = replace(CALLER, limits=CallerLimits(contexts=2, text_chars=5, models=frozenset({"another"})))
    live.confirm(fewer)
    assert (live.principal, live.session.limits.contexts, live.session.limits.text_chars) == (fewer, 2, 5)
    assert live.session.limits.message_bytes == Limits().message_bytes
    live.receive('{"type":"open","context":"after"}')
    live.receive('{"type":"text","context":"before","text":"As it was granted."}')
    refusal = wire.messages[-1]
    assert isinstance(refusal, frames.Error)
    assert (refusal.code, refusal.context, [*live.session.contexts]) == ("forbidden", "after", ["before"])


async def test_whoever_has_no_context_rouses_the_model_that_it_speaks_with(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    roused: list[str] = []
    monkeypatch.setattr(Pipeline, "rouse", lambda _, model: roused.append(model))
    live, _, _ = await begin(sessions)
    live.stir()
    assert roused == ["tone"], "as long as nothing else is known"
    live.receive('{"type":"open","context":"c"}')
    live.stir()
    assert roused == ["tone"], "it may be more text of a context"
    live.receive('{"type":"cancel","context":"c"}')
    live.receive('{"type":"speak","context":"d","text":"Hello.","model":"none"}')
    live.stir()
    assert roused == ["tone", "none", "m"], "what it spoke with"


async def test_a_caller_has_so_many_connections_and_another_has_their_own(sessions: Sessions) -> None:
    single = replace(CALLER, limits=CallerLimits(streams=1))
    live, _, _ = await begin(sessions, single)
    with pytest.raises(OverQuota):
        await begin(sessions, single)
    await begin(sessions, replace(single, id="another"))
    await sessions.step_aside(live)
    await sessions.step_aside(live)
    await begin(sessions, single)
    assert len(sessions) == 2


async def test_a_gateway_that_is_full_or_leaving_lets_nobody_in(redis: Redis) -> None:
    here = gateway(redis, streams_max=1)
    _, wire, ready = await begin(here)
    with pytest.raises(Busy):
        here.admit()
    assert await resume(here, ready), "who is here already needs no further place"
    here.drain(250)
    assert isinstance(wire.messages[0], Ready)
    for knock in (begin(here), resume(here, ready)):
        with pytest.raises(Busy) as refused:
            await knock
        assert refused.value.row_code == "draining"
    await here.leave()


async def test_a_session_is_taken_over_by_who_has_its_token_only(sessions: Sessions) -> None:
    live, wire, ready = await begin(sessions)
    assert await resume(sessions, ready, token="wrong") is None
    assert (live.attached, wire.closed) == (True, [])
    resumed = await resume(sessions, ready)
    assert resumed
    assert resumed[0].owner == live.owner + 1
    assert (live.attached, wire.closed) == (False, ["resumed_elsewhere"])
    assert list(sessions) == [resumed[0]]


async def test_of_two_claims_the_later_owns_the_session_whichever_comes_in_first(sessions: Sessions) -> None:
    _, _, ready = await begin(sessions)
    message = frames.Resume(ready.session, ready.resume_token)
    earlier = await sessions.claim(message)
    later = await sessions.claim(message)
    assert earlier
    assert later
    wire = Wire()
    owner = await sessions.resume(cast(WireProtocol, wire), *later, {})
    with pytest.raises(Gone) as refused:
        await sessions.resume(cast(WireProtocol, Wire()), *earlier, {})
    assert refused.value.row_code == "resumed_elsewhere"
    assert (list(sessions), wire.closed) == ([owner], [])


async def test_of_two_claims_the_earlier_gives_way_when_it_came_in_first(sessions: Sessions) -> None:
    _, _, ready = await begin(sessions)
    message = frames.Resume(ready.session, ready.resume_token)
    earlier, later = await sessions.claim(message), await sessions.claim(message)
    assert earlier
    assert later
    wire = Wire()
    await sessions.resume(cast(WireProtocol, wire), *earlier, {})
    owner = await sessions.resume(cast(WireProtocol, Wire()), *later, {})
    assert (list(sessions), wire.closed) == ([owner], ["resumed_elsewhere"])


async def test_every_session_that_a_gateway_leaves_goes_on_elsewhere(redis: Redis) -> None:
    here, there = gateway(redis), gateway(redis)
    begun = [(await begin(here))[2] for _ in range(80)]
    await here.leave()
    assert len(here) == 0
    assert all([await resume(there, ready) for ready in begun])
    await there.leave()


async def test_a_redis_that_hangs_does_not_hold_up_the_end(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lives = [(await begin(sessions))[0] for _ in range(3)]

    async def hang(*, resumable: bool) -> None:  # noqa: ARG001 - as Live.leave
        await asyncio.sleep(math.inf)

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(module, "LEAVE_S", 0.05)
        patched.setattr(lives[1], "leave", hang)
        await sessions.leave()
    assert "1 sessions were not kept" in caplog.text
