"""A client of the live wire that keeps its own books and comes back after every break.

It shares no code with `voicewire.client`, beyond the parsers of messages: what it finds is the server's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.faults.proxy import FaultProxy
from tests.faults.serving import KEY
from voicewire.frames import unpack_audio

TURNS_MAX = 2_000  # connections of one listener, before it is believed that it never ends
WAIT_S = 60


@dataclass
class Told:
    """Everything that one context brought, in the order of its positions."""

    speak: dict[str, Any]
    channel: int = -1
    frame_samples: int = 0
    frames: list[tuple[int, int, bytes]] = field(default_factory=list)  # seq, pts, packet
    words: set[tuple[int, ...]] = field(default_factory=set)
    phonemes: set[tuple[int, int, str]] = field(default_factory=set)
    blocks: dict[int, tuple[int, int, int]] = field(default_factory=dict)  # span, start_ms
    end: dict[str, Any] | None = None

    @property
    def seq(self) -> int:
        return len(self.frames) - 1

    def take_audio(self, data: bytes) -> None:
        """Take a binary message; what is not the very next frame is a mistake of the server's."""
        assert self.end is None, "audio came behind the end"
        _, _, seq, pts, packets = unpack_audio(data)
        assert seq == len(self.frames), f"frame {seq} came where {len(self.frames)} was due"
        for index, packet in enumerate(packets):
            self.frames.append((seq + index, pts + index * self.frame_samples, packet))

    def take(self, message: dict[str, Any]) -> None:
        """Take a message of this context."""
        assert self.end is None, f"{message} came behind the end"
        match message["type"]:
            case "opened":
                self.channel = message["channel"]
                self.frame_samples = message["format"]["rate"] * message["format"]["frame_ms"] // 1000
            case "block":
                told = (*message["span"], message["start_ms"])
                assert self.blocks.setdefault(message["block"], told) == told, "a block came again, changed"
            case "words":
                self.words |= {tuple(word) for word in message["words"]}
            case "phonemes":
                self.phonemes |= {(begins, ends, symbol) for symbol, begins, ends in message["phonemes"]}
            case "done" | "cancelled" | "error":
                self.end = message

    def outcome(self) -> tuple[object, ...]:
        """What must not depend on how often the connection broke."""
        assert self.end is not None
        assert self.end["type"] != "error", self.end
        words = sorted(self.words)
        times = [word[2:] for word in words]
        assert times == sorted(times), "a word came again, at another time"
        money = (self.end["type"], self.end.get("audio_ms"), self.end.get("billed_ms"), self.end.get("blocks"))
        return self.frames, words, sorted(self.phonemes), self.blocks, money


