"""A vendor's WebSocket on a session of ours: what a `Tongue` hears becomes our messages, and ours what it says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from starlette.websockets import WebSocket

from voicewire import frames
from voicewire.auth.authenticate import Authenticator, check_origin, credential_from_headers
from voicewire.auth.principal import Principal
from voicewire.catalogue import Catalogue
from voicewire.context import Wire
from voicewire.errors import RETRY_MS, TABLE, OverQuota, Unauthorized, VoicewireError
from voicewire.server.answers import error_response
from voicewire.server.live.live import Live
from voicewire.server.live.pace import Pace
from voicewire.server.live.sessions import Sessions
from voicewire.server.live.wire import WireProtocol, frame_header, wire_of
from voicewire.server.logs import bind
from voicewire.server.metrics import Metrics

GOODBYE = 1000  # RFC 6455, section 7.4.1
KEY_PARAMETERS = ("api_key", "authorization")  # where old packages of vendors can put a key nowhere else
LEAD_MS = 600_000  # vendors send audio as fast as it is made; the client keeps the time


class Tongue(Protocol):
    """One connection in a vendor's words. Times are those of our messages; `ask` and `say` may be used at any time."""

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

    def __init__(self, wire: WireProtocol, catalogue: Callable[[], Catalogue], websocket: WebSocket) -> None:
        self._wire = wire
        self.catalogue = catalogue
        self.query = websocket.query_params
        self.path: Mapping[str, str] = websocket.path_params
        self.live: Live | None = None
        self.ended = False

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
        for opcode, payload in messages:
            self._wire.write(frame_header(opcode, len(payload)) + payload)

    def end(self) -> None:
        """Say goodbye when the message in hand was heard."""
        self.ended = True

    def hang_up(self, code: str = "") -> None:
        """Say goodbye when what is being said was said; with a code of the table of errors it is for that."""
        close = TABLE[code].close if code else GOODBYE
        self.soon(lambda: self._wire.finish(close, code))

    def _act_if_there(self, act: Callable[[], None]) -> None:
        if self.live is not None and self.live.attached:
            act()


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

    async def serve(self, websocket: WebSocket) -> None:
        try:
            principal = await self._greet(websocket)
            self.sessions.admit()
        except VoicewireError as error:
            self.metrics.refused.labels(error.row_code).inc()
            await websocket.send_denial_response(error_response(error))
            return
        await websocket.accept()
        wire = wire_of(websocket.scope)
        line = Line(wire, lambda: self.catalogue(principal.tenant), websocket)
        tongue = self.speaks(line)
        try:
            line.live = await self.sessions.begin(wire, principal, _Translation(tongue, self.parser))
        except VoicewireError as error:
            self.metrics.refused.labels(error.row_code).inc()
            line.say(*tongue.refused(error))
            wire.finish(error.row.close, error.row_code)
            return
        bind(session=line.live.id, tenant=principal.tenant)
        await self._converse(websocket, line, line.live, tongue)

    async def _greet(self, websocket: WebSocket) -> Principal:
        check_origin(websocket.headers.get("origin"), self.origins)
        principal = await self.authenticator.authenticate(_credential(websocket))
        principal.require("speak")
        return principal

    async def _converse(self, websocket: WebSocket, line: Line, live: Live, tongue: Tongue) -> None:
        self.metrics.streams.inc()
        try:
            await self._messages(websocket, line, live, tongue)
        finally:
            self.metrics.streams.dec()
            self.metrics.closed.labels("goodbye").inc()
            self.sessions.remove(live)
            await live.leave(resumable=False)

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
            try:
                tongue.hear(event["bytes"] if event.get("text") is None else event["text"])
            except VoicewireError as error:
                line.say(*tongue.refused(error))
        wire.finish(GOODBYE, "")


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


def _credential(websocket: WebSocket) -> str:
    """Where vendors' packages put a key: a header, and some old ones the address."""
    found = credential_from_headers(websocket.headers)
    for name in KEY_PARAMETERS:
        found = found or websocket.query_params.get(name)
    if not found:
        raise Unauthorized
    return found
