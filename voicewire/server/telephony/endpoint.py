"""A carrier's media stream: nothing is believed before a `start` whose token is good, and for that very call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from starlette.websockets import WebSocket

from voicewire.auth.principal import Principal
from voicewire.errors import RETRY_MS, BadRequest, OverQuota, Unauthorized, VoicewireError
from voicewire.server.answers import error_response
from voicewire.server.limits import Limiter
from voicewire.server.live.conversation import conversing, listen
from voicewire.server.live.pace import Pace
from voicewire.server.live.sessions import Sessions
from voicewire.server.live.wire import GOODBYE, Listener, WireProtocol, data_of, wire_of
from voicewire.server.logs import bind
from voicewire.server.metrics import Metrics
from voicewire.server.strangers import Strangers
from voicewire.server.telephony.accounts import Account, Accounts
from voicewire.server.telephony.call import Call
from voicewire.server.telephony.calls import Calls
from voicewire.server.telephony.carriers import TELNYX_TOKEN_HEADER, Carrier, Marked, Pressed, Started, Stopped
from voicewire.server.telephony.relay import Relay
from voicewire.server.telephony.signatures import SIGNATURE, signed_by
from voicewire.server.telephony.tokens import Grant, Tokens

FIRST_MESSAGES_MAX = 4  # a greeting, and the start
BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Telephony:
    """What the streams of all carriers share. `url` is where carriers reach this server, by wss."""

    calls: Calls
    relay: Relay
    accounts: Accounts
    tokens: Tokens
    sessions: Sessions
    limiter: Limiter
    strangers: Strangers
    metrics: Metrics
    attend: Callable[[Call, Account], None]  # have its operator's webhook speak
    url: str
    start_s: float
    messages_max: int


@dataclass(frozen=True, slots=True)
class CallEndpoint:
    """The endpoint of one carrier."""

    carrier: Carrier
    shared: Telephony

    async def serve(self, websocket: WebSocket) -> None:
        """Hold a call, from its carrier's connection to its end."""
        shared = self.shared
        with ExitStack() as stranger:
            try:
                shared.sessions.admit()
                host = websocket.client.host if websocket.client else ""
                stranger.enter_context(shared.strangers.counted(host))
            except VoicewireError as error:
                shared.metrics.refused.labels(error.row_code).inc()
                await websocket.send_denial_response(error_response(error))
                return
            await websocket.accept()
            wire = wire_of(websocket.scope)
            try:
                call = await self._begin(websocket, wire)
            except VoicewireError as error:
                shared.metrics.refused.labels(error.row_code).inc()
                wire.finish(error.row.close, error.row_code)
                return
        if call is not None:
            await self._hold(websocket, wire, call)

    async def _begin(self, websocket: WebSocket, wire: WireProtocol) -> Call | None:
        try:
            async with asyncio.timeout(self.shared.start_s):
                started = await self._started(websocket)
        except TimeoutError:
            raise Unauthorized("no_hello", limit=self.shared.start_s) from None
        if started is None:
            return None
        grant, account = await self._checked(websocket, started)
        return await self._enter(wire, started, grant, account)

    async def _started(self, websocket: WebSocket) -> Started | None:
        """Wait for the start; None when the carrier left before."""
        for _ in range(FIRST_MESSAGES_MAX):
            event = await websocket.receive()
            if event["type"] != "websocket.receive":
                return None
            said = self.carrier.hear(data_of(event))
            if isinstance(said, Started):
                return said
            if said is not None:
                break
        raise Unauthorized

    async def _checked(self, websocket: WebSocket, started: Started) -> tuple[Grant, Account]:
        """Return whose call it is. Raises `Unauthorized` for a token or a signature that is not good."""
        grant = await self.shared.tokens.redeem(started.token or _shown(websocket.headers), started.call)
        if not grant.account:
            return grant, Account("", tenant=grant.tenant)
        account = self.shared.accounts.find(grant.account)
        if account is None or account.tenant != grant.tenant:  # it was taken out of the table meanwhile
            raise Unauthorized
        if SIGNATURE in websocket.headers:
            url = self.shared.url + websocket.scope["path"]
            if not signed_by(account.secret, websocket.headers, url):
                raise Unauthorized
        return grant, account

    async def _enter(self, wire: WireProtocol, started: Started, grant: Grant, account: Account) -> Call:
        shared = self.shared
        if not started.call:
            raise BadRequest(problem="the call has no name")
        principal = await self._principal(grant.tenant)
        call = Call(self.carrier, started, grant.tenant, wire.say, account.manner)
        shared.calls.add(call)
        try:
            call.live = await shared.sessions.begin(wire, principal, call.translate)
        except BaseException:
            shared.calls.remove(call)
            raise
        bind(session=call.live.id, tenant=grant.tenant)
        if account.webhook:
            shared.attend(call, account)  # before others can have taken all places of agents
        await shared.relay.announce(call)
        return call

    async def _principal(self, tenant: str) -> Principal:
        limits = await self.shared.limiter.limits_of(tenant)
        return Principal(f"call:{tenant}", tenant, frozenset({"speak"}), "local", "telephone", limits)

    async def _hold(self, websocket: WebSocket, wire: WireProtocol, call: Call) -> None:
        shared = self.shared
        assert call.live is not None
        async with conversing(shared.sessions, shared.metrics, call.live):
            try:
                await listen(wire, self._listener(wire, call), await websocket.receive(), websocket.receive)
            finally:
                shared.calls.remove(call)
                await call.over()
                await shared.relay.forget(call)

    def _listener(self, wire: WireProtocol, call: Call) -> Listener:
        pace, carrier, metrics = Pace(self.shared.messages_max), self.carrier, self.shared.metrics

        def hear(data: str | bytes) -> None:
            try:
                if not pace.allows(time.monotonic()):
                    raise OverQuota(retry_after_ms=RETRY_MS)
                said = carrier.hear(data)
            except VoicewireError as error:
                metrics.refused.labels(error.row_code).inc()
                wire.finish(error.row.close, error.row_code)
                return
            if isinstance(said, Stopped):
                wire.finish(GOODBYE, "")
            elif isinstance(said, Marked | Pressed):
                call.hear(said)
            elif said is not None:
                wire.finish(BadRequest(problem="it started twice").row.close, "bad_message")

        return hear


def _shown(headers: Mapping[str, str]) -> str:
    """The token, where a carrier shows it before its first message."""
    bearer = headers.get("authorization", "")
    if bearer.lower().startswith(BEARER):
        return bearer[len(BEARER) :]
    return headers.get(TELNYX_TOKEN_HEADER, "")
