"""`GET /v1/stream`: the WebSocket endpoint. Who is it, which session, and then its messages until the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message
from starlette.websockets import WebSocket

from voicewire import frames
from voicewire.auth.authenticate import (
    Authenticator,
    check_origin,
    credential_from_headers,
    refuse_query_secrets,
)
from voicewire.auth.principal import Principal
from voicewire.errors import RETRY_MS, BadRequest, Gone, OverQuota, Unauthorized, VoicewireError
from voicewire.frames import SUBPROTOCOL
from voicewire.server.answers import error_response
from voicewire.server.live.conversation import Conversation, conversing, listen
from voicewire.server.live.live import Elsewhere, Live
from voicewire.server.live.pace import Pace
from voicewire.server.live.sessions import Sessions
from voicewire.server.live.wire import GOODBYE, Listener, WireProtocol, wire_of
from voicewire.server.logs import bind
from voicewire.server.metrics import Metrics
from voicewire.server.strangers import Strangers
from voicewire.session import text_wire

IDLE = "idle"
LOST = 0  # no close code: nobody said goodbye
TRIES_MAX = 4  # first messages: resumes that are gone, and a hello
RESUME_HINT = '"resume"'  # stands in every resume message: others need not be parsed twice


@dataclass(frozen=True, slots=True)
class StreamEndpoint:
    """See the module. `origins` are the pages that may connect."""

    sessions: Sessions
    parser: frames.Parser
    authenticator: Authenticator
    metrics: Metrics
    origins: frozenset[str]
    hello_s: float
    idle_s: float
    strangers: Strangers
    messages_max: int
    elsewhere: Callable[[Live], Elsewhere]

    async def serve(self, websocket: WebSocket, begin: Callable[[Live], Awaitable[None]] | None = None) -> None:
        """Hold a conversation; `begin` is done for who was let in, and may refuse."""
        with ExitStack() as stranger:  # counted as one, until it has said who it is
            live = await self._admit(websocket, stranger)
        if live is not None:
            live.elsewhere = self.elsewhere(live)
            bind(session=live.id, tenant=live.principal.tenant)
            if begin is not None:
                await self._begin(websocket, live, begin)
            await self._converse(websocket, wire_of(websocket.scope), live)

    async def _begin(self, websocket: WebSocket, live: Live, begin: Callable[[Live], Awaitable[None]]) -> None:
        try:
            await begin(live)
        except VoicewireError as error:
            self._refuse(wire_of(websocket.scope), error)  # the end comes as an event

    async def _admit(self, websocket: WebSocket, stranger: ExitStack) -> Live | None:
        try:
            principal = await self._greet(websocket, stranger)
        except VoicewireError as error:
            self.metrics.refused.labels(error.row_code).inc()
            await websocket.send_denial_response(error_response(error))
            return None
        offered = websocket.scope["subprotocols"]
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        wire = wire_of(websocket.scope)
        try:
            return await self._enter(websocket, wire, principal)
        except VoicewireError as error:
            self._refuse(wire, error)
            return None

    def _refuse(self, wire: WireProtocol, error: VoicewireError) -> None:
        self.metrics.refused.labels(error.row_code).inc()
        wire.say(text_wire(frames.Error.of(error)))
        wire.finish(error.row.close, error.row_code)

    async def _greet(self, websocket: WebSocket, stranger: ExitStack) -> Principal | None:
        """Refuse what can be refused before the handshake is; return who it is, if that was shown."""
        self.sessions.admit()
        refuse_query_secrets(websocket.url.query)
        check_origin(websocket.headers.get("origin"), self.origins)
        credential = credential_from_headers(websocket.headers)
        if credential is None:
            stranger.enter_context(self.strangers.counted(websocket.client.host if websocket.client else ""))
            return None
        principal = await self.authenticator.authenticate(credential)
        principal.require("speak")
        return principal

    async def _enter(self, websocket: WebSocket, wire: WireProtocol, principal: Principal | None) -> Live | None:
        """Return the session, new or resumed; None when the client left before it had one."""
        if principal is not None:
            return await self.sessions.begin(wire, principal)
        try:
            async with asyncio.timeout(self.hello_s):
                return await self._first_message(websocket, wire)
        except TimeoutError:
            raise Unauthorized("no_hello", limit=self.hello_s) from None

    async def _first_message(self, websocket: WebSocket, wire: WireProtocol) -> Live | None:
        for _ in range(TRIES_MAX):
            event = await websocket.receive()
            if event["type"] != "websocket.receive":
                return None
            match self.parser.client(event.get("text") or ""):
                case frames.Hello(ticket):
                    principal = await self.authenticator.redeem(ticket, websocket.headers.get("origin"))
                    principal.require("speak")
                    return await self.sessions.begin(wire, principal)
                case frames.Resume() as message:
                    if live := await self._resume(wire, message):
                        return live
                    wire.say(text_wire(frames.Error.of(Gone())))  # a hello may follow
                case _:
                    break
        raise Unauthorized("no_hello", limit=self.hello_s)

    async def _resume(self, wire: WireProtocol, message: frames.Resume) -> Live | None:
        found = await self.sessions.claim(message)
        self.metrics.resumed.labels("resumed" if found else "gone").inc()
        if found is None:
            return None
        identity, claimed = found
        principal = await self.authenticator.confirm(identity.principal)  # as it is by now, not as it came
        principal.require("speak")
        identity = replace(identity, principal=principal)
        received = {name: last.seq for name, last in message.received.items()}
        return await self.sessions.resume(wire, identity, claimed, received)

    async def _converse(self, websocket: WebSocket, wire: WireProtocol, live: Live) -> None:
        async with conversing(self.sessions, self.metrics, live) as conversation:
            conversation.code = LOST  # until somebody closes it
            wire.stirred = conversation.stir
            try:
                conversation.code = await self._hear_out(websocket, wire, conversation)
            finally:
                wire.stirred = None  # or it would wait for the garbage collector

    async def _hear_out(self, websocket: WebSocket, wire: WireProtocol, conversation: Conversation) -> int:
        """Have all messages heard; return the connection's close code."""
        live = conversation.live
        event = await self._next(websocket, wire, live)
        if RESUME_HINT in (event.get("text") or ""):
            try:
                live = conversation.live = await self._exchange(wire, live, event["text"])
            except VoicewireError as error:
                self._refuse(wire, error)
            event = await self._next(websocket, wire, live)
        hear, receive = self._listener(wire, live), partial(self._next, websocket, wire, live)
        return await listen(wire, hear, event, receive)

    async def _exchange(self, wire: WireProtocol, fresh: Live, data: str) -> Live:
        """The first message after a header's credential may be a resume: it takes the place of the fresh session."""
        try:
            message = self.parser.client(data)
        except BadRequest:
            message = None
        if not isinstance(message, frames.Resume):
            fresh.receive(data)
            return fresh
        await self.sessions.step_aside(fresh)  # one of the two counts, not both
        live = await self._resume(wire, message)
        if live is None:
            await self.sessions.come_back(fresh)
            fresh.send(frames.Error.of(Gone()))
            return fresh
        await fresh.leave(resumable=False)
        live.elsewhere = self.elsewhere(live)
        return live

    def _listener(self, wire: WireProtocol, live: Live) -> Listener:
        pace = Pace(self.messages_max)

        def hear(data: str | bytes) -> None:
            if not pace.allows(time.monotonic()):
                self._refuse(wire, OverQuota(retry_after_ms=RETRY_MS))  # the end comes as an event
            elif isinstance(data, str):
                live.receive(data)
            else:
                live.receive_binary()

        return hear

    async def _next(self, websocket: WebSocket, wire: WireProtocol, live: Live) -> Message:
        """Wait for the next event; a connection on which nothing happens is ended."""
        since = time.monotonic()
        while True:
            since = max(since, live.last_message)
            try:
                async with asyncio.timeout(since + self.idle_s - time.monotonic()):
                    return await websocket.receive()
            except TimeoutError:
                if live.last_message > since:
                    continue
                since = time.monotonic()
                if not live.session.contexts:
                    wire.finish(GOODBYE, IDLE)


async def refuse_plain(request: Request) -> Response:  # noqa: ARG001 - a route takes its request
    """Answer who asks for the socket's address without asking for a socket."""
    return error_response(BadRequest("upgrade_required"))
