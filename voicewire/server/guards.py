"""What stands before every endpoint: headers that guard pages, a port for operators, who may ask at all."""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voicewire.errors import BadRequest, VoicewireError
from voicewire.server.answers import Refusal, error_response
from voicewire.server.callers import Callers
from voicewire.server.metrics import Metrics

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' data:; "
    "connect-src 'self' {sockets}; media-src 'self' blob:; worker-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
TRANSPORT = ("Strict-Transport-Security", "max-age=31536000")  # a year, where browsers come by https
CACHE = ("Cache-Control", "no-store")  # keys, tickets, what somebody said
PRIVATE_PATHS = ("/v1/", "/admin/")
DOCS_PATH = "/docs"  # its pages, from a library, set styles inline
OPERATOR_PATHS = ("/admin", "/metrics")

PUBLIC_PATHS = ("/v1/auth/", "/v1/plans", "/v1/stream", "/v1/audio/voices", "/v1/audio/models", "/v1/twilio/")
"""Under `PRIVATE_PATHS`, what strangers may ask: to log in, what it costs; the socket asks by itself who is there."""


class SecurityHeaders:
    """Adds the headers that keep pages of this server to themselves, and let them connect to `sockets`."""

    def __init__(self, app: ASGIApp, sockets: str, *, https: bool) -> None:
        self._app = app
        self._policies = {
            docs: POLICY.format(styles=" 'unsafe-inline'" if docs else "", sockets=sockets) for docs in (False, True)
        }
        self._headers = [*HEADERS.items(), *([TRANSPORT] if https else [])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        private = path.startswith(PRIVATE_PATHS)

        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = self._policies[path.startswith(DOCS_PATH)]
                for name, value in (*self._headers, CACHE) if private else self._headers:
                    headers.setdefault(name, value)
            return send(message)

        await self._app(scope, receive, send_with_headers)


class OperatorPort:
    """Where operators have a port of their own, there is nothing for them on any other."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and for_operators(scope["path"]) and not operators_here(scope, self._port):
            await error_response(BadRequest("not_found"))(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class AskFirst:
    """Lets nobody on without a credential, before a byte of the body is read; a new route is guarded unless listed.

    `refusal` words the answer.
    """

    def __init__(self, app: ASGIApp, callers: Callers, metrics: Metrics, refusal: Refusal) -> None:
        self._app = app
        self._callers = callers
        self._metrics = metrics
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PRIVATE_PATHS):
            request = Request(scope)
            try:
                await self._ask(request)
            except VoicewireError as error:
                self._metrics.errors.labels(error.row_code).inc()
                await self._refusal(request, error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _ask(self, request: Request) -> None:
        self._callers.check(request)
        if not request.url.path.startswith(PUBLIC_PATHS):
            await self._callers.identify(request)


def operators_here(scope: Scope, admin_port: int) -> bool:
    """Whether a request came to where operators are answered; without an `admin_port` that is everywhere."""
    return not admin_port or scope["server"][1] == admin_port


def for_operators(path: str) -> bool:
    """Whether `path` is for those who run the server."""
    return any(path == each or path.startswith(f"{each}/") for each in OPERATOR_PATHS)