class Listener:
    """One session, over as many connections as it takes. `told` is by context."""

    def __init__(
        self, url: str, speaks: Sequence[dict[str, Any]], key: str = KEY, *, proxy: FaultProxy | None = None
    ) -> None:
        self.told = {speak["context"]: Told(speak) for speak in speaks}
        self.ready: dict[str, Any] = {}
        self.errors: list[dict[str, Any]] = []
        self.closes: list[int] = []
        self.pings = 0
        self.draining = 0
        self.socket: ClientConnection | None = None
        self.url = url
        self.with_key = False  # whether a resume shows the key, too
        self._key = key
        self._receiving: asyncio.Future[str | bytes] | None = None
        self._proxy = proxy

    async def __aenter__(self) -> Listener:
        return self

    async def __aexit__(self, *_: object) -> None:
        socket = self.socket
        await self._drop()
        if socket:
            await socket.close()

    async def hear_all(self) -> None:
        """Listen until every context has ended, over as many connections as it takes."""
        async with asyncio.timeout(WAIT_S):
            for _ in range(TURNS_MAX):
                with contextlib.suppress(ConnectionClosed, InvalidHandshake, OSError, EOFError):
                    await self.connect()
                    await self.hear()
                if self.over:
                    return
        raise AssertionError("it does not come to an end")

    @property
    def over(self) -> bool:
        return all(told.end for told in self.told.values())

    @property
    def _unheard(self) -> list[Told]:
        return [told for told in self.told.values() if told.end is None]

    async def connect(self) -> None:
        """Open the session, or go on with it over a new connection; say what the server has not heard."""
        before = self.socket
        await self._drop()
        if before is not None and self._proxy is not None and before.close_code is None:
            before.transport.abort()  # it hangs in the proxy; the server must find out by itself
        await self.dial({} if self.ready and not self.with_key else {"Authorization": f"Bearer {self._key}"})
        if self.ready:
            await self._resume()
            return
        self.ready = await self.receive()
        for told in self.told.values():
            await self.say(told.speak)

    async def dial(self, headers: dict[str, str]) -> None:
        """Connect, and say nothing yet."""
        self.socket = await dial(
            self.url.replace("http", "ws", 1) + "/v1/stream",
            additional_headers=headers,
            compression=None,
            proxy=None,
            max_size=None,
            open_timeout=1.0 if self._proxy else WAIT_S,  # the handshake may be stalled
            close_timeout=1,
        )

    def move(self, url: str) -> None:
        """Connect to another address from now on."""
        self.url = url

    async def _resume(self) -> None:
        living = {name: {"seq": told.seq} for name, told in self.told.items() if told.end is None}
        proof = {name: self.ready[name] for name in ("session", "resume_token")}
        await self.say({"type": "resume", **proof, "received": living})
        ready = await self.receive()
        if self.with_key:  # it came for the key, before the resume was read
            ready = await self.receive()
        assert ready["type"] == "ready", ready
        assert ready["resumed"] is True
        self.ready = ready
        for told in self._unheard:
            await self._repeat(told, ready["contexts"].get(told.speak["context"]))

    async def _repeat(self, told: Told, known: dict[str, int] | None) -> None:
        """Say what the server lacks of a context's text."""
        if known is None:
            assert told.channel < 0, "a context that was opened is gone"
            await self.say(told.speak)
        elif rest := told.speak["text"][known["accepted"] :]:
            await self.say({"type": "text", "context": told.speak["context"], "text": rest})
            await self.say({"type": "end", "context": told.speak["context"]})

    async def say(self, message: dict[str, Any]) -> None:
        assert self.socket
        await self.socket.send(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        """Return the next text message, audio being taken on the way."""
        while True:
            data = await self._next()
            if isinstance(data, str):
                message: dict[str, Any] = json.loads(data)
                return message
            self._take_audio(data)

    async def hear(self, *, until: str = "") -> None:
        """Take what comes until every context has ended, or a message of the type `until` was taken."""
        while not self.over:
            message = await self.receive()
            self._take(message)
            if message["type"] == until:
                return

    async def hear_until_draining(self) -> None:
        """Take what comes until the server says that it drains."""
        while not self.draining:
            await self._hear_one()

    async def receive_all(self) -> None:
        """Take what comes until the connection ends, which raises `ConnectionClosed`."""
        while True:
            await self._hear_one()

    async def hear_frames(self, context: str, count: int) -> None:
        """Take what comes until so many frames of a context did."""
        while len(self.told[context].frames) < count:
            await self._hear_one()

    async def _hear_one(self) -> None:
        data = await self._next()
        if isinstance(data, bytes):
            self._take_audio(data)
        else:
            self._take(json.loads(data))

    async def _next(self) -> str | bytes:
        """Return the next message. It is not lost when the wait for it is cancelled."""
        assert self.socket
        receiving = self._receiving = self._receiving or asyncio.ensure_future(self.socket.recv())
        await asyncio.sleep(0)
        if not receiving.done():  # most have come already
            await self._come_or_broken(receiving)
        self._receiving = None
        try:
            return receiving.result()
        except ConnectionClosed as closed:
            self.closes.append(closed.rcvd.code if closed.rcvd else 1006)
            raise

    async def _come_or_broken(self, receiving: asyncio.Future[str | bytes]) -> None:
        link = self._proxy.links[-1] if self._proxy and self._proxy.links else None
        breaking: Coroutine[Any, Any, Any] = link.broken.wait() if link else asyncio.sleep(WAIT_S)
        broken: asyncio.Future[Any] = asyncio.ensure_future(breaking)
        try:
            await asyncio.wait([receiving, broken], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([receiving], timeout=0.05)  # what arrived before the break
        finally:
            broken.cancel()
        if not receiving.done():
            raise ConnectionResetError

    async def _drop(self) -> None:
        """Forget the connection, which is left as it is."""
        self.socket, receiving, self._receiving = None, self._receiving, None
        if receiving:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    def _take_audio(self, data: bytes) -> None:
        channel = int.from_bytes(data[:2], "little")
        told = next((told for told in self.told.values() if told.channel == channel), None)
        assert told is not None, f"audio came on channel {channel}, which is nobody's"
        told.take_audio(data)

    def _take(self, message: dict[str, Any]) -> None:
        if "context" in message:
            self.told[message["context"]].take(message)
        elif message["type"] == "error":
            self.errors.append(message)
        elif message["type"] == "draining":
            self.draining += 1
