"""How long a peer may take over HTTP, which uvicorn does not bound: to say a request, send a body, read an answer."""

from __future__ import annotations

import socket
from asyncio.events import TimerHandle
from asyncio.transports import BaseTransport
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from voicewire.server.bounds import CUT_KEY

HEAD_BYTES_MAX = 32 * 1024
SLOWEST_BYTES_S = 512
LINGER_NOT = b"\1\0\0\0\0\0\0\0"  # struct linger: on, for 0 s


@dataclass(frozen=True, slots=True)
class Patience:
    """`request_s` to say a request, its body aside; `trickle_s` for what is slower than `SLOWEST_BYTES_S`."""

    request_s: float = 10.0
    trickle_s: float = 20.0


def http_protocol(patience: Patience) -> type[HttpToolsProtocol]:
    """Return the protocol with such patience: uvicorn makes one for each connection, and passes nothing of ours."""
    return type("PatientHttp", (TimedHttp,), {"patience": patience})


class TimedHttp(HttpToolsProtocol):
    """One timer for each direction. A connection without a request in hand has the one for a request to come."""

    patience: ClassVar[Patience] = Patience()

    _head_bytes = 0
    _body_bytes = 0
    _in_head = True  # or before it
    _reading: TimerHandle | None = None
    _writing: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn names the narrower type
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_reading()
        self._stop_writing()
        super().connection_lost(exc)
        self._let_go()

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        if self._reading is None and self._in_head:  # its first byte; empty lines are no request
            self._await_head()
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        self._stop_reading()
        self._in_head = False
        self._head_bytes = self._body_bytes = 0
        extensions: dict[str, Any] = {CUT_KEY: self._cut}
        self.scope["extensions"] = extensions
        super().on_headers_complete()
        self._await_body()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop_reading()
        self._in_head = True
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        left = self.transport.get_write_buffer_size()
        self._await_room(self.loop.time(), left)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_writing()

    def handle_websocket_upgrade(self) -> None:
        self._stop_reading()
        super().handle_websocket_upgrade()
        self._let_go()

    def _await_head(self) -> None:
        self._reading = self.loop.call_later(self.patience.request_s, self._head_late)

    def _head_late(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._await_head()  # an answer is under way; what came is an empty line behind its request
        else:
            self._end()

    def _await_body(self) -> None:
        self._reading = self.loop.call_later(self.patience.trickle_s, self._look_at_body, self.loop.time())

    def _look_at_body(self, began: float) -> None:
        if self.flow.read_paused:  # by us
            self._reading = self.loop.call_later(self.patience.trickle_s, self._look_at_body, began)
        else:
            self._reading = self._later_or_end(began, self._body_bytes, partial(self._look_at_body, began))

    def _await_room(self, began: float, waiting_bytes: int) -> None:
        self._stop_writing()
        self._writing = self.loop.call_later(self.patience.trickle_s, self._look_at_room, began, waiting_bytes)

    def _look_at_room(self, began: float, waiting_bytes: int) -> None:
        taken = waiting_bytes - self.transport.get_write_buffer_size()
        self._writing = self._later_or_end(began, taken, partial(self._look_at_room, began, waiting_bytes))

    def _later_or_end(self, began: float, moved_bytes: int, look: Callable[[], None]) -> TimerHandle | None:
        """Each `SLOWEST_BYTES_S` that moved buy a second more."""
        left_s = began + self.patience.trickle_s + moved_bytes / SLOWEST_BYTES_S - self.loop.time()
        if left_s > 0:
            return self.loop.call_later(left_s, look)
        self._end()
        return None

    def _let_go(self) -> None:
        """Hold nothing that holds this: left so, it would wait for the garbage collector."""
        self.parser = self.scope = self.cycle = None  # type: ignore[assignment]  # as uvicorn lets its parser go

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _stop_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _cut(self) -> None:
        """End it now, with what was written so far: uvicorn would report an endpoint that did not finish."""
        if self.cycle is not None:  # the connection is there
            self.cycle.disconnected = True
        self.transport.close()

    def _end(self) -> None:
        """Reset it: else the system would go on for minutes to hand over what was written."""
        self._reading = None
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        self.transport.abort()

    def _refuse(self, status: HTTPStatus) -> None:
        self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()
