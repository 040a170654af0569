"""Asking others over HTTPS: with a client that is opened when the first is asked, since most servers ask nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from voicewire.auth.authorities import authorities

if TYPE_CHECKING:
    import httpx


class Client:
    """Follows no redirect and heeds no proxy. `limits`: those of `httpx.Limits`."""

    def __init__(self, connect_s: float, limits: Mapping[str, int], headers: Mapping[str, str] | None = None) -> None:
        self._connect_s = connect_s
        self._limits = limits
        self._headers = headers
        self._client: httpx.AsyncClient | None = None

    async def opened(self) -> httpx.AsyncClient:
        """Return the client of the library."""
        if self._client is None:
            made = await asyncio.to_thread(self._open)  # which takes a tenth of a second
            self._client = self._client or made  # another has opened one meanwhile
        return self._client

    async def aclose(self) -> None:
        """Close what is open."""
        if self._client:
            await self._client.aclose()

    def _open(self) -> httpx.AsyncClient:
        import httpx  # it is not loaded before

        return httpx.AsyncClient(
            verify=authorities(),
            trust_env=False,
            follow_redirects=False,
            timeout=self._connect_s,
            limits=httpx.Limits(**self._limits),
            headers=self._headers,
        )


@contextmanager
def failing_as_connections() -> Iterator[None]:
    """Raise `ConnectionError`, which names the kind, for what goes wrong on the way of an opened client."""
    import httpx  # who is here has opened one

    try:
        yield
    except httpx.HTTPError as error:
        raise ConnectionError(type(error).__name__) from error
