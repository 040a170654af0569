"""Telephony as a gateway has it: built here, and its addresses."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter
from redis.asyncio import Redis
from starlette.routing import BaseRoute, WebSocketRoute

from voicewire.config import Config
from voicewire.server.callers import Callers
from voicewire.server.edits import Edited
from voicewire.server.jobs.outward import Outward
from voicewire.server.live.live import Live
from voicewire.server.live.sessions import Sessions
from voicewire.server.metrics import Metrics
from voicewire.server.people import own_address
from voicewire.server.strangers import Strangers
from voicewire.server.tasks import supervise
from voicewire.server.telephony.accounts import FILE, Accounts
from voicewire.server.telephony.calls import Calls
from voicewire.server.telephony.carriers import CARRIERS
from voicewire.server.telephony.elsewhere import Elsewhere
from voicewire.server.telephony.endpoint import CallEndpoint, Telephony
from voicewire.server.telephony.relay import Relay
from voicewire.server.telephony.tokens import Tokens
from voicewire.server.telephony.voice import STREAM_PATH, TokenDoor, VoiceDoor
from voicewire.server.telephony.webhook import Hooks

WEBHOOKS_AT_ONCE = 64
CALLS_OF_ADDRESS = 500  # not yet started, from one address: a carrier has few


@dataclass(frozen=True, slots=True)
class Lines:
    """The parts."""

    config: Config
    accounts: Accounts
    tokens: Tokens
    calls: Calls
    relay: Relay
    hooks: Hooks

    def start(self, stack: contextlib.AsyncExitStack) -> None:
        """Carry what is said between gateways and to webhooks, and follow the table, until `stack` is unwound."""
        stack.push_async_callback(self.hooks.aclose)
        edited = Edited(self.config.data_dir / FILE, partial(Accounts.read, self.config), self.accounts.take)
        supervise(stack, "accounts at carriers", edited.run)
        supervise(stack, "calls elsewhere", self.relay.run)
        supervise(stack, "letters to calls", self.relay.deliver)

    def elsewhere(self, live: Live) -> Elsewhere:
        """Return what a session speaks into calls with."""
        return Elsewhere(self.relay, live)

    def router(self, callers: Callers) -> APIRouter:
        """Return the routes over HTTP."""
        url = own_address(self.config, callers.port)
        router = APIRouter()
        for door in (
            VoiceDoor(self.accounts, self.tokens, url, socket_address(url)),
            TokenDoor(self.tokens, callers, socket_address(url)),
        ):
            router.routes.extend(door.router().routes)
        return router

    def sockets(self, sessions: Sessions, callers: Callers, metrics: Metrics) -> list[BaseRoute]:
        """Return the carriers' streams."""
        shared = Telephony(
            self.calls,
            self.relay,
            self.accounts,
            self.tokens,
            sessions,
            callers.limiter,
            Strangers(self.config.connections_unauthenticated_max, CALLS_OF_ADDRESS),
            metrics,
            self.hooks.attend,
            url=socket_address(own_address(self.config, callers.port)),
            start_s=self.config.hello_s,
            messages_max=self.config.messages_max,
        )
        return [
            WebSocketRoute(STREAM_PATH.format(carrier=name), CallEndpoint(carrier, shared).serve)
            for name, carrier in CARRIERS.items()
        ]


def socket_address(url: str) -> str:
    """Return the address of WebSockets for one of HTTP."""
    return "ws" + url.removeprefix("http")


def build_lines(config: Config, redis: Redis, pepper: bytes) -> Lines:
    """Build the parts; their end is `Hooks.aclose`. Raises `ConfigError`."""
    hooks = Hooks(Outward(private=config.webhook_private, at_once=WEBHOOKS_AT_ONCE), pepper)
    calls = Calls()
    return Lines(config, Accounts.read(config), Tokens(redis), calls, Relay(redis, calls), hooks)
