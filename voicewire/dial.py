"""Reaching a server: its address, the handshake, and what it means when either is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from voicewire import frames
from voicewire.errors import TABLE

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.http11 import Response

OPEN_S = 10.0
MESSAGE_BYTES_MAX = 1 << 20
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Unreachable(Exception):
    """There is no server at the address, or it went away and did not come back."""


class ServerError(Exception):
    """The server said no, in the words of `message`; `code` is a key of the table of errors."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


async def dial(url: str, key: str) -> ClientConnection:
    """Return a connection to the socket at `url`, a WebSocket address; with no `key` the server waits for a message.

    Raises `Unreachable`, or `ServerError` when the server answered and said no.
    """
    # servers name what can go wrong here, and never dial
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
    from websockets.typing import Subprotocol

    try:
        return await connect(
            url,
            additional_headers={"Authorization": f"Bearer {key}"} if key else {},
            compression=None,
            subprotocols=[Subprotocol(frames.SUBPROTOCOL)],
            open_timeout=OPEN_S,
            max_size=MESSAGE_BYTES_MAX,
            proxy=None if urlsplit(url).hostname in LOOPBACK else True,
        )
    except InvalidStatus as refused:
        raise server_error(refused.response.status_code, _body(refused.response)) from None
    except (OSError, InvalidHandshake, InvalidURI, EOFError) as error:
        raise Unreachable(f"there is no voicewire server at {url}: {_reason(error)}") from error


def stream_url(url: str) -> str:
    """Return the WebSocket address of the server at `url`. Raises `Unreachable` for what is no address."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        assert parts.port != 0
    except (ValueError, AssertionError):
        raise Unreachable(f"{url!r} is not the address of a server") from None
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise Unreachable(f"{url!r} is not the address of a server")
    path = parts.path.rstrip("/").removesuffix("/v1/stream")
    return f"{scheme}://{parts.netloc}{path}/v1/stream"


def server_error(status: int, body: bytes) -> ServerError:
    """Return the error of an HTTP answer: what its JSON body says, else what the status means."""
    try:
        error = json.loads(body)["error"]
        return ServerError(str(error["code"]), str(error["message"]), retryable=bool(error.get("retryable")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ServerError("internal", f"the server answered with HTTP status {status}")


def closing_error(code: int, fault: frames.Error | None) -> ServerError | None:
    """The error that a close code stands for, unless the client may come back."""
    if code < 4_500 and code not in {TABLE["resumed_elsewhere"].close, TABLE["too_large"].close}:
        return None
    if fault:
        return ServerError(fault.code, fault.message)
    named = next((name for name, row in TABLE.items() if row.close == code), "internal")
    return ServerError(named, f"the server closed the connection ({code}, {named})")


def _body(response: Response) -> bytes:
    return bytes(response.body or b"")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
