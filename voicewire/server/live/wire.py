"""uvicorn's WebSocket protocol, opened up: messages are written to the transport without a task or an await.

Measured, a shared ticker with synchronous writes costs half of a task and a timer per stream. What a
vanished or unreading peer holds is bounded here too: its keepalive ends in an abort, not in a close that
waits for a buffer which never drains.
"""

from __future__ import annotations

import struct
from asyncio.transports import BaseTransport
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from starlette.types import Message
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from voicewire.context import Wire
from voicewire.errors import TABLE

SCOPE_KEY = "voicewire.wire"
GOODBYE = 1000  # RFC 6455, section 7.4.1: the purpose has been fulfilled
PAUSE_BYTES = 64 * 1024  # unread by the kernel: no more audio is taken until it falls
CLOSE_S = 2.0  # how long a peer may take to answer a close, or to read on towards it …
CLOSE_S_MAX = 10.0  # … and how long in all
PONGS_BYTES_MAX = 64 * 1024  # unread: a peer that goes on sending pings does not read the answers

HEADERS_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
HEARD_AT_ONCE = 16  # messages, before other connections have their turn
NOT_UTF8 = 1007  # RFC 6455, section 7.4.1

TEXT_BEGINS = b"\x81"  # a message in one frame, as most are: RFC 6455, section 5.2
_FINAL = 0x80
_LENGTH_16 = 126
_LENGTH_64 = 127
_SHORT = struct.Struct("BB")


@lru_cache(1_024)  # most messages have one of a few hundred sizes
def frame_header(opcode: int, size: int) -> bytes:
    """Return the header of one unmasked, final WebSocket frame of `size` payload bytes."""
    first = _FINAL | opcode
    if size < _LENGTH_16:
        return _SHORT.pack(first, size)
    if size < 1 << 16:
        return bytes((first, _LENGTH_16)) + size.to_bytes(2, "big")
    return bytes((first, _LENGTH_64)) + size.to_bytes(8, "big")


def data_of(event: Message) -> str | bytes:
    """Return what a message says that an endpoint was given as an event `websocket.receive`."""
    data: str | bytes = event["bytes"] if event.get("text") is None else event["text"]
    return data


Listener = Callable[[str | bytes], None]
"""Gets a message, text or binary."""


