"""The application over a gateway's parts, and the process that serves it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
from collections.abc import AsyncIterator, Sequence
from functools import partial

import uvicorn
import uvloop
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, WebSocketRoute

from voicewire import __version__
from voicewire.config import Config, is_loopback
from voicewire.errors import VoicewireError
from voicewire.server.account_doors import account_doors
from voicewire.server.answers import answering
from voicewire.server.bounds import CutShort, RequestsAtOnce, TooLargeAnswer, UnreadBodies
from voicewire.server.callers import Callers
from voicewire.server.dialects.announcement import announced
from voicewire.server.dialects.mount import Dialects
from voicewire.server.dialects.refusals import refusal, refuse_socket
from voicewire.server.dialects.vendors import Prefixes
from voicewire.server.dialects.wyoming import Wyoming
from voicewire.server.doors.audio import AudioDoor
from voicewire.server.doors.description import describe
from voicewire.server.gateway import Gateway, open_gateway
from voicewire.server.guards import AskFirst, OperatorPort, SecurityHeaders
from voicewire.server.limits import RateFields
from voicewire.server.listen import GRACE_S, DrainingServer, allow_connections, listen
from voicewire.server.live.stream import StreamEndpoint, refuse_plain
from voicewire.server.live.wire import WireProtocol
from voicewire.server.logs import configure
from voicewire.server.metrics import Metrics
from voicewire.server.origins import own_origins, public_origins, sockets_of
from voicewire.server.pages import pages
from voicewire.server.people import tell_address
from voicewire.server.pools import missing_engines, retire
from voicewire.server.recite import Reciter
from voicewire.server.requests import Requests
from voicewire.server.routes import Routes
from voicewire.server.speech import Speech
from voicewire.server.strangers import Strangers
from voicewire.server.tasks import cancelled_by_sigterm
from voicewire.server.timeouts import Patience, http_protocol

__all__ = ["build_app", "open_gateway", "serve"]

COLLECT = (2_000, 5_000, 100)  # objects, and collections of the younger generations, between collections
PING_S = 8.0  # between pings, and to answer one: a peer that does not read is gone within 16 s
NOT_FOUND = 404
TOO_LARGE = 413


def build_app(gateway: Gateway, port: int) -> FastAPI:
    """Return the application of a gateway that listens on `port`."""
    config = gateway.config
    origins = own_origins(config, port) | frozenset(config.allowed_origins)
    listening = frozenset({config.host}) if config.trusts_local and is_loopback(config.host) else frozenset()
    callers = Callers(gateway.authenticator, origins, listening, port, gateway.accounts.limiter)
    app = FastAPI(
        title="voicewire",
        version=__version__,
        description="Text in, speech and marked words out. The live protocol is the WebSocket `/v1/stream`.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would repeat whatever host the request named
        middleware=_middleware(config, callers, gateway.metrics),
    )
    for kind in (VoicewireError, RequestValidationError, HTTPException, RedisError, Exception):
        app.add_exception_handler(kind, answering(gateway.metrics, config.body_bytes_max, refusal))
    reciter = _reciter(gateway)
    dialects = _dialects(gateway, reciter, callers)
    for router in (
        Speech(reciter, callers, gateway.redis).router(),
        *dialects.doors(),
        *account_doors(gateway.store, gateway.accounts, gateway.keyring, gateway.voices, callers),
        _routes(gateway, callers).router(),
        AudioDoor(gateway.pipeline, callers).router(),
        *gateway.accounts.routers(callers),
        gateway.jobs.router(callers),
        gateway.lines.router(callers),
    ):
        # `include_router` builds each route once more, when it is first looked for, and somebody waits for all of them
        app.router.routes.extend(router.routes)
    describe(app)
    app.router.routes.extend(pages())
    stream = _stream(gateway, origins)
    app.router.routes.append(WebSocketRoute("/v1/stream", stream.serve))
    app.router.routes.append(gateway.jobs.stream(stream))
    app.router.routes.append(Route("/v1/stream", refuse_plain))
    app.router.routes.extend(dialects.sockets())
    app.router.routes.extend(gateway.lines.sockets(gateway.sessions, callers, gateway.metrics))
    app.router.routes.append(WebSocketRoute("/{path:path}", refuse_socket))
    return app


def _dialects(gateway: Gateway, reciter: Reciter, callers: Callers) -> Dialects:
    return Dialects(
        gateway.config,
        reciter,
        callers,
        gateway.authenticator,
        gateway.sessions,
        gateway.voices.catalogue,
        gateway.aliases,
        gateway.metrics,
    )


def _reciter(gateway: Gateway) -> Reciter:
    return Reciter(
        gateway.pipeline,
        gateway.machinery.meter,
        gateway.accounts.limiter,
        gateway.metrics,
        gateway.voices.catalogue,
        lambda: gateway.sessions.draining,
    )


def _middleware(config: Config, callers: Callers, metrics: Metrics) -> list[Middleware]:
    """What every request goes through, the outermost first."""
    limit = config.body_bytes_max
    sockets = sockets_of(public_origins(config, callers.port))
    chain = [
        Middleware(Prefixes),
        Middleware(Requests),
        Middleware(CutShort, metrics=metrics),
        Middleware(SecurityHeaders, sockets=sockets, https=config.public_url.startswith("https://")),
        Middleware(UnreadBodies),
        Middleware(RateFields),
    ]
    if config.admin_port:
        chain.append(Middleware(OperatorPort, port=config.admin_port))
    if config.allowed_origins:
        chain.append(_sharing(config))
    return [
        *chain,
        Middleware(RequestsAtOnce, requests_max=config.requests_max, refusal=refusal),
        Middleware(AskFirst, callers=callers, metrics=metrics, refusal=refusal),
        Middleware(TooLargeAnswer, size_bytes_max=limit, refusal=refusal),
        Middleware(RequestBodyLimitMiddleware, max_body_size=limit),
    ]


def _sharing(config: Config) -> Middleware:
    return Middleware(
        CORSMiddleware,
        allow_origins=list(config.allowed_origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
        expose_headers=["Words-Location", "Retry-After", "X-Request-ID", "RateLimit", "RateLimit-Policy"],
    )


def _routes(gateway: Gateway, callers: Callers) -> Routes:
    config = gateway.config

    async def missing() -> list[str]:
        return [*missing_engines(gateway.pools), *await gateway.storage.missing()]

    return Routes(
        gateway.voices.catalogue,
        gateway.aliases,
        callers,
        gateway.tickets,
        gateway.config.ticket_s,
        gateway.metrics,
        lambda: gateway.sessions.draining,
        missing,
        metrics_open=is_loopback(config.admin_host if config.admin_port else config.host),
    )


def _stream(gateway: Gateway, origins: frozenset[str]) -> StreamEndpoint:
    config, machinery = gateway.config, gateway.machinery
    return StreamEndpoint(
        gateway.sessions,
        machinery.parser,
        gateway.authenticator,
        gateway.metrics,
        origins,
        config.hello_s,
        config.idle_s,
        Strangers(config.connections_unauthenticated_max, config.address_unauthenticated_max),
        config.messages_max,
        gateway.lines.elsewhere,
    )


async def run(config: Config) -> None:
    """Serve until a signal ends it."""
    listener = listen(config.host, config.port)
    port = listener.getsockname()[1]
    listeners = [listener, *([listen(config.admin_host, config.admin_port)] if config.admin_port else [])]
    with cancelled_by_sigterm() as no_longer:
        async with open_gateway(config) as gateway:
            tell_address(config, port)
            uvicorn_config = _uvicorn_config(build_app(gateway, port), config)
            server = DrainingServer(
                uvicorn_config,
                gateway.sessions,
                partial(retire, gateway.pools.values()),
                config.drain_s,
                _greeting(gateway, listeners),
            )
            async with _wyoming(gateway):
                _collect_seldom()
                await server.serve(sockets=listeners)
            no_longer()
            await gateway.sessions.leave()


@contextlib.asynccontextmanager
async def _wyoming(gateway: Gateway) -> AsyncIterator[None]:
    """Answer Home Assistant, where that was asked for."""
    config = gateway.config
    if not config.wyoming_port:
        yield
        return
    wyoming = Wyoming(gateway.sessions, gateway.accounts.limiter, gateway.voices.catalogue, gateway.aliases)
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(wyoming.listening(config.wyoming_host, config.wyoming_port))
        if config.wyoming_announce:
            await stack.enter_async_context(announced(server))
        yield


def _uvicorn_config(app: FastAPI, config: Config) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=http_protocol(Patience(config.request_s, config.trickle_s)),
        ws=WireProtocol,
        ws_max_size=config.message_bytes_max,
        ws_per_message_deflate=False,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        lifespan="off",
        access_log=False,
        server_header=False,
        proxy_headers=bool(config.forwarded_allow),  # else anybody could say to be somebody else
        forwarded_allow_ips=list(config.forwarded_allow),
        timeout_graceful_shutdown=GRACE_S,
        log_config=None,
    )


def _greeting(gateway: Gateway, listeners: Sequence[socket.socket]) -> str:
    public, *operators = map(_address, listeners)
    lines = [f"voicewire {__version__} speaks on {public}"]
    lines += [f"/metrics and /admin are on {address}" for address in operators]
    if gateway.keyring.first and not gateway.config.bootstrap_key:
        lines.append(f"API key, shown only now: {gateway.keyring.first}")
    return "\n".join(lines) + "\n"


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _collect_seldom() -> None:
    """Keep the garbage collector, which stops every stream while it runs, from looking at what is here to stay.

    What is to be collected by now stays, too: it is a thousandth. Sessions leave nothing that needs it
    (tests/server/test_leftovers.py), and a look at all that the older generation has of 2,500 takes half a second.
    """
    gc.freeze()
    gc.set_threshold(*COLLECT)
    gc.enable()


def serve(config: Config) -> int:
    """Run a gateway in this process; return its exit status."""
    configure(config.log_level, config.log_format)
    allow_connections()
    with contextlib.suppress(asyncio.CancelledError):  # SIGTERM during the start
        uvloop.run(run(config))
    return os.EX_OK
