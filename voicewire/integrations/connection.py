"""The one connection of a framework's service: made when it is wanted, and anew where it could not be mended."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from voicewire.client import StreamClient, connect


class Connection:
    """To the server at `url`. Ends by `aclose`, after which it may be used again."""

    def __init__(self, url: str, key: str) -> None:
        self._at = (url, key)
        self._client: StreamClient | None = None
        self._held = AsyncExitStack()
        self._connecting = asyncio.Lock()

    async def client(self) -> StreamClient:
        """Return the client, connected. Raises `Unreachable` or `ServerError`."""
        async with self._connecting:
            if self._client is None or self._client.ended:
                await self._held.aclose()
                self._client = await self._held.enter_async_context(connect(*self._at))
            return self._client

    async def aclose(self) -> None:
        """Close it."""
        async with self._connecting:
            self._client = None
            await self._held.aclose()
