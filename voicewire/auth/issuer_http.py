"""How an issuer is asked: JSON over HTTPS, without redirects, in bounded time and size."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from voicewire.auth.outgoing import Client, failing_as_connections
from voicewire.errors import Busy

if TYPE_CHECKING:
    import httpx

CONNECT_S = 5.0
TOTAL_S = 10.0
SIZE_BYTES_MAX = 256 * 1024
CONNECTIONS_MAX = 8
RETRY_MS = 5_000
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


class Reply(NamedTuple):
    """What an issuer answered: a JSON object."""

    status: int
    body: dict[str, Any]


class IssuerHttp:
    """One client for all issuers. What goes wrong on the way is `Busy`, by the code `issuer_failed`."""

    def __init__(self) -> None:
        self._client = Client(
            CONNECT_S,
            {"max_connections": CONNECTIONS_MAX},
            {"Accept": "application/json", "Accept-Encoding": "identity"},
        )

    async def get(self, url: str) -> Reply:
        """Return what stands at `url`."""
        return await self._send((await self._client.opened()).build_request("GET", url))

    async def post(self, url: str, form: Mapping[str, str], basic: tuple[str, str] | None = None) -> Reply:
        """Return the answer to `form`, sent with the name and password of `basic`."""
        return await self._send((await self._client.opened()).build_request("POST", url, data=form), basic)

    async def aclose(self) -> None:
        """Close what is open."""
        await self._client.aclose()

    async def _send(self, request: httpx.Request, basic: tuple[str, str] | None = None) -> Reply:
        client = await self._client.opened()
        try:
            with failing_as_connections():
                async with asyncio.timeout(TOTAL_S):
                    response = await client.send(request, auth=basic, stream=True)
                    try:
                        return Reply(response.status_code, _object(await _body(response)))
                    finally:
                        await response.aclose()
        except (TimeoutError, OSError) as error:
            raise issuer_failed("it does not answer") from error


def issuer_failed(problem: str) -> Busy:
    """Return the error that says what is wrong with an issuer."""
    return Busy("issuer_failed", problem=problem, retry_after_ms=RETRY_MS)


def allowed_address(url: str, *, loopback: bool) -> bool:
    """Whether `url` may be asked: https, or http to this machine where `loopback` says so; no user, no fragment."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (loopback and parts.scheme == "http" and host in LOOPBACK_NAMES)


async def _body(response: httpx.Response) -> bytes:
    if response.is_server_error:
        raise issuer_failed(f"it answers HTTP {response.status_code}")
    if response.is_redirect:
        raise issuer_failed("it answers with a redirect, which is not followed")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise issuer_failed("it compresses its answer, unasked")
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > SIZE_BYTES_MAX:
            raise issuer_failed(f"its answer has more than {SIZE_BYTES_MAX} bytes")
    return bytes(body)


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise issuer_failed("its answer is not a JSON object")
    return value
