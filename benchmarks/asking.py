"""Clients that want sound at once, and clients that listen all the time, to ours and to a bare server."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field

from benchmarks.harness import SENTENCES, Client, Served, connect

SETTLE_S = 8.0  # of a crowd
ANSWER_S = 30.0  # within which a server answers, or the benchmark ends by `TimeoutError`


class Refused(RuntimeError):
    """The server is busy; `retry_s` is when to come back."""

    def __init__(self, message: dict[str, object]) -> None:
        super().__init__(f"the server answers {message}")
        self.retry_s = retry_s(message)


def retry_s(message: dict[str, object]) -> float:
    """Return when to come back. Raises `RuntimeError` where that is no use."""
    milliseconds = message.get("retry_after_ms")
    if not isinstance(milliseconds, int):
        raise RuntimeError(f"the server answers {message}")  # noqa: TRY004 - it is the answer that is wrong
    return milliseconds / 1000


class Asker(Client):
    """Asks again and again, and cancels as soon as the first frame is there."""

    def __init__(self) -> None:
        super().__init__()
        self.first: asyncio.Future[float] | None = None
        self.over = asyncio.Event()
        self.manner: dict[str, object] = {}  # what else is said with a text

    def audio(self, payload: memoryview, now: float) -> None:  # noqa: ARG002
        if self.first is not None and not self.first.done():
            self.first.set_result(now)

    def unread(self, text: str) -> None:
        asyncio.get_running_loop().call_soon(super().unread, text)  # behind the sound that came with it

    def message(self, message: dict[str, object]) -> None:
        if message["type"] == "error" and self.first is not None and not self.first.done():
            self.first.set_exception(Refused(message))
        elif message["type"] in {"cancelled", "done"}:
            self.over.set()

    async def ask(self, number: int, text: str) -> float:
        """Return the seconds until the first frame. Raises `Refused`."""
        self.first = asyncio.get_running_loop().create_future()
        self.over.clear()
        speak = json.dumps({"type": "speak", "context": f"c{number}", "text": text, **self.manner}).encode()
        sent = time.perf_counter()
        self.send_text(speak)
        async with asyncio.timeout(ANSWER_S):
            seconds = await self.first - sent
            self.send({"type": "cancel", "context": f"c{number}"})
            await self.over.wait()
        return seconds


class Listener(Client):
    """Listens all the time: one utterance after another, in real time."""

    SENTENCES = 4  # of an utterance

    def __init__(self) -> None:
        super().__init__()
        self.frames = 0
        self.number = 0
        self.random = random.Random(id(self))

    def audio(self, payload: memoryview, now: float) -> None:  # noqa: ARG002
        self.frames += 1

    def message(self, message: dict[str, object]) -> None:
        if message["type"] == "done":
            asyncio.get_running_loop().call_later(0.1, self.speak)
        elif message["type"] == "error":
            asyncio.get_running_loop().call_later(retry_s(message), self.speak)

    def utterance(self) -> str:
        return " ".join(self.random.choice(SENTENCES) for _ in range(self.SENTENCES))

    def speak(self) -> None:
        self.number += 1
        self.send({"type": "speak", "context": f"c{self.number}", "text": self.utterance()})


class BareAsker(Client):
    """Asks a server that knows nothing of messages: with a connection for each text, the only way to cancel."""

    first: asyncio.Future[float] | None = None

    def audio(self, payload: memoryview, now: float) -> None:  # noqa: ARG002
        if self.first is not None and not self.first.done():
            self.first.set_result(now)

    async def ask(self, text: str) -> float:
        """Return the seconds until the first frame."""
        self.first = asyncio.get_running_loop().create_future()
        data = text.encode()
        sent = time.perf_counter()
        self.send_text(data)
        async with asyncio.timeout(ANSWER_S):
            return await self.first - sent


class BareListener(Listener):
    """Listens to such a server: one sentence after another, for it cannot turn to another between two."""

    SENTENCES = 1

    def speak(self) -> None:
        self.send_text(self.utterance().encode())


@dataclass
class Crowd:
    """Listeners to one server, and how many frames a second reach them."""

    listeners: list[Listener] = field(default_factory=list)
    started: float = 0.0

    async def gather(self, kind: type[Listener], server: Served, count: int) -> None:
        """Come one after another, and wait until all listen."""
        for _ in range(count):
            listener = await connect(kind, server)
            assert isinstance(listener, Listener)
            self.listeners.append(listener)
            asyncio.get_running_loop().call_later(random.random() * 5, listener.speak)
        await asyncio.sleep(SETTLE_S)
        self.started = time.perf_counter()
        for listener in self.listeners:
            listener.frames = 0

    def leave(self) -> float:
        """Go; return the frames a second."""
        lasted = time.perf_counter() - self.started
        for listener in self.listeners:
            listener.transport.disconnect()
        return sum(listener.frames for listener in self.listeners) / lasted
