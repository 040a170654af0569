"""The one place that builds everything and hands it down."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import uvicorn
import uvloop
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, WebSocketRoute

from voicewire import __version__
from voicewire.accounts.voices import Voices
from voicewire.auth.authenticate import Authenticator
from voicewire.auth.tickets import TicketStore
from voicewire.clips import Clips
from voicewire.config import Config, is_loopback
from voicewire.engines.pooling import Pool
from voicewire.errors import Busy, VoicewireError
from voicewire.frames import Parser
from voicewire.pipeline import Pipeline
from voicewire.server.account_doors import account_doors
from voicewire.server.accounts import Accounts, open_accounts
from voicewire.server.answers import answering
from voicewire.server.bounds import CutShort, RequestsAtOnce, TooLargeAnswer, UnreadBodies
from voicewire.server.callers import Callers
from voicewire.server.dialects.mount import dialects
from voicewire.server.doors.description import describe
from voicewire.server.guards import AskFirst, OperatorPort, SecurityHeaders
from voicewire.server.jobs.opening import Jobs, Needs, build_jobs
from voicewire.server.keyring import Keyring, open_keyring
from voicewire.server.limits import RateFields
from voicewire.server.listen import GRACE_S, DrainingServer, allow_connections, listen
from voicewire.server.live.journal import Journal
from voicewire.server.live.machinery import Machinery, Settings
from voicewire.server.live.sessions import Admission, Sessions
from voicewire.server.live.stream import StreamEndpoint, refuse_plain
from voicewire.server.live.ticker import Ticker
from voicewire.server.live.watch import Watch
from voicewire.server.live.wire import WireProtocol
from voicewire.server.logs import configure
from voicewire.server.metering import Meter
from voicewire.server.metrics import Metrics, Readings
from voicewire.server.origins import own_origins, public_origins, sockets_of
from voicewire.server.pages import pages
from voicewire.server.paying import Refunds, open_ledger
from voicewire.server.people import tell_address
from voicewire.server.pools import open_pools
from voicewire.server.recite import Reciter
from voicewire.server.requests import Requests
from voicewire.server.routes import Routes
from voicewire.server.speech import Speech
from voicewire.server.storage import Storage, open_storage
from voicewire.server.strangers import Strangers
from voicewire.server.tasks import cancelled_by_sigterm, supervise, together
from voicewire.server.timeouts import Patience, http_protocol
from voicewire.session import Limits
from voicewire.storage.ledger_service import LedgerService
from voicewire.storage.store import Store

COLLECT = (20_000, 50, 1_000)  # objects, and collections of the younger generations, between collections
PING_S = 8.0  # between pings, and to answer one: a peer that does not read is gone within 16 s
NOT_FOUND = 404
TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway's parts, as the application needs them."""

    config: Config
    storage: Storage
    accounts: Accounts
    pools: Mapping[str, Pool]
    pipeline: Pipeline
    sessions: Sessions
    machinery: Machinery
    metrics: Metrics
    authenticator: Authenticator
    tickets: TicketStore
    keyring: Keyring
    voices: Voices
    jobs: Jobs

    @property
    def redis(self) -> Redis:
        return self.storage.redis

    @property
    def store(self) -> Store:
        return self.storage.store


@contextlib.asynccontextmanager
async def open_gateway(config: Config) -> AsyncIterator[Gateway]:
    """Start Redis, PostgreSQL, the engines and the clock; stop them in the opposite order."""
    opened = False
    async with contextlib.AsyncExitStack() as stack:
        storing = asyncio.create_task(open_storage(config, stack, lambda: opened), name="storage")
        engines = asyncio.create_task(open_pools(config, stack), name="engines")
        await together(storing, engines)
        service = await open_ledger(storing.result(), stack)
        accounts = open_accounts(config, storing.result(), service.ledger, stack)
        keyring = await open_keyring(config, storing.result(), accounts.news, stack)
        gateway = _assemble(config, storing.result(), service, accounts, keyring, engines.result())
        stack.callback(gateway.machinery.ticker.close)
        supervise(stack, "journal", gateway.machinery.journal.run)
        stack.push_async_callback(gateway.machinery.meter.drain)
        supervise(stack, "meter", gateway.machinery.meter.run)
        await _follow_voices(gateway, stack)
        gateway.jobs.start(stack)
        supervise(stack, "watch", Watch(gateway.sessions, gateway.authenticator, gateway.accounts.news).run)
        opened = True
        yield gateway


