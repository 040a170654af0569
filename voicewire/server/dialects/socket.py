"""A vendor's WebSocket on a session of ours: what a `Tongue` hears becomes our messages, and ours what it says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from starlette.websockets import WebSocket

from voicewire import frames
from voicewire.auth.authenticate import Authenticator, check_origin
from voicewire.auth.principal import Principal
from voicewire.catalogue import Catalogue
from voicewire.context import Wire
from voicewire.errors import RETRY_MS, TABLE, BadRequest, OverQuota, Unauthorized, VoicewireError
from voicewire.server.dialects.credentials import echoed_protocol, shown_credential
from voicewire.server.dialects.refusals import refusal
from voicewire.server.live.conversation import conversing
from voicewire.server.live.live import Live
from voicewire.server.live.pace import Pace
from voicewire.server.live.sessions import Sessions
from voicewire.server.live.wire import GOODBYE, WireProtocol, data_of, wire_of
from voicewire.server.logs import bind
from voicewire.server.metrics import Metrics
from voicewire.server.strangers import Strangers

STRANGER = 1008  # RFC 6455, section 7.4.1: vendors that take a key in the first message close so where it is not good
FIRST_BYTES_MAX = 8 * 1024  # of that message
LEAD_MS = 600_000  # where nothing can be interrupted: as far as the server allows, as vendors do


class Tongue(Protocol):
    """One connection in a vendor's words. Times are those of our messages; `ask` and `say` may be used at any time.

    It is made when it is known who asks, if the handshake can say so, and before that is answered: what it raises of
    ours then is the answer.
    """

    def hear(self, data: str | bytes) -> None:
        """Take a message of the client; what it raises of ours is said by `refused`."""
        ...

    def told(self, message: frames.ServerMessage) -> Iterable[Wire]:
        """Say what one of our messages says."""
        ...

    def sounded(self, audio: frames.AudioFrames) -> Iterable[Wire]:
        """Hand on audio."""
        ...

    def refused(self, error: VoicewireError) -> Iterable[Wire]:
        """Say that a message was not understood, or the connection ends."""
        ...


class Line:
    """What a tongue has of its connection: a way to our session, and one to the client."""

    def __init__(
        self, wire: WireProtocol, catalogue: Callable[[str], Catalogue], websocket: WebSocket, lead_ms: int
    ) -> None:
        self._wire = wire
        self._catalogue = catalogue
        self.query = websocket.query_params
        self.path: Mapping[str, str] = websocket.path_params
        self.lead_ms = lead_ms  # of what can be interrupted
        self.tongue: Tongue | None = None
        self.tenant = ""  # before it is known who asks
        self.live: Live | None = None
        self.ended = False

    def catalogue(self) -> Catalogue:
        """Return what the client's tenant can speak with."""
        assert self.tenant
        return self._catalogue(self.tenant)

    @property
    def text_chars(self) -> int:
        """How many characters an utterance may have."""
        assert self.live is not None
        return self.live.session.limits.text_chars

    def ask(self, message: frames.ClientMessage) -> None:
        """Have our session do something."""
        assert self.live is not None
        self.live.take(message)

    def soon(self, act: Callable[[], None]) -> None:
        """Do something when what is being said was said, if the client is still there then."""
        asyncio.get_running_loop().call_soon(self._act_if_there, act)

    def later(self, wait_s: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        """Do something after a while, if the client is still there then."""
        return asyncio.get_running_loop().call_later(wait_s, self._act_if_there, act)

    def say(self, *messages: Wire) -> None:
        """Tell the client something that no message of our session says."""
        for message in messages:
            self._wire.say(message)

    def end(self) -> None:
        """Say goodbye when the message in hand was heard."""
        self.ended = True

    def hang_up(self, code: str = "") -> None:
        """Say goodbye when what is being said was said; with a code of the table of errors it is for that."""
        close = TABLE[code].close if code else GOODBYE
        self.soon(lambda: self._wire.finish(close, code))

    def _act_if_there(self, act: Callable[[], None]) -> None:
        if self.live is None or not self.live.attached:
            return
        try:
            act()
        except VoicewireError as error:  # of a message that was heard before: it had to wait
            assert self.tongue is not None
            self.say(*self.tongue.refused(error))


@dataclass(frozen=True, slots=True)
class Introductions:
    """First messages that say who it is, where browsers can say it nowhere else: `credential` raises `BadRequest`."""

    credential: Callable[[str | bytes], str]  # "" where there is none
    strangers: Strangers
    within_s: float


@dataclass(frozen=True, slots=True)
class DialectEndpoint:
    """The endpoint of one dialect. `origins` are the pages that may connect."""

    speaks: Callable[[Line], Tongue]
    sessions: Sessions
    authenticator: Authenticator
    catalogue: Callable[[str], Catalogue]  # of a tenant
    metrics: Metrics
    parser: frames.Parser
    origins: frozenset[str]
    idle_s: float
    messages_max: int
    lead_ms: int
    introductions: Introductions | None = None  # without, only the handshake can say who it is

    async def serve(self, websocket: WebSocket) -> None:
        with ExitStack() as stranger:  # counted as one, until it has said who it is
            try:
                principal = await self._greet(websocket, stranger)
                line, tongue = self._line(websocket, principal)
            except VoicewireError as error:
                self.metrics.refused.labels(error.row_code).inc()
                await websocket.send_denial_response(refusal(websocket, error))
                return
            await websocket.accept(echoed_protocol(websocket.scope["subprotocols"]))
            try:
                first = await self._enter(websocket, line, tongue, principal)
            except VoicewireError as error:
                self._refuse(websocket, line, tongue, error)
                return
        if line.live is not None:
            bind(session=line.live.id, tenant=line.tenant)
            await self._converse(websocket, line, line.live, tongue, first)

    async def _greet(self, websocket: WebSocket, stranger: ExitStack) -> Principal | None:
        """Refuse what can be refused before the handshake is; return who it is, if that was shown."""
        check_origin(websocket.headers.get("origin"), self.origins)
        self.sessions.admit()
        credential = shown_credential(websocket)
        if credential is None and self.introductions is not None:
            host = websocket.client.host if websocket.client else ""
            stranger.enter_context(self.introductions.strangers.counted(host))
            return None
        return await self._known(credential)

    def _line(self, websocket: WebSocket, principal: Principal | None) -> tuple[Line, Tongue]:
        line = Line(wire_of(websocket.scope), self.catalogue, websocket, self.lead_ms)
        line.tenant = principal.tenant if principal else ""
        line.tongue = tongue = self.speaks(line)
        return line, tongue

    async def _known(self, credential: str | None) -> Principal:
        principal = await self.authenticator.authenticate(credential)
        principal.require("speak")
        return principal

    async def _enter(
        self, websocket: WebSocket, line: Line, tongue: Tongue, principal: Principal | None
    ) -> str | bytes | None:
        """Begin the session; return the message that came before it, if one had to. No session: the client left."""
        first = None
        if principal is None:
            assert self.introductions is not None
            first = await _first(websocket, self.introductions.within_s)
            if first is None:
                return None
            principal = await self._known(self.introductions.credential(first))
        line.tenant = principal.tenant
        line.live = await self.sessions.begin(wire_of(websocket.scope), principal, _Translation(tongue, self.parser))
        return first

    def _refuse(self, websocket: WebSocket, line: Line, tongue: Tongue, error: VoicewireError) -> None:
        self.metrics.refused.labels(error.row_code).inc()
        line.say(*tongue.refused(error))
        close = STRANGER if isinstance(error, Unauthorized) else error.row.close
        wire_of(websocket.scope).finish(close, error.row_code)

    async def _converse(
        self, websocket: WebSocket, line: Line, live: Live, tongue: Tongue, first: str | bytes | None
    ) -> None:
        async with conversing(self.sessions, self.metrics, live):
            if first is not None:
                _hear(line, tongue, first)
            await self._messages(websocket, line, live, tongue)

    async def _messages(self, websocket: WebSocket, line: Line, live: Live, tongue: Tongue) -> None:
        wire, pace = wire_of(websocket.scope), Pace(self.messages_max)
        while not line.ended:
            try:
                async with asyncio.timeout(self.idle_s):
                    event = await websocket.receive()
            except TimeoutError:
                if live.session.contexts:
                    continue
                break
            if event["type"] != "websocket.receive":
                return
            if not pace.allows(time.monotonic()):
                live.close(OverQuota(retry_after_ms=RETRY_MS))
                continue
            _hear(line, tongue, data_of(event))
        wire.finish(GOODBYE, "")


async def _first(websocket: WebSocket, within_s: float) -> str | bytes | None:
    """Wait for what a stranger says, not for long; None when it left. Raises `Unauthorized` or `BadRequest`."""
    try:
        async with asyncio.timeout(within_s):
            event = await websocket.receive()
    except TimeoutError:
        raise Unauthorized from None
    if event["type"] != "websocket.receive":
        return None
    data = data_of(event)
    if len(data) > FIRST_BYTES_MAX:
        raise BadRequest("too_large", limit=FIRST_BYTES_MAX)
    return data


def _hear(line: Line, tongue: Tongue, data: str | bytes) -> None:
    try:
        tongue.hear(data)
    except VoicewireError as error:
        line.say(*tongue.refused(error))


class _Translation:
    """Takes our messages apart for a tongue."""

    def __init__(self, tongue: Tongue, parser: frames.Parser) -> None:
        self._tongue = tongue
        self._parser = parser

    def __call__(self, wire: Wire) -> Iterator[Wire]:
        opcode, payload = wire
        if opcode == frames.BINARY_OPCODE:
            yield from self._tongue.sounded(frames.unpack_audio(payload))
        else:
            yield from self._tongue.told(self._parser.server(payload))
