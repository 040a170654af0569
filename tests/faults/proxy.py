"""A TCP proxy that harms the connections through it: slow, stalled, reset or closed amid a message.

Each connection takes the next `Harm` of the plan; when none is left, connections pass unharmed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum

PIECE_BYTES = 4_096
KERNEL_BYTES = 4_096  # asked of the kernel on a slow link, so that it does not hide how slow it is
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close sends RST


class Break(Enum):
    """How a connection ends."""

    RESET = "reset"
    CLOSE = "close"
    STALL = "stall"  # it stays open, and nothing passes any more


@dataclass(frozen=True, slots=True)
class Harm:
    """What is done to one connection's bytes towards the client. A `rate` is in bytes a second."""

    after_bytes: int | None = None  # `how` happens behind so many
    how: Break = Break.RESET
    latency_s: float = 0.0
    jitter_s: float = 0.0
    rate: float | None = None


class Link:
    """One client's connection through the proxy."""

    def __init__(self, harm: Harm) -> None:
        self.harm = harm
        self.broken = asyncio.Event()
        self.carried_bytes = 0
        self.writers: list[asyncio.StreamWriter] = []

    def end(self, how: Break) -> None:
        """Break the connection on both sides."""
        self.broken.set()
        for writer in self.writers if how is not Break.STALL else ():
            if how is Break.RESET:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()
            else:
                writer.close()


class FaultProxy:
    """See the module. Made by `fault_proxy`; what is random is so by `seed`."""

    def __init__(self, port: int, plan: Iterable[Harm], seed: int) -> None:
        self.plan = deque(plan)
        self.links: list[Link] = []
        self.breaks = 0
        self.url = ""
        self._port = port
        self._random = random.Random(seed)

    def kill_all(self, how: Break = Break.RESET) -> None:
        """Break every connection now."""
        for link in self.links:
            link.end(how)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one client's connection to the server, until either ends."""
        link = Link(self.plan.popleft() if self.plan else Harm())
        self.links.append(link)
        link.writers.append(writer)
        try:
            there, upward = await _dial(self._port, slow=link.harm.rate is not None)
        except OSError:
            writer.transport.abort()
            return
        link.writers.append(upward)
        tasks = [asyncio.create_task(_forward(reader, upward, link)), asyncio.create_task(self._harm(there, link))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in link.writers:
                each.transport.abort() if link.broken.is_set() else each.close()

    async def _harm(self, reader: asyncio.StreamReader, link: Link) -> None:
        """Pass the server's bytes to the client until the harm is done."""
        harm, writer = link.harm, link.writers[0]
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(PIECE_BYTES if harm.rate is None else max(1, int(harm.rate / 20))):
                if harm.latency_s or harm.jitter_s:
                    await asyncio.sleep(harm.latency_s + self._random.uniform(0, harm.jitter_s))
                if harm.rate is not None:
                    await asyncio.sleep(len(data) / harm.rate)
                if harm.after_bytes is not None:
                    data = data[: harm.after_bytes - link.carried_bytes]
                writer.write(data)
                link.carried_bytes += len(data)
                await writer.drain()
                if link.carried_bytes == harm.after_bytes:
                    await self._break(link)

    async def _break(self, link: Link) -> None:
        self.breaks += 1
        link.end(link.harm.how)
        if link.harm.how is Break.STALL:
            await asyncio.Event().wait()  # until the proxy, or the client, ends


async def _dial(port: int, *, slow: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the server; a slow link takes no more from it than it passes on."""
    there = socket.socket()
    if slow:
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
    there.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(there, ("127.0.0.1", port))
    except BaseException:
        there.close()
        raise
    return await asyncio.open_connection(sock=there, limit=KERNEL_BYTES if slow else 1 << 16)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link) -> None:
    """Pass the client's bytes on; a stalled link swallows nothing, it stands still."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(PIECE_BYTES):
            if link.broken.is_set():
                await asyncio.Event().wait()
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def fault_proxy(url: str, plan: Iterable[Harm] = (), *, seed: int = 0) -> AsyncIterator[FaultProxy]:
    """Run a proxy before the server at `url`."""
    proxy = FaultProxy(int(url.rsplit(":", 1)[1]), plan, seed)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(proxy.carry(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
