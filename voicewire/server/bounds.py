"""How much HTTP there may be: requests at once, bytes in a body; and how an answer ends that cannot go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voicewire.errors import RETRY_MS, BadRequest, Busy, VoicewireError
from voicewire.server.answers import Refusal
from voicewire.server.metrics import Metrics

LOGGER = logging.getLogger(__name__)

CUT_KEY = "voicewire.cut"
"""The extension of the server that ends a connection at once: a callable."""

WATCHED_PATHS = frozenset({"/health", "/ready", "/metrics"})  # asked by those who must know how full it is
LINGER_S = 1.0
LINGER_BYTES = 64 * 1024


class RequestsAtOnce:
    """Answers `busy` to what comes beyond so many requests, as `refusal` words it."""

    def __init__(self, app: ASGIApp, requests_max: int, refusal: Refusal) -> None:
        self._app = app
        self._refusal = refusal
        self._requests_max = requests_max
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in WATCHED_PATHS:
            await self._app(scope, receive, send)
        elif self._requests >= self._requests_max:
            await self._refusal(HTTPConnection(scope), Busy(retry_after_ms=RETRY_MS))(scope, receive, send)
        else:
            self._requests += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._requests -= 1


class TooLargeAnswer:
    """Gives the library's answer to a body beyond `size_bytes_max` the shape of all errors, as `refusal` words them."""

    def __init__(self, app: ASGIApp, size_bytes_max: int, refusal: Refusal) -> None:
        self._app = app
        self._refusal = refusal
        self._error = BadRequest("too_large", limit=size_bytes_max)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def send_translated(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and self._is_the_librarys(message):
                replaced = True
                await self._refusal(HTTPConnection(scope), self._error)(scope, receive, send)
            elif not replaced:
                await send(message)

        await self._app(scope, receive, send_translated)

    def _is_the_librarys(self, message: Message) -> bool:
        # ours, which say something else with the same status, are JSON
        json = Headers(raw=message["headers"]).get("content-type", "").startswith("application/json")
        return bool(message["status"] == self._error.row.status) and not json


class UnreadBodies:
    """Ends the connection behind an answer that was given before the body was read, so that the answer arrives.

    What a client still sends would be read to its end by the server, however long; and a connection that is closed
    with something unread is reset, which can take the answer with it. So a little is read, for a moment.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if scope["type"] != "http" or not _has_body(headers):
            await self._app(scope, receive, send)
            return
        body = _Body(receive, asks="expect" in headers)

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                if body.asks or not await body.ends(0, 0):
                    MutableHeaders(scope=message)["Connection"] = "close"
                await send(message)
            elif body.over or body.asks or message.get("more_body", False):
                await send(message)
            else:
                await send({**message, "more_body": True})
                await body.ends(LINGER_BYTES, LINGER_S)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(scope, body.receive, send_and_close)


class _Body:
    """A request's body while it is read. `over` once nothing more can come; who `asks` sends none before it is read."""

    def __init__(self, receive: Receive, *, asks: bool) -> None:
        self._receive = receive
        self.asks = asks
        self.over = False

    async def receive(self) -> Message:
        self.asks = False
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self.over = True
        return message

    async def ends(self, size_bytes: int, wait_s: float) -> bool:
        """Read on over so much, for so long; with nothing of either, what is here already. Return whether it ended."""
        try:
            async with asyncio.timeout(wait_s):
                while not self.over and size_bytes >= 0:
                    size_bytes -= len((await self.receive()).get("body", b""))
        except TimeoutError:
            pass
        return self.over


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


class CutShort:
    """Ends an answer that cannot go on: short, so that nobody takes it for whole, and without a fuss in the log."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        def send_noting(message: Message) -> Awaitable[None]:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            return send(message)

        try:
            await self._app(scope, receive, send_noting)
        except ClientDisconnect:
            pass  # it left before its body was whole: nobody is there to be answered, and nothing is wrong here
        except Exception as error:
            cut: Callable[[], Any] | None = scope.get("extensions", {}).get(CUT_KEY)
            if not started or cut is None or scope["type"] != "http":
                raise
            self._report(error.__cause__ or error)
            cut()

    def _report(self, error: BaseException) -> None:
        code = _code(error)
        self._metrics.errors.labels(code).inc()
        expected = code != "internal" or isinstance(error, VoicewireError | ConnectionError)
        LOGGER.warning("an answer was cut short", extra={"code": code}, exc_info=None if expected else error)


def _code(error: BaseException) -> str:
    match error:
        case VoicewireError():
            return error.row_code
        case HTTPException(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
            return "too_large"  # a body that came with a request for a file
        case _:
            return "internal"
