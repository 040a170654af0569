"""Calls on other gateways: which has a call stands in Redis, and what is said to and of it goes over a channel of each.

A channel keeps nothing. When one breaks, whoever speaks from here into a call there is told so, and may begin again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import Any

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicewire import frames
from voicewire.errors import RETRY_MS, BadRequest, Busy, VoicewireError
from voicewire.server.telephony.call import Call
from voicewire.server.telephony.calls import Calls
from voicewire.server.telephony.utterance import Agent
from voicewire.storage.channel import leave_if_cancelled, messages
from voicewire.types import KEY_PREFIX

LOGGER = logging.getLogger(__name__)

CALL_KEY = "call:{tenant} {id}"
"""Redis, string with expiry: which gateway holds a tenant's call. In the name of a call is no space."""

CALLS_KEY = "calls:{gateway}"
"""Redis, channel: what is said to the calls of a gateway, and to the sessions on it that speak into others'."""

GATEWAY_BYTES = 9
CALL_S = 24 * 3_600  # longer than a call may last
WAITING_MAX = 10_000  # letters; beyond it a session is told that its words are lost
AT_ONCE = 100
FIND_S = 2.0  # an application may know of a call before its stream is here
FIND_EVERY_S = 0.1
AGAIN_S = 0.5


class Letter(Struct, frozen=True):
    """What a session says to a call; or, without a call, what it is told. An empty message: the session is gone."""

    agent: str
    message: bytes
    call: str = ""
    tenant: str = ""
    gateway: str = ""  # the session's
    hushed: bool = False  # … because it may not speak any more
    key: str = ""  # under which the session's speech is recorded


class FarAgent:
    """A session on another gateway, as a call here has it."""

    def __init__(self, relay: Relay, letter: Letter) -> None:
        self.id, self.tenant, self.key = letter.agent, letter.tenant, letter.key
        self._gateway, self._relay = letter.gateway, relay

    def tell(self, message: frames.ServerMessage) -> None:
        """Send it there."""
        with contextlib.suppress(Busy):  # then it hears no more, as when a gateway dies
            self._relay.send(self._gateway, Letter(self.id, frames.serialize(message)))

    def over(self) -> None:
        """It was told of the end."""


class Relay:
    """One of a gateway. `run` and `deliver` are kept going by it."""

    def __init__(self, redis: Redis, calls: Calls, prefix: str = KEY_PREFIX) -> None:
        self.gateway = secrets.token_hex(GATEWAY_BYTES)
        self._redis, self._calls, self._prefix = redis, calls, prefix
        self._parser = frames.Parser()
        self._reached: dict[str, Agent] = {}  # sessions here that speak into calls elsewhere
        self._waiting: asyncio.Queue[tuple[str, Letter]] = asyncio.Queue(WAITING_MAX)
        self._deaf = False  # and it was said

    # where calls are

    async def announce(self, call: Call) -> None:
        """Let other gateways find a call."""
        try:
            await self._redis.set(self._key(call.tenant, call.id), msgspec.json.encode(self.gateway), ex=CALL_S)
        except (RedisError, OSError):
            LOGGER.warning("a call cannot be found by other gateways")

    async def forget(self, call: Call) -> None:
        """A call is over."""
        with contextlib.suppress(RedisError, OSError):  # it expires
            await self._redis.delete(self._key(call.tenant, call.id))

    async def find(self, id: str, tenant: str) -> Call | str | None:
        """Return a call, or the gateway that has it; waits for one that is about to begin. Raises `Busy`."""
        deadline = asyncio.get_running_loop().time() + FIND_S
        while asyncio.get_running_loop().time() < deadline:
            call = self._calls.find(id, tenant)
            if call is not None:
                return call
            try:
                found = await self._redis.get(self._key(tenant, id))
            except (RedisError, OSError) as error:
                raise Busy(retry_after_ms=RETRY_MS) from error
            gateway = msgspec.json.decode(found, type=str) if found else self.gateway
            if gateway != self.gateway:
                return gateway
            await asyncio.sleep(FIND_EVERY_S)
        return None

    def _key(self, tenant: str, id: str) -> str:
        return self._prefix + CALL_KEY.format(tenant=tenant, id=id)

    # letters out

    def reach(self, agent: Agent) -> None:
        """Hear for a session of this gateway what calls elsewhere say."""
        self._reached[agent.id] = agent

    def part(self, agent: Agent) -> None:
        """A session is gone."""
        self._reached.pop(agent.id, None)

    def send(self, gateway: str, letter: Letter) -> None:
        """Send a letter, behind those before it. Raises `Busy`."""
        try:
            self._waiting.put_nowait((gateway, letter))
        except asyncio.QueueFull:
            raise Busy(retry_after_ms=RETRY_MS) from None

    async def deliver(self) -> None:
        """Send letters in their order, for ever."""
        while True:
            batch = [await self._waiting.get()]
            while not self._waiting.empty() and len(batch) < AT_ONCE:
                batch.append(self._waiting.get_nowait())
            try:
                heard = await self._publish(batch)
            except (RedisError, OSError):
                heard = [0] * len(batch)
            for (_, letter), count in zip(batch, heard, strict=True):
                if not count and letter.call and letter.message:
                    self._lost(letter)

    async def _publish(self, batch: list[tuple[str, Letter]]) -> list[int]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for gateway, letter in batch:
                pipeline.publish(self._channel(gateway), msgspec.json.encode(letter))
            counts: list[int] = await pipeline.execute()
        return counts

    def _lost(self, letter: Letter) -> None:
        """Nobody heard what a session said: its context would have a hole."""
        agent = self._reached.get(letter.agent)
        if agent is not None:
            context = getattr(self._parser.client(letter.message), "context", "")
            agent.tell(frames.Error.of(BadRequest("unknown_call", call=letter.call), context))

    def _channel(self, gateway: str) -> str:
        return self._prefix + CALLS_KEY.format(gateway=gateway)

    # letters in

    async def run(self) -> None:
        """Take letters, for ever."""
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                if not self._deaf:
                    LOGGER.warning("calls on other gateways are not heard: %s", type(error).__name__)
                self._deaf = True
            leave_if_cancelled()
            await asyncio.sleep(AGAIN_S)

    async def _listen(self) -> None:
        async with contextlib.aclosing(messages(self._redis, self._channel(self.gateway))) as heard:
            async for message in heard:
                self._deaf = False
                if message["type"] == "message":
                    self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        letter = msgspec.json.decode(message["data"], type=Letter)
        if letter.call:
            self._said(letter)
        elif (agent := self._reached.get(letter.agent)) is not None:
            agent.tell(self._parser.server(letter.message))

    def _said(self, letter: Letter) -> None:
        call = self._calls.find(letter.call, letter.tenant)
        agent = (call.agents.get(letter.agent) if call else None) or FarAgent(self, letter)
        if not letter.message:
            if call is not None and letter.hushed:
                call.hush(agent)
            if call is not None:
                call.leave(agent)
            return
        message = self._parser.client(letter.message)
        try:
            if call is None:
                raise BadRequest("unknown_call", call=letter.call)
            call.take(agent, message)
        except VoicewireError as error:
            agent.tell(frames.Error.of(error, getattr(message, "context", "")))
