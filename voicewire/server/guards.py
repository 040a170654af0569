"""What every HTTP answer carries: headers that guard it, and one body for all errors."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voicewire.errors import BadRequest
from voicewire.server.answers import error_response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' data:; "
    "connect-src 'self' ws: wss:; media-src 'self' blob:; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
DOCS_PATH = "/docs"  # its pages, from a library, set styles inline


class SecurityHeaders:
    """Adds the headers that keep pages of this server to themselves."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        styles = " 'unsafe-inline'" if scope["path"].startswith(DOCS_PATH) else ""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = POLICY.format(styles=styles)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class TooLargeAnswer:
    """Gives the library's answer to a body beyond `size_bytes_max` the shape of all errors."""

    def __init__(self, app: ASGIApp, size_bytes_max: int) -> None:
        self._app = app
        self._error = BadRequest("too_large", limit=size_bytes_max)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def send_translated(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == self._error.row.status:
                replaced = True
                await error_response(self._error)(scope, receive, send)
            elif not replaced:
                await send(message)

        await self._app(scope, receive, send_translated)
