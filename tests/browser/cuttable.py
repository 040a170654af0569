"""A TCP proxy whose connections can be broken: the network between a browser and the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

PIECE_BYTES = 65_536


class Cuttable:
    """Listens on a free port of 127.0.0.1; `target` is the port that it carries to."""

    def __init__(self) -> None:
        self.target = 0
        self.port = 0
        self.passed = 0  # connections let through
        self._down = False
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    def down(self, down: bool) -> None:
        """Whether new connections are reset, too."""
        self._down = down

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._down:
            writer.transport.abort()
            return
        self.passed += 1
        there, onward = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers |= {writer, onward}
        async with asyncio.TaskGroup() as both:
            both.create_task(_pump(reader, onward))
            both.create_task(_pump(there, writer))
        self._writers -= {writer, onward}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def open_cuttable() -> AsyncIterator[Cuttable]:
    """Open a proxy; set its `target` before anybody connects."""
    proxy = Cuttable()
    server = await asyncio.start_server(proxy.carry, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy
        proxy.cut()
