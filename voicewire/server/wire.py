"""uvicorn's WebSocket protocol, opened up: messages are written to the transport without a task or an await.

Measured, a shared ticker with synchronous writes costs half of a task and a timer per stream. What a
vanished or unreading peer holds is bounded here too: its keepalive ends in an abort, not in a close that
waits for a buffer which never drains.
"""

from __future__ import annotations

import struct
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

SCOPE_KEY = "voicewire.wire"
CLOSE_S = 2.0  # how long a peer may take to answer a close

_FINAL = 0x80  # RFC 6455, section 5.2
_LENGTH_16 = 126
_LENGTH_64 = 127
_SHORT = struct.Struct("BB")


def frame_header(opcode: int, size: int) -> bytes:
    """Return the header of one unmasked, final WebSocket frame of `size` payload bytes."""
    first = _FINAL | opcode
    if size < _LENGTH_16:
        return _SHORT.pack(first, size)
    if size < 1 << 16:
        return bytes((first, _LENGTH_16)) + size.to_bytes(2, "big")
    return bytes((first, _LENGTH_64)) + size.to_bytes(8, "big")


class WireProtocol(WebSocketsSansIOProtocol):
    """Puts itself in the scope under `extensions`, so that an endpoint can take its `Outbox` from it."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[SCOPE_KEY] = self

    @property
    def open(self) -> bool:
        """Whether messages may be written."""
        return not (self.close_sent or self.disconnected or self.transport.is_closing())

    @property
    def buffered_bytes(self) -> int:
        """Bytes written that the kernel has not taken."""
        return self.transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Write whole WebSocket frames; nothing happens once the connection is closing."""
        if self.open:
            self.transport.write(data)

    def finish(self, code: int, reason: str) -> None:
        """Send a close frame, and end the connection when the peer does not answer it in time."""
        if not self.open:
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(CLOSE_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """The peer did not answer a ping: it does not read, so a close frame would wait for ever."""
        self.pong_timer = None
        self.pending_ping_payload = None
        self.transport.abort()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        if self.transport.is_closing():
            self.loop.call_later(CLOSE_S, self.transport.abort)


def wire_of(scope: Any) -> WireProtocol:
    """Return the connection behind an ASGI WebSocket scope."""
    wire = scope["extensions"][SCOPE_KEY]
    assert isinstance(wire, WireProtocol)
    return wire
