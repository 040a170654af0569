"""How the server listens, and how it goes: sockets that notice dead peers, and a stop that cuts no speech."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from voicewire.server.live.sessions import Sessions

LOGGER = logging.getLogger(__name__)

BACKLOG = 2_048
SEND_BUFFER_BYTES = 64 * 1024
RECEIVE_BUFFER_BYTES = 64 * 1024  # a client says little; else megabytes could wait for us, for each
UNSENT_BYTES = 16 * 1024
DEAD_PEER_MS = 15_000  # unacknowledged for so long, the connection is gone
RECONNECT_MS = 1_000
GRACE_S = 5  # for HTTP requests, after the streams are over


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; what it sets is inherited by every connection. Raises `OSError`, with the address.

    Without these, a peer that does not read has megabytes buffered for it and stays for many minutes, pings or not.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in (("TCP_NOTSENT_LOWAT", UNSENT_BYTES), ("TCP_USER_TIMEOUT", DEAD_PEER_MS)):
        if hasattr(socket, name):  # not on every system
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, error.strerror, f"{host}:{port}") from None
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def allow_connections() -> None:
    """Let this process have as many connections open as the system permits it: the usual start is a thousand."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class DrainingServer(uvicorn.Server):
    """Lets running streams finish after SIGTERM, for `drain_s`; a second signal ends at once.

    uvicorn by itself closes every WebSocket within half a second of the signal.
    """

    def __init__(
        self, config: uvicorn.Config, sessions: Sessions, retire: Callable[[], None], drain_s: float, greeting: str
    ) -> None:
        super().__init__(config)
        self._greeting = greeting  # printed when requests are taken
        self._retire = retire  # what need not be replaced any more
        self._sessions = sessions
        self._drain_s = drain_s
        self._drain_from: float | None = None
        self._loop = asyncio.get_running_loop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(self._greeting)
        sys.stdout.flush()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as uvicorn has it
        """Take a signal, which may come between any two instructions: what it brings about is left to the loop."""
        if self._drain_from is None:
            self._drain_from = time.monotonic()
            self._loop.call_soon_threadsafe(self._drain)
        else:
            # uvicorn would raise the signal anew behind us, before what is kept in Redis is written
            self.should_exit = self.force_exit = True

    def _drain(self) -> None:
        LOGGER.info("draining: %d streams", len(self._sessions))
        if not self._sessions.speaking:  # else what ends is still needed, and replaced
            self._retire()
        self._sessions.drain(RECONNECT_MS)

    async def on_tick(self, counter: int) -> bool:
        if self._drain_from is not None and self._sessions.draining:
            over = time.monotonic() - self._drain_from >= self._drain_s
            if over or not self._sessions.speaking:
                self.should_exit = True
        return await super().on_tick(counter)
