"""How strange messages get to a server: over HTTP, WebSockets and TCP. Each says what came back, by code."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.fuzz import judges
from tests.fuzz.gateway import Watched
from tests.fuzz.mutations import Message, Said, burst, mutated, serialized
from voicewire.server.dialects.wyoming_events import Event, read, serialize

WAIT_S = 60.0
BURST_MAX = 40  # messages of one connection
PAUSE_S = 0.1


class Attacker(Protocol):
    """One dialect, as who means no good speaks it."""

    async def attack(self, server: Watched, chance: random.Random, most: int) -> Counter[str]:
        """Say up to `most` messages on one connection; return what came back and how many were said."""
        ...

    async def speak(self, server: Watched) -> bytes:
        """Have a sentence spoken as a good client does; return the audio."""
        ...


@dataclass(frozen=True)
class Http:
    """A route that takes a body. `queries` as of a `Socket`."""

    path: str
    seeds: Sequence[Message]
    judge: Callable[[int, bytes], str]
    good: Message
    queries: Sequence[Message] = ({},)

    async def attack(self, server: Watched, chance: random.Random, most: int) -> Counter[str]:
        found: Counter[str] = Counter()
        async with http_client(server) as http:
            for _ in range(min(most, BURST_MAX // 2)):
                query = self.queries[0] if chance.random() < 0.7 else chance.choice(self.queries)
                answer = await http.post(self.path, content=mutated(chance, self.seeds).data, params=query)
                found[self.judge(answer.status_code, answer.content) or "spoken"] += 1
                found["said"] += 1
        return found

    async def speak(self, server: Watched) -> bytes:
        async with http_client(server) as http:
            answer = await http.post(self.path, json=self.good, params=self.queries[0])
            assert answer.status_code == 200, answer.text
            return answer.content


def http_client(server: Watched) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    return httpx.AsyncClient(base_url=server.url, headers=headers, timeout=WAIT_S, trust_env=False, verify=False)


@dataclass(frozen=True)
class Socket:
    """A WebSocket. `last` is what is said at the end, `over` whether a message is the answer to it.

    `queries` are put into the address: the first is that of a good client.
    """

    path: str
    seeds: Sequence[Message]
    judge: Callable[[str | bytes], str]
    queries: Sequence[Message]
    good: Sequence[Message]
    audio: Callable[[str | bytes], bytes]
    done: Callable[[str | bytes], bool]
    last: Sequence[Message]
    over: Callable[[str | bytes], bool] = lambda _: False  # by default the connection ends
    denied: Callable[[int, bytes], str] | None = None  # judges the answer to a handshake; None: all of them are taken

    async def attack(self, server: Watched, chance: random.Random, most: int) -> Counter[str]:
        query = self.queries[0] if chance.random() < 0.7 else chance.choice(self.queries)
        messages = burst(chance, self.seeds, chance.randint(1, min(most, BURST_MAX)))
        try:
            async with self._open(server, query) as socket:
                pause_s = PAUSE_S if chance.random() < 0.3 else 0
                return await exchange(socket, messages, self.last, self.judge, self.over, pause_s)
        except InvalidStatus as refused:
            if self.denied is None or query is self.queries[0]:
                raise
            answer = refused.response
            return Counter({"said": 1, self.denied(answer.status_code, bytes(answer.body or b"")): 1})

    async def speak(self, server: Watched) -> bytes:
        audio = b""
        async with asyncio.timeout(WAIT_S), self._open(server, self.queries[0]) as socket:
            for message in self.good:
                await socket.send(json.dumps(message))
            while True:
                said = await socket.recv()
                assert not self.judge(said), said
                audio += self.audio(said)
                if self.done(said):
                    return audio

    def _open(self, server: Watched, query: Message) -> connect:
        address = f"{server.socket_url}{self.path}?{urlencode(query)}"
        return connect(address, additional_headers={"Authorization": f"Bearer {server.key}"}, **OPTIONS)


OPTIONS: dict[str, Any] = {"proxy": None, "compression": None, "max_queue": None, "max_size": None}


async def exchange(
    socket: ClientConnection,
    messages: Sequence[Said],
    last: Sequence[Message],
    judge: Callable[[str | bytes], str],
    over: Callable[[str | bytes], bool],
    pause_s: float = 0,
) -> Counter[str]:
    """Say `messages`, then what is said at the end, and judge everything up to the answer to that, or the close."""
    found: Counter[str] = Counter()
    listening = asyncio.create_task(_listen(socket, judge, over, found))
    try:
        for data, text in messages:
            await socket.send(data, text=text)
            found["said"] += 1
        await asyncio.sleep(pause_s)  # sometimes, so that there is something to hear
        for message in last:
            await socket.send(json.dumps(message))
    except ConnectionClosed:
        pass  # what was the reason, the listener says
    async with asyncio.timeout(WAIT_S):
        await listening
    # what the server did not read any more resets the connection, and the close may be lost with it
    if found.pop("lost", 0):
        assert any(message.ends for message in messages), "the connection broke"
        found["reset"] += 1
    return found


async def _listen(
    socket: ClientConnection,
    judge: Callable[[str | bytes], str],
    over: Callable[[str | bytes], bool],
    found: Counter[str],
) -> None:
    try:
        async for said in _messages(socket):
            found[judge(said) or "spoken"] += 1
            if over(said):
                return
    except ConnectionClosed as closed:
        found[judges.closed(closed.rcvd)] += 1


async def _messages(socket: ClientConnection) -> Any:
    while True:
        yield await socket.recv()


@dataclass
class Tcp:
    """Wyoming's events."""

    port: int
    seeds: Sequence[Message]  # as headers, with their data inside
    good: str = "Well, well."
    heads: Sequence[Message] = field(default_factory=lambda: [{"data_length": 3}, {"payload_length": 70_000}])

    async def attack(self, server: Watched, chance: random.Random, most: int) -> Counter[str]:  # noqa: ARG002 - as others
        found: Counter[str] = Counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for _ in range(chance.randint(1, min(most, BURST_MAX // 4))):
                writer.write(self._event(chance))
                found["said"] += 1
            writer.write_eof()
            async with asyncio.timeout(WAIT_S):
                while (event := await read(reader)) is not None:
                    found[judges.wyoming(event) or "spoken"] += 1
        except OSError:
            found["reset"] += 1  # there was more than the server cared to read
        finally:
            writer.close()
        return found

    def _event(self, chance: random.Random) -> bytes:
        data = mutated(chance, self.seeds).data
        if chance.random() < 0.3:  # what follows the line, as long as it says, or not
            message = {**chance.choice(self.seeds), **chance.choice(self.heads)}
            return serialized(message) + b"\n" + data
        return data + b"\n"

    async def speak(self, server: Watched) -> bytes:  # noqa: ARG002 - as others
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(serialize(Event("synthesize", {"text": self.good})))
        audio = b""
        async with asyncio.timeout(WAIT_S):
            while (event := await read(reader)) is not None and event.type != "audio-stop":
                assert not judges.wyoming(event), event
                audio += event.payload
        writer.close()
        return audio
