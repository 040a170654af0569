"""Requests to addresses that callers name: what is not public is never connected to. The trap is a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from voicewire.server.jobs.outward import Outward, Refused, Resolve, allowed, parse

PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"]
PRIVATE = [
    "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "172.16.0.1", "172.31.255.255", "192.168.1.1", "::1",
    "fc00::1", "fd12:3456::1", "fec0::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
]  # fmt: skip
NEVER = [
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "192.0.0.8", "192.0.2.1", "198.18.0.1", "203.0.113.9", "224.0.0.1",
    "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::127.0.0.1", "::8.8.8.8", "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1", "fe80::1",
    "ff02::1", "100::1", "::ffff:169.254.169.254", "::ffff:0:7f00:1", "100.100.100.200", "168.63.129.16",
    "fd00:ec2::254",
]  # fmt: skip
NO_URLS = [
    "", "example.org", "//example.org/", "ftp://example.org/", "file:///etc/passwd", "gopher://example.org/",
    "http://", "http:///path", "https://user:word@example.org/", "https://user@example.org/", "http://[::1",
    "https://example.org:99999/", "https://example.org/a b", "https://example.org/\n", "http://ex\u24d0mple.org/",
    "https://example.org\\@127.0.0.1/", "https://example.org/" + "x" * 2_000, "http://example..org/", "http://.org/",
    f"http://{'a' * 64}.org/",
]  # fmt: skip
NOT_PUBLIC = [
    "http://127.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://10.1.2.3/", "http://169.254.169.254/",
    "https://[fe80::1]/", "https://example.org:8080/", "http://example.org:22/", "http://[64:ff9b::7f00:1]/",
    "HTTP://LOCALHOST./", "http://localhost/", "http://a.localhost/", "http://127.0.0.1./", "http://127.1/", "http://0x7f000001/",
]  # fmt: skip
OTHER_SPELLINGS = ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "localhost"]


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_may_be_asked(address: str) -> None:
    assert allowed(ip_address(address), private=False)
    assert allowed(ip_address(address), private=True)


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_private_only_where_that_is_set(address: str) -> None:
    assert not allowed(ip_address(address), private=False)
    assert allowed(ip_address(address), private=True)


@pytest.mark.parametrize("address", NEVER)
def test_what_leads_elsewhere_or_nowhere_is_never_asked(address: str) -> None:
    assert not allowed(ip_address(address), private=False)
    assert not allowed(ip_address(address), private=True)


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_address_of_a_page_is_refused(url: str) -> None:
    for private in (False, True):
        with pytest.raises(Refused):
            parse(url, private=private)


@pytest.mark.parametrize("url", NOT_PUBLIC)
def test_what_can_be_seen_not_to_be_public_is_refused_at_once(url: str) -> None:
    with pytest.raises(Refused):
        parse(url, private=False)


def test_an_address_is_taken_apart() -> None:
    assert parse("https://Example.org/a?b=c#d", private=False) == ("https", "example.org", 443, "/a?b=c")
    assert parse("http://example.org", private=False).authority == "example.org"
    assert parse("http://[2606:4700::1]:443/", private=False).authority == "[2606:4700::1]:443"


class Trap:
    """A server on the loopback that notes who connects and what is said; it answers as it is told."""

    def __init__(self, answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n") -> None:
        self.answer = answer
        self.heard: list[bytes] = []
        self.port = 0
        self._serving: set[asyncio.Task[None]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(b"")
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            self.heard[-1] = await reader.readuntil(b"\r\n\r\n")
            writer.write(self.answer)
            await writer.drain()
            await reader.read()  # until the other end is gone
        writer.transport.abort()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.create_task(self._serve(reader, writer)))

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Trap]:
        server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self
        await asyncio.gather(*self._serving)


def answers(*turns: list[str]) -> Resolve:
    """A resolver that answers so, one turn after the other, and the last for ever: a double, as no name is ours."""
    left = list(turns)

    async def resolve(host: str, port: int) -> list[IPv4Address | IPv6Address]:  # noqa: ARG001 - as the real one
        found = left.pop(0) if len(left) > 1 else left[0]
        return [ip_address(each) for each in found]

    return resolve


@contextlib.asynccontextmanager
async def outward(*, private: bool, resolve: Resolve | None = None) -> AsyncIterator[Outward]:
    opened = Outward(private=private, resolve=resolve) if resolve else Outward(private=private)
    yield opened
    await opened.aclose()


@pytest.mark.parametrize("host", OTHER_SPELLINGS)
async def test_other_spellings_of_this_machine_do_not_reach_it(host: str) -> None:
    async with Trap().open() as trap, outward(private=False) as out:
        with pytest.raises((Refused, OSError)):
            await out.post(f"http://{host}/", {}, b"{}")
        assert trap.heard == []


@pytest.mark.parametrize("found", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["64:ff9b::7f00:1"], ["169.254.169.254"]])
async def test_a_name_of_which_any_address_is_not_public_is_refused(found: list[str]) -> None:
    async with outward(private=False, resolve=answers(found)) as out:
        with pytest.raises(Refused):
            await out.post("http://name.example/", {}, b"{}")


async def test_a_name_is_asked_once_and_the_checked_address_is_connected_to() -> None:
    async with Trap().open() as trap:
        resolve = answers(["127.0.0.1"], ["192.0.2.1"])  # asked again, it would be another
        async with outward(private=True, resolve=resolve) as out:
            url = f"http://name.example:{trap.port}/path?x=1"
            assert await out.post(url, {"webhook-id": "m"}, b'{"a":1}') == 204
        [heard] = trap.heard
        assert heard.startswith(b"POST /path?x=1 HTTP/1.1\r\n")
        assert f"Host: name.example:{trap.port}\r\n".encode() in heard
        assert b"webhook-id: m\r\n" in heard


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    async with Trap().open() as inner, outward(private=True) as out:
        answer = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inner.port}/\r\nContent-Length: 0\r\n\r\n"
        async with Trap(answer.encode()).open() as trap:
            assert await out.post(f"http://127.0.0.1:{trap.port}/", {}, b"{}") == 302
        assert inner.heard == []


async def test_an_answer_without_end_is_not_read() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n" + b"x" * 1_000_000
    async with Trap(answer).open() as trap, outward(private=True) as out:
        assert await out.post(f"http://127.0.0.1:{trap.port}/", {}, b"{}") == 200


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000])
async def test_what_is_no_answer_is_an_error(answer: bytes) -> None:
    async with Trap(answer).open() as trap, outward(private=True) as out:
        with pytest.raises(OSError):  # noqa: PT011 - whatever went wrong
            await out.post(f"http://127.0.0.1:{trap.port}/", {}, b"{}")


async def test_who_is_not_there_is_an_error() -> None:
    async with Trap().open() as trap:
        port = trap.port
    async with outward(private=True) as out:
        with pytest.raises(OSError):  # noqa: PT011 - whatever went wrong
            await out.post(f"http://127.0.0.1:{port}/", {}, b"{}")