async def _follow_voices(gateway: Gateway, stack: contextlib.AsyncExitStack) -> None:
    migrated = gateway.storage.migrated

    async def follow() -> None:
        await migrated.wait()
        await gateway.voices.run()

    if migrated.is_set():
        with contextlib.suppress(Busy):
            await gateway.voices.load()
    supervise(stack, "voices", follow)


def _assemble(
    config: Config,
    storage: Storage,
    service: LedgerService,
    accounts: Accounts,
    keyring: Keyring,
    pools: Mapping[str, Pool],
) -> Gateway:
    engines = [(pool.model, pool.voices) for pool in pools.values()]
    voices = Voices(storage.store, accounts.news, engines, config.default_model)
    clips, metrics = Clips(config.cache_bytes), Metrics()
    pipeline = Pipeline(pools, clips)
    journal = Journal(storage.redis, interval_s=config.journal_ms / 1000, resume_s=config.resume_s)
    ticker = Ticker(config.tick_ms / 1000, metrics.tick_lag_s.observe)
    settings = Settings(_limits(config), config.stall_s, config.resume_s, config.resume_bytes_max)
    refundable, admit = Refunds(accounts.rates).allowed, accounts.limiter.admit_context
    meter = Meter(service.ledger, admit, accounts.plans.permille, refundable, limited=config.billing)
    machinery = Machinery(settings, pipeline, ticker, journal, meter, Parser(), metrics.observe_context)
    admission = Admission(config.streams_max, config.outbox_bytes_max)
    tickets = TicketStore(storage.redis, lifetime_s=config.ticket_s)
    authenticator = Authenticator(keyring.cache, keyring.pepper, tickets, accounts.plans.limits, accounts.people.people)
    sessions = Sessions(machinery, admission, accounts.limiter, voices.catalogue)
    metrics.read(Readings(sessions, pools, clips, journal, service.counters, accounts.people.mailer))
    needs = Needs(
        storage,
        pools,
        pipeline,
        meter,
        service.ledger,
        accounts.limiter,
        authenticator,
        voices.catalogue,
        keyring.pepper,
        metrics.audio_s.labels("job").inc,
        lambda: sessions.draining,
    )
    return Gateway(
        config,
        storage,
        accounts,
        pools,
        pipeline,
        sessions,
        machinery,
        metrics,
        authenticator,
        tickets,
        keyring,
        voices,
        build_jobs(config, needs),
    )


def _limits(config: Config) -> Limits:
    return Limits(
        config.contexts_max,
        config.text_chars_max,
        config.message_bytes_max,
        int(config.idle_s),
        config.lead_ms,
        config.lead_ms_max,
        config.prefetch_ms,
        config.first_wait_ms,
        int(config.resume_s),
    )


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
        app.add_exception_handler(kind, answering(gateway.metrics, config.body_bytes_max))
    reciter = _reciter(gateway)
    app.include_router(Speech(reciter, callers, gateway.redis).router())
    for router in dialects(config, reciter, callers, gateway.voices.catalogue, gateway.metrics):
        app.include_router(router)
    for router in account_doors(gateway.store, gateway.accounts, gateway.keyring, gateway.voices, callers):
        app.include_router(router)
    app.include_router(_routes(gateway, callers).router())
    for router in gateway.accounts.routers(callers):
        app.include_router(router)
    app.include_router(gateway.jobs.router(callers))
    describe(app)
    app.router.routes.extend(pages())
    stream = _stream(gateway, origins)
    app.router.routes.append(WebSocketRoute("/v1/stream", stream.serve))
    app.router.routes.append(gateway.jobs.stream(stream))
    app.router.routes.append(Route("/v1/stream", refuse_plain))
    return app


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
        Middleware(RequestsAtOnce, requests_max=config.requests_max),
        Middleware(AskFirst, callers=callers, metrics=metrics),
        Middleware(TooLargeAnswer, size_bytes_max=limit),
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
        names = [f"engine {name}" for name, pool in gateway.pools.items() if not pool.stats().workers]
        return [*names, *await gateway.storage.missing()]

    return Routes(
        gateway.voices.catalogue,
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
            server = DrainingServer(uvicorn_config, gateway.sessions, config.drain_s, _greeting(gateway, listeners))
            await server.serve(sockets=listeners)
            no_longer()
            await gateway.sessions.leave()


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
    """Keep the garbage collector, which stops every stream while it runs, from looking at what is here to stay."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


def serve(config: Config) -> int:
    """Run a gateway in this process; return its exit status."""
    configure(config.log_level, config.log_format)
    allow_connections()
    _collect_seldom()
    with contextlib.suppress(asyncio.CancelledError):  # SIGTERM during the start
        uvloop.run(run(config))
    return os.EX_OK
