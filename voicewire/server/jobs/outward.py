"""Requests to addresses that callers name: none reaches a network that is not the caller's to reach.

A name is resolved once, every address it has must pass, and the connection goes to the address that was checked, with
the name in `Host` and in the certificate: so a name that answers differently the second time gains nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from voicewire.auth.outgoing import Client, failing_as_connections

if TYPE_CHECKING:
    import httpx

URL_CHARS_MAX = 2_000
LOCAL_NAME = re.compile(r"(^|\.)localhost$")  # RFC 6761, section 6.3
PORTS = {"http": 80, "https": 443}
RESOLVE_S = 5.0
CONNECT_S = 5.0
TOTAL_S = 15.0
AT_ONCE = 8

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[list[Address]]]

TRANSLATED = tuple(
    ip_network(each)
    for each in (
        "::/96",  # IPv4-compatible, RFC 4291
        "64:ff9b::/96",  # NAT64, RFC 6052 …
        "64:ff9b:1::/48",  # … and RFC 8215
        "2001::/32",  # Teredo, RFC 4380
        "2002::/16",  # 6to4, RFC 3056
        "::ffff:0:0:0/96",  # SIIT, RFC 7915
    )
)
"""Ways from IPv6 to some IPv4 address: never a public host's own."""

NOWHERE = tuple(
    ip_network(each)
    for each in (
        "0.0.0.0/8",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        # where clouds tell secrets to their machines: Amazon's and others', Amazon's over IPv6, Alibaba's, Azure's
        "169.254.0.0/16",
        "fd00:ec2::254/128",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "fe80::/10",
        "ff00::/8",
        "100::/64",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
    )
)
"""For nobody, whatever is set: IANA's special-purpose registries, RFC 6890 and after, and the services of clouds."""

PRIVATE = tuple(
    ip_network(each)
    for each in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
        "fec0::/10",
    )
)
"""For whoever runs the server, if they allow it."""


class Refused(ValueError):
    """The address must not be asked; the message says why."""


class Target(NamedTuple):
    """An address as it was named, in its parts."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """As it stands in `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def parse(url: str, *, private: bool) -> Target:
    """Take a URL apart. Raises `Refused` for what can be seen to be wrong without asking anybody."""
    if len(url) > URL_CHARS_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise Refused("it must be at most 2,000 visible ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")  # as whoever looks it up does: a label may be too long
    except ValueError:  # `UnicodeError` is one
        raise Refused("it is not a URL") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise Refused("it must begin with https:// or http:// and a host")
    if parts.username is not None or parts.password is not None or "\\" in url:
        raise Refused("it must not hold a name or password")
    port = PORTS[parts.scheme] if port is None else port
    if not private and port not in PORTS.values():
        raise Refused("its port must be 80 or 443")
    target = Target(
        parts.scheme, parts.hostname, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    )
    host = target.host.removesuffix(".")  # of the root: the same host
    literal = _literal(host)
    if (literal and not allowed(literal, private=private)) or (LOCAL_NAME.search(host) and not private):
        raise Refused("its address is not public")
    return target


def allowed(address: Address, *, private: bool) -> bool:
    """Whether a request may go to `address`; `private`: also to networks that are not public."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return allowed(address.ipv4_mapped, private=private)
    if any(address in network for network in NOWHERE):
        return False
    if any(address in network for network in PRIVATE):
        return private
    if any(address in network for network in TRANSLATED):
        return False
    return address.is_global and not address.is_multicast


def _literal(host: str) -> Address | None:
    with contextlib.suppress(ValueError):
        return ip_address(host)
    with contextlib.suppress(OSError):
        return IPv4Address(socket.inet_aton(host))  # 127.1, 0x7f000001: as the system's resolver reads them
    return None


async def resolve(host: str, port: int) -> list[Address]:
    """Return every address of `host`, as the system knows it. Raises `OSError`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(str(where[0]).partition("%")[0]) for *_, where in found]


class Outward:
    """Posts to addresses that callers named. `private`: networks that are not public, and any port, are allowed too."""

    def __init__(self, *, private: bool, resolve: Resolve = resolve, at_once: int = AT_ONCE) -> None:
        self._private = private
        self._resolve = resolve
        # a connection that is kept would be good for another name at the same address
        self._client = Client(CONNECT_S, {"max_connections": at_once, "max_keepalive_connections": 0})

    def check(self, url: str) -> None:
        """Raise `Refused` for what will never be asked."""
        parse(url, private=self._private)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Send `body` and return the status of the answer, of which nothing more is read.

        Raises `Refused`, and `OSError` for whatever goes wrong on the way.
        """
        async with asyncio.timeout(TOTAL_S), self.ask(url, headers, body) as response:
            return response.status_code

    @contextlib.asynccontextmanager
    async def ask(self, url: str, headers: Mapping[str, str], body: bytes) -> AsyncIterator[httpx.Response]:
        """Send `body`; the answer can be read while it comes in, how much and how long is the caller's to bound.

        Raises as `post`, also while it is read.
        """
        target = parse(url, private=self._private)
        address, client = await self._checked(target), await self._client.opened()
        with failing_as_connections():
            response = await client.send(_request(client, target, address, headers, body), stream=True)
            try:
                yield response
            finally:
                await response.aclose()

    async def aclose(self) -> None:
        """Close what is open."""
        await self._client.aclose()

    async def _checked(self, target: Target) -> Address:
        async with asyncio.timeout(RESOLVE_S):
            found = await self._resolve(target.host, target.port)
        if not found:
            raise ConnectionError("the name has no address")
        if not all(allowed(each, private=self._private) for each in found):
            raise Refused("its address is not public")
        return found[0]


def _request(
    client: httpx.AsyncClient, target: Target, address: Address, headers: Mapping[str, str], body: bytes
) -> httpx.Request:
    host = f"[{address}]" if address.version == 6 else str(address)
    return client.build_request(
        "POST",
        f"{target.scheme}://{host}:{target.port}{target.path}",
        headers={**headers, "Host": target.authority, "Connection": "close"},
        content=body,
        extensions={"sni_hostname": target.host},
    )
