"""The reference of `first_audio`: the leanest server that speaks who comes first, first.

A `websockets` server and one or two espeak workers, each of which speaks a text to its end before it looks at the
next: engine, resampler and Opus encoder as bare as they go; no protocol, sessions, words or cancel. Frames leave in
real time by one ticker for all, five ahead. A text message is spoken, a binary one is a frame, and `done` follows the
last. The server has a core of its own, and a single worker the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import multiprocessing
import os
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection

import numpy as np
import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from benchmarks.harness import Served
from voicewire.engines.espeak import RATE_WPM
from voicewire.engines.espeak_library import Event, open_lanes
from voicewire.render import Chain
from voicewire.server.live.ticker import Ticker
from voicewire.types import Format

ASKED = struct.Struct("<II")  # stream, bytes of text
MADE = struct.Struct("<II?")  # stream, bytes of packets, whether these are the last
PACKET = struct.Struct("<H")  # bytes of a packet
AHEAD_FRAMES = 5
FRAME_S = Format().frame_ms / 1000
TICK_S = 0.005
VOICE = "en-us"


def work(sock: socket.socket, others: Sequence[socket.socket], core: int) -> None:
    """Speak what is asked for over `sock`, one text after another, until its other end is closed, also here."""
    for other in others:
        other.close()
    os.sched_setaffinity(0, {core})
    (lane,) = open_lanes(1)
    chain = Chain(lane.rate_hz, Format())
    while asked := next_asked(sock):
        stream, size = ASKED.unpack(asked)

        def take(pcm: bytes, _events: list[Event], stream: int = stream) -> bool:
            hand_over(sock, stream, chain.push(np.frombuffer(pcm, np.int16)), last=False)
            return False

        text = sock.recv(size, socket.MSG_WAITALL).decode()
        with contextlib.suppress(BrokenPipeError):  # the server has ended
            for _ in lane.speak(text, VOICE, RATE_WPM, take):
                pass
            hand_over(sock, stream, chain.flush(), last=True)
        chain.renew()


def next_asked(sock: socket.socket) -> bytes:
    """Return nothing where the server has ended."""
    try:
        return sock.recv(ASKED.size, socket.MSG_WAITALL)
    except ConnectionResetError:  # it left some of what was made
        return b""


def hand_over(sock: socket.socket, stream: int, packets: Sequence[bytes], *, last: bool) -> None:
    if packets or last:
        payload = b"".join(PACKET.pack(len(packet)) + packet for packet in packets)
        sock.sendall(MADE.pack(stream, len(payload), last) + payload)


class Stream:
    """One text of one connection, on its way out in real time."""

    due = math.inf

    def __init__(self, connection: ServerConnection, ticker: Ticker) -> None:
        self._connection, self._ticker = connection, ticker
        self._waiting: deque[bytes] = deque()
        self._ended = False
        self._next_s = 0.0  # when the next frame is to leave; 0: none has left

    def take(self, payload: bytes, last: bool) -> None:
        """Packets as the worker made them."""
        at = 0
        while at < len(payload):
            (size,) = PACKET.unpack_from(payload, at)
            self._waiting.append(payload[at + PACKET.size : at + PACKET.size + size])
            at += PACKET.size + size
        self._ended = last
        if self._waiting and not self._next_s:
            for _ in range(min(AHEAD_FRAMES, len(self._waiting))):
                self._send(self._waiting.popleft())
            self.tick(time.monotonic())

    def tick(self, now: float) -> None:
        """Send a frame that is due, or the end."""
        if self._waiting and self._next_s:
            self._send(self._waiting.popleft())
        elif self._ended:
            if self._connection.state is State.OPEN:
                self._connection.protocol.send_text(b'{"type":"done"}')
                self._flush()
            return
        self._next_s = (self._next_s or now) + FRAME_S
        self._ticker.schedule(self, self._next_s)

    def broken(self, error: Exception) -> None:
        """The peer went away."""

    def _send(self, packet: bytes) -> None:
        if self._connection.state is State.OPEN:  # or the peer went away, which `handle` hears later
            self._connection.protocol.send_binary(packet)
            self._flush()

    def _flush(self) -> None:
        self._connection.transport.write(b"".join(self._connection.protocol.data_to_send()))


class Arriving(asyncio.Protocol):
    """What a worker sends, on its way to the streams."""

    def __init__(self, streams: dict[int, Stream]) -> None:
        self._streams = streams
        self._buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= MADE.size:
            stream, size, last = MADE.unpack_from(self._buffer)
            if len(self._buffer) < MADE.size + size:
                return
            payload = bytes(self._buffer[MADE.size : MADE.size + size])
            del self._buffer[: MADE.size + size]
            if found := self._streams.get(stream):
                found.take(payload, last)
            if last:
                self._streams.pop(stream, None)


async def serve_forever(workers: Sequence[socket.socket], pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    ticker, streams = Ticker(TICK_S), dict[int, Stream]()
    transports = [(await loop.create_connection(lambda: Arriving(streams), sock=sock))[0] for sock in workers]
    count = 0

    async def handle(connection: ServerConnection) -> None:
        nonlocal count
        mine = 0
        with contextlib.suppress(ConnectionClosed):
            async for text in connection:
                assert isinstance(text, str)
                mine = count = count + 1
                streams[mine] = Stream(connection, ticker)
                data = text.encode()
                transports[mine % len(transports)].write(ASKED.pack(mine, len(data)) + data)
        if gone := streams.pop(mine, None):
            ticker.schedule(gone, math.inf)

    async with serve(handle, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()


def run(pipe: Connection, count: int) -> None:
    context = multiprocessing.get_context("fork")
    ends = []
    for number in range(count):
        ours, theirs = socket.socketpair()
        ends.append(ours)
        context.Process(target=work, args=(theirs, ends, number if count > 1 else 1), daemon=True).start()
        theirs.close()
        ours.setblocking(False)
    os.sched_setaffinity(0, {0})
    uvloop.run(serve_forever(ends, pipe))


@contextlib.contextmanager
def served_in_turn(workers: int) -> Iterator[Served]:
    """Serve on a free port, with so many workers."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=run, args=(theirs, workers))
    child.start()
    theirs.close()
    try:
        yield Served(ours.recv(), child.pid or 0)
    finally:
        child.terminate()
        child.join()
