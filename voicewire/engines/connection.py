"""A worker's end of the socket to its pool: whole messages in and out, some of them held to be sent together."""

from __future__ import annotations

import math
import socket
import threading
import time

from voicewire.engines.handoff import Decoder, Message, serialize

READ_BYTES = 1 << 16
HELD_S = 0.05  # that a worker holds a message …
HELD_BYTES = 1 << 16  # … and all together, at most


class PoolGone(Exception):
    """The other end of the socket is closed."""


class Connection:
    """See the module."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = threading.Lock()  # whoever looks for voices speaks, too
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._held_s = math.inf  # since when
        self._decoder = Decoder()

    def fileno(self) -> int:
        """The descriptor, to wait for messages beside other things."""
        return self._sock.fileno()

    def send(self, message: Message) -> None:
        """Send all of it, and what is held; waits while the pool does not read, which is its way to slow workers."""
        data = serialize(message)
        with self._sending:
            self._held.append(data)
            self._send_held()

    def hold(self, message: Message) -> None:
        """Send it together with what follows, or at the next `flush`."""
        # To wake the pool, and to be held up by it, costs more than to tell it.
        data = serialize(message)
        with self._sending:
            self._held.append(data)
            self._held_bytes += len(data)
            self._held_s = min(self._held_s, time.monotonic())
            if self._held_bytes > HELD_BYTES:
                self._send_held()

    def flush(self, held_s: float = 0.0) -> None:
        """Send what is held, if it has been for `held_s`."""
        if self._held and time.monotonic() - self._held_s >= held_s:
            with self._sending:
                self._send_held()

    def _send_held(self) -> None:
        data = b"".join(self._held)
        self._held.clear()
        self._held_bytes, self._held_s = 0, math.inf
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise PoolGone from error

    def receive(self, *, wait: bool) -> list[Message]:
        """What has arrived; with `wait` at least one message. Raises `PoolGone`."""
        while True:
            try:
                data = self._sock.recv(READ_BYTES, 0 if wait else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return []
            except OSError as error:
                raise PoolGone from error
            if not data:
                raise PoolGone
            messages = list(self._decoder.push(data))
            if messages or not wait:
                return messages