class WireProtocol(WebSocketsSansIOProtocol):
    """Puts itself in the scope under `extensions`, so that an endpoint can take its `Outbox` from it.

    `writing` is false once the connection is closing, `stuck` while more than `PAUSE_BYTES` wait for the peer.
    With a `listener` messages go to it as they are read: no queue, no task that wakes, no pause in reading. What
    it raises is `broken`, for the endpoint to raise, which gets nothing but the end of the connection any more.
    `stirred` is called when a text message comes, before it is read; it must not raise.
    """

    writing = False
    stuck = False
    listener: Listener | None = None
    stirred: Callable[[], None] | None = None
    broken: Exception | None = None
    _heard = 0  # of the messages that were read together

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        self.writing = True
        if hasattr(self, "scope"):
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[SCOPE_KEY] = self

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=PAUSE_BYTES)

    def data_received(self, data: bytes) -> None:
        self._heard = 0
        if self.stirred is not None and data[:1] == TEXT_BEGINS:
            self.stirred()
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.transport.is_closing():
            # its headers are more or longer than the library takes: uvicorn would wait for ever
            self.transport.write(HEADERS_TOO_LARGE)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.writing = False
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.stuck = True

    def resume_writing(self) -> None:
        super().resume_writing()
        self.stuck = False

    @property
    def buffered_bytes(self) -> int:
        """Bytes written that the kernel has not taken."""
        return self.transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Write whole WebSocket frames; nothing happens once the connection is closing."""
        if self.writing and not self.transport.is_closing():  # a reset closes it before `connection_lost`
            self.transport.write(data)

    def say(self, message: Wire) -> None:
        """Write one message, as `write` does."""
        opcode, payload = message
        self.write(frame_header(opcode, len(payload)) + payload)

    def finish(self, code: int, reason: str) -> None:
        """Send a close frame, and end the connection when the peer does not answer it in time."""
        if not self.writing or self.conn.state is not State.OPEN or self.transport.is_closing():
            return  # the peer's close may have been read together with what is answered here
        self.writing = False
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self._await_close(self.buffered_bytes, self.loop.time() + CLOSE_S_MAX)

    def _await_close(self, buffered_bytes: int, until: float) -> None:
        self.close_timer = self.loop.call_later(CLOSE_S, self._abort_unless_reading, buffered_bytes, until)

    def _abort_unless_reading(self, buffered_bytes: int, until: float) -> None:
        """A slow peer has what it needs to hear of the close; one that does not read has had its time."""
        if 0 < self.buffered_bytes < buffered_bytes and self.loop.time() < until:
            self._await_close(self.buffered_bytes, until)
        else:
            self.transport.abort()

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self.scope["extensions"].pop(SCOPE_KEY, None)  # or it would wait for the garbage collector

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # it was refused: uvicorn would report an endpoint that forgot to answer

    def shutdown(self) -> None:
        """The server stops. uvicorn would not wait for the peer's close, and what is on its way could be lost."""
        if self.handshake_complete:
            self.finish(TABLE["draining"].close, "draining")
        else:
            super().shutdown()

    def send_receive_event_to_app(self) -> None:
        """Hand on a message; uvicorn would log a traceback for text that is no UTF-8, which any client can send."""
        data = b"".join(self.frames)
        message = _text_of(data) if self.curr_msg_data_type == "text" else data
        if message is None:
            self.frames = []
            if self.conn.state is State.OPEN:  # several may be read together, or behind a close of ours
                self.conn.send_close(NOT_UTF8)
                self.handle_parser_exception()
        elif self.listener is not None and not self.close_sent and self._heard < HEARD_AT_ONCE:
            self.frames = []
            self._hand_on(message, self.listener)
        else:
            self.listener = None  # order is kept: the endpoint takes what waits before it listens again
            super().send_receive_event_to_app()

    def _hand_on(self, message: str | bytes, listener: Listener) -> None:
        self._heard += 1
        try:
            listener(message)
        except Exception as error:  # noqa: BLE001 - it is raised again where the connection is guarded
            self.listener, self.broken = None, error
            self.queue.put_nowait({"type": "websocket.disconnect", "code": TABLE["internal"].close})

    def handle_ping(self) -> None:
        """Answer a ping, unless the peer sends them without reading the answers."""
        if self.buffered_bytes > PONGS_BYTES_MAX:
            self.transport.abort()
        else:
            super().handle_ping()

    def keepalive_timeout(self) -> None:
        """The peer did not answer a ping: it does not read, so a close frame would wait for ever."""
        self.pong_timer = None
        self.pending_ping_payload = None
        if self.buffered_bytes:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": TABLE["slow_consumer"].close})
        self.transport.abort()

    def handle_close(self, event: Frame) -> None:
        self.writing = False
        super().handle_close(event)
        self._abort_if_closing()

    def handle_parser_exception(self) -> None:
        self.writing = False
        super().handle_parser_exception()
        self._abort_if_closing()

    def _abort_if_closing(self) -> None:
        """Have it end soon: what a peer that does not read has waiting would keep it open."""
        if self.transport.is_closing():
            self.loop.call_later(CLOSE_S, self.transport.abort)


def _text_of(data: bytes) -> str | None:
    """Return the text, none where it is no UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def wire_of(scope: Any) -> WireProtocol:
    """Return the connection behind an ASGI WebSocket scope."""
    wire = scope["extensions"][SCOPE_KEY]
    assert isinstance(wire, WireProtocol)
    return wire
