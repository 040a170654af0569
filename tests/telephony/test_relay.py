"""Calls on other gateways, over a real Redis: what is said to a call, and of it, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from voicewire import frames
from voicewire.errors import BadRequest
from voicewire.remote.turns import end
from voicewire.server.live.live import Live
from voicewire.server.telephony import relay as relays
from voicewire.server.telephony.call import Call
from voicewire.server.telephony.calls import Calls
from voicewire.server.telephony.elsewhere import Elsewhere
from voicewire.server.telephony.reach import Reach
from voicewire.server.telephony.relay import Relay
from voicewire.server.telephony.utterance import Agent
from voicewire.storage.redis import open_redis
from voicewire.types import CallEvent

WAIT_S = 10


class Held:
    """Stands for a call: notes what it is told, and answers each context's end. A call's own test is on a server."""

    id, tenant, live = "CA1", "t_mine", True

    def __init__(self) -> None:
        self.agents: dict[str, Agent] = {}
        self.said: list[str] = []
        self.hushed: list[str] = []
        self.left = asyncio.Event()

    def take(self, agent: Agent, message: frames.ClientMessage) -> None:
        self.agents[agent.id] = agent
        if isinstance(message, frames.Text):
            self.said.append(message.text)
        if isinstance(message, frames.Flush):
            raise BadRequest("unknown_context", context=message.context)
        if isinstance(message, frames.End):
            agent.tell(frames.Call(self.id, CallEvent.HEARD, message.context, (0, len(self.said))))

    def hush(self, agent: Agent) -> None:
        self.hushed.append(agent.id)

    def leave(self, agent: Agent) -> None:
        del self.agents[agent.id]
        self.left.set()


class Session:
    """Stands for a session that speaks into calls."""

    def __init__(self, id: str, tenant: str) -> None:
        self.id, self.tenant, self.key = id, tenant, f"key of {id}"
        self.told: asyncio.Queue[Any] = asyncio.Queue()

    def tell(self, message: frames.ServerMessage) -> None:
        self.told.put_nowait(message)

    def over(self) -> None: ...

    async def hear(self) -> Any:
        return await asyncio.wait_for(self.told.get(), WAIT_S)


@asynccontextmanager
async def gateway(redis: Redis, calls: Calls) -> AsyncIterator[Relay]:
    relay = Relay(redis, calls)
    tasks = [asyncio.create_task(run()) for run in (relay.run, relay.deliver)]
    while not await redis.pubsub_channels(f"*{relay.gateway}"):
        await asyncio.sleep(0.01)
    try:
        yield relay
    finally:
        await end(tasks)


async def test_a_session_speaks_into_a_call_on_another_gateway(redis: Redis) -> None:
    calls, held = Calls(), Held()
    async with gateway(redis, calls) as there, gateway(redis, Calls()) as here:
        session, stranger = Session("s_1", "t_mine"), Session("s_2", "t_theirs")
        way, other = Reach(here, "CA1", session), Reach(here, "CA1", stranger)
        for each in (way, other):  # before the call is there
            each.take(frames.Open("a", to="call:CA1"))
        words = [str(number) for number in range(200)]
        for word in words[:100]:
            way.take(frames.Text("a", word))
        calls.add(cast(Call, held))
        await there.announce(cast(Call, held))
        await asyncio.wait_for(way.task, WAIT_S)
        for word in words[100:]:
            way.take(frames.Text("a", word))
        way.take(frames.End("a"))
        assert await session.hear() == frames.Call("CA1", CallEvent.HEARD, "a", (0, 200))
        assert held.said == words
        assert [agent.key for agent in held.agents.values()] == [session.key]
        way.take(frames.Flush("a"))
        assert (await session.hear()).code == "unknown_context"
        assert (await stranger.hear()).code == "unknown_call"
        way.leave()
        await asyncio.wait_for(held.left.wait(), WAIT_S)
        assert not held.hushed


async def test_who_may_not_speak_any_more_is_silenced_on_another_gateway(redis: Redis) -> None:
    calls, held = Calls(), Held()
    async with gateway(redis, calls) as there, gateway(redis, Calls()) as here:
        calls.add(cast(Call, held))
        await there.announce(cast(Call, held))
        session = Session("s_1", "t_mine")
        way, early = (Reach(here, "CA1", session) for _ in range(2))
        early.take(frames.Text("a", "Never."))
        early.hush()  # before the call was found
        way.take(frames.Text("a", "Yes."))
        await asyncio.gather(early.task, way.task)
        way.take(frames.End("a"))
        await session.hear()
        way.hush()
        await asyncio.wait_for(held.left.wait(), WAIT_S)
    assert (held.said, held.hushed) == (["Yes."], ["s_1"])


class Application:
    """Stands for a session on a socket, as far as what it says goes into calls."""

    id, attached = "s_1", True
    principal = SimpleNamespace(tenant="t_mine", key="k_1")
    session = SimpleNamespace(contexts={})

    def __init__(self) -> None:
        self.told: list[frames.ServerMessage] = []

    def send(self, message: frames.ServerMessage) -> None:
        self.told.append(message)


async def test_text_that_is_on_its_way_when_the_caller_hangs_up_says_nothing(redis: Redis) -> None:
    calls, held, live = Calls(), Held(), Application()
    calls.add(cast(Call, held))
    async with gateway(redis, calls) as there, gateway(redis, Calls()) as here:
        await there.announce(cast(Call, held))
        elsewhere = Elsewhere(here, cast(Live, live))
        for context, text in (("a", "Yes. "), ("b", "Again.")):
            assert elsewhere.take(frames.Open(context, to="call:CA1"))
            assert elsewhere.take(frames.Text(context, text))
            async with asyncio.timeout(WAIT_S):
                while held.said[-1:] != [text]:
                    await asyncio.sleep(0.01)
            elsewhere.tell(frames.Call("CA1", CallEvent.ENDED))
            assert elsewhere.take(frames.Text(context, "Never."))
            elsewhere.tell(frames.Cancelled(context, 0, (0, 0), (0, 5), 0, 0, None))
            assert not elsewhere.take(frames.Text(context, "Never."))
    assert held.said == ["Yes. ", "Again."]
    assert [type(message) for message in live.told] == [frames.Call, frames.Cancelled] * 2


async def test_a_gateway_that_died_has_no_calls(redis: Redis) -> None:
    calls, held = Calls(), Held()
    async with gateway(redis, Calls()) as here:
        async with gateway(redis, calls) as there:
            calls.add(cast(Call, held))
            await there.announce(cast(Call, held))
        session = Session("s_1", "t_mine")
        way = Reach(here, "CA1", session)
        way.take(frames.Open("a", to="call:CA1"))
        lost = await session.hear()
        assert (lost.code, lost.context) == ("unknown_call", "a")


async def test_that_nobody_is_heard_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = 0

    def tried() -> None:
        nonlocal tries
        tries += 1

    monkeypatch.setattr(relays, "AGAIN_S", 0.001)
    monkeypatch.setattr(relays, "leave_if_cancelled", tried)
    nowhere = open_redis("redis://127.0.0.1:1")
    running = asyncio.create_task(Relay(nowhere, Calls()).run())
    async with asyncio.timeout(30):
        while tries < 5:
            await asyncio.sleep(0.01)
    await end([running])
    await nowhere.aclose()
    assert [line for line in caplog.messages if "not heard" in line] == [
        "calls on other gateways are not heard: ConnectionError"
    ]
