"""Every request has an id, which it can bring along, and a line in the log when it is over."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Awaitable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voicewire.server.logs import start

LOGGER = logging.getLogger(__name__)

HEADER = "X-Request-ID"
SANE = re.compile(r"(r_)?[0-9A-Fa-f-]{16,64}")  # ours, UUIDs, trace ids: nothing that somebody said, and no key
ID_BYTES = 12
STATE_KEY = "request_id"
STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
SWITCHED = 101
# said of what was refused before its route
SEGMENTS = ("/v1", "/admin", "/metrics", "/account", "/reader", "/client", "/docs")
QUIET_PATHS = frozenset({"/health", "/ready", "/metrics"})  # asked all day long


class Requests:
    """Gives each request its id, and tells the log how it went: no address, only the template of its route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).get(HEADER, "")
        request = given if SANE.fullmatch(given) else f"r_{secrets.token_hex(ID_BYTES)}"
        start(request)
        scope.setdefault("state", {})[STATE_KEY] = request
        began = time.monotonic()
        status = 0

        def send_with_id(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] in STARTS:
                status = message.get("status", SWITCHED)
                message.setdefault("headers", [])
                MutableHeaders(scope=message)[HEADER] = request
            return send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            _log(scope, status, (time.monotonic() - began) * 1000)


def request_id(connection: HTTPConnection) -> str:
    """Return the id of a request, "" before it has one."""
    return str(connection.scope.get("state", {}).get(STATE_KEY, ""))


def _log(scope: Scope, status: int, ms: float) -> None:
    level = logging.DEBUG if scope["path"] in QUIET_PATHS else logging.INFO
    method = scope["method"] if scope["type"] == "http" else "WS"
    LOGGER.log(
        level, "request", extra={"method": method, "route": route_of(scope), "status": status, "ms": round(ms, 1)}
    )


def route_of(scope: Scope) -> str:
    """Return the template of the route that was taken; what strangers make up has none."""
    template: str = getattr(scope.get("route"), "path_format", "")
    if not template and "endpoint" in scope and not scope.get("path_params"):  # a page's, or a folder's
        template = scope.get("root_path") or scope["path"]
    return template or next((each for each in SEGMENTS if f"{scope['path']}/".startswith(f"{each}/")), "-")
