"""Where the Wyoming port is, told to a real browser of multicast DNS; all of it on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from voicewire.config import Config, ConfigError
from voicewire.server.dialects.announcement import TYPE, announced

WAIT_S = 30
ASKED_MS = 10_000
Change = tuple[ServiceStateChange, str]


class Browser:
    """What Home Assistant does: it is told of services that come and go."""

    def __init__(self, at: AsyncZeroconf) -> None:
        self._at = at
        self._changes: asyncio.Queue[Change] = asyncio.Queue()
        self._browser = AsyncServiceBrowser(at.zeroconf, TYPE, handlers=[self._changed])

    def _changed(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        assert (zeroconf, service_type) == (self._at.zeroconf, TYPE)
        self._changes.put_nowait((state_change, name))

    async def until(self, change: ServiceStateChange, port: int) -> str:
        """Wait for a change of the service at `port`, which its name says; return the name."""
        async with asyncio.timeout(WAIT_S):
            while True:
                seen, name = await self._changes.get()
                if seen is change and f"-{port}." in name:
                    return name

    async def asked(self, name: str) -> tuple[list[str], int | None]:
        service = AsyncServiceInfo(TYPE, name)
        assert await service.async_request(self._at.zeroconf, ASKED_MS)
        return service.parsed_addresses(), service.port


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    async with AsyncZeroconf(interfaces=["127.0.0.1"]) as at:
        yield Browser(at)


@asynccontextmanager
async def listening() -> AsyncIterator[asyncio.Server]:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield server


async def test_it_is_found_and_taken_back() -> None:
    async with browsing() as browser, listening() as server:
        port = server.sockets[0].getsockname()[1]
        async with announced(server):
            name = await browser.until(ServiceStateChange.Added, port)
            assert await browser.asked(name) == (["127.0.0.1"], port)
        assert await browser.until(ServiceStateChange.Removed, port) == name


async def test_a_network_without_multicast_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(19, "No such device")

    monkeypatch.setattr("zeroconf.asyncio.AsyncZeroconf.__init__", refuse)
    async with listening() as server, announced(server):
        assert server.is_serving()


def test_there_must_be_something_to_announce() -> None:
    with pytest.raises(ConfigError, match="VOICEWIRE_WYOMING_ANNOUNCE needs VOICEWIRE_WYOMING_PORT"):
        Config(wyoming_announce=True)
