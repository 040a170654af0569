"""Where the Wyoming port is, told by multicast DNS, so that Home Assistant finds it by itself: RFC 6762 and 6763."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zeroconf import ServiceInfo

LOGGER = logging.getLogger(__name__)

TYPE = "_wyoming._tcp.local."
LABEL_BYTES = 63  # RFC 1035, section 2.3.4


@contextlib.asynccontextmanager
async def announced(server: asyncio.Server) -> AsyncIterator[None]:
    """Tell the network of a listening `server` until the end of the block, and then that it is gone.

    A network that takes no multicast is logged, and nothing else: who knows the address can still come.
    """
    from zeroconf import Error
    from zeroconf.asyncio import AsyncZeroconf

    addresses = _addresses(server)
    async with contextlib.AsyncExitStack() as stack:
        try:
            speaker = AsyncZeroconf(interfaces=addresses)
            stack.push_async_callback(speaker.async_close)  # it takes back what was told
            told = await speaker.async_register_service(_service(server, addresses), allow_name_change=True)
            await told
        except (Error, OSError) as error:
            LOGGER.warning("the Wyoming port cannot be announced: %s", type(error).__name__)
        yield


def _service(server: asyncio.Server, addresses: list[str]) -> ServiceInfo:
    from zeroconf import ServiceInfo

    port = server.sockets[0].getsockname()[1]
    label = f"voicewire-{socket.gethostname().partition('.')[0]}-{port}".encode()[:LABEL_BYTES].decode(errors="ignore")
    # a host name of our own: the machine's may be answered for by its system
    return ServiceInfo(TYPE, f"{label}.{TYPE}", port, server=f"{label}.local.", parsed_addresses=addresses)


def _addresses(server: asyncio.Server) -> list[str]:
    """Where `server` can be reached: its own addresses, those of this machine in place of "all"."""
    bound = [ipaddress.ip_address(each.getsockname()[0].partition("%")[0]) for each in server.sockets]
    named = [str(each) for each in bound if not each.is_unspecified]
    return named or list(_of_this_machine())


def _of_this_machine() -> Iterator[str]:
    """Addresses of version 4: networks of homes have them, and Home Assistant prefers them."""
    import ifaddr

    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            if isinstance(each.ip, str) and not ipaddress.ip_address(each.ip).is_loopback:
                yield each.ip
