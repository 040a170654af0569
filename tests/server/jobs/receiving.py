"""A receiver of webhooks on the loopback: it answers as it is told, and checks every signature."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from voicewire.server.jobs.signing import signature

WAIT_S = 20


class Message(NamedTuple):
    """What was told, and how."""

    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def signed_with(self, secret: str) -> bool:
        id, timestamp = self.headers["webhook-id"], int(self.headers["webhook-timestamp"])
        return self.headers["webhook-signature"] == signature(secret, id, timestamp, self.body)


class Receiver:
    """Answers with each of `statuses`, and then with the last of them."""

    def __init__(self, *statuses: int) -> None:
        self.url = ""
        self._statuses = list(statuses)
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._serving: set[asyncio.Task[None]] = set()

    async def next(self) -> Message:
        async with asyncio.timeout(WAIT_S):
            return await self._messages.get()

    def empty(self) -> bool:
        return self._messages.empty()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head)}
            body = await reader.readexactly(int(headers["content-length"]))
            self._messages.put_nowait(Message(headers, body))
            status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
            writer.write(f"HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            await reader.read()  # until the other end is gone
        writer.transport.abort()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.create_task(self._serve(reader, writer)))


@contextlib.asynccontextmanager
async def receiving(*statuses: int) -> AsyncIterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver(*(statuses or (204,)))
    server = await asyncio.start_server(receiver._begin, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield receiver
    await asyncio.gather(*receiver._serving)
