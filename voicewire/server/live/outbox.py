"""What waits to be written to one peer, bounded: a peer that does not read is a policy, not an accident."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Protocol

from voicewire.context import Wire
from voicewire.server.live.wire import PAUSE_BYTES, frame_header

GO_ON_BYTES = PAUSE_BYTES // 2  # unread, before audio is taken again: a peer too slow for its audio takes long for that

ANSWER_BYTES = 1_024  # room for the answer that is one too many, and for the close


class Peer(Protocol):
    """The connection as the outbox sees it; `server.live.wire.WireProtocol` is the real one."""

    @property
    def stuck(self) -> bool: ...

    @property
    def buffered_bytes(self) -> int: ...

    def write(self, data: bytes) -> None: ...


Translate = Callable[[Wire], Iterable[Wire]]
"""Says in another dialect what one of our messages says: in none, one or several of its own."""


class Outbox:
    """Collects messages and writes them in one go. `now` is the monotonic time in seconds."""

    __slots__ = ("_parts", "_peer", "_size", "_size_bytes_max", "_translate", "stalled_since")

    def __init__(self, peer: Peer, size_bytes_max: int, translate: Translate | None = None) -> None:
        self._peer = peer
        self._translate = translate
        self._size_bytes_max = size_bytes_max - ANSWER_BYTES
        self._parts: list[bytes] = []
        self._size = 0
        self.stalled_since: float | None = None

    def put(self, *wires: Wire) -> None:
        """Add messages; they leave with the next `flush`."""
        said: Iterable[Wire] = chain.from_iterable(map(self._translate, wires)) if self._translate else wires
        for opcode, payload in said:
            size = len(payload)
            self._parts += (frame_header(opcode, size), payload)
            self._size += size

    def flush(self) -> None:
        """Write what was put."""
        if self._parts:
            self._peer.write(b"".join(self._parts))
            self._parts = []
            self._size = 0

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the kernel has not taken."""
        return self._peer.buffered_bytes + self._size

    def blocked(self, now: float) -> bool:
        """Whether the peer has so much unread that no audio should be taken; remembers since when."""
        if self.stalled_since is None and not self._peer.stuck:
            return False
        enough = PAUSE_BYTES if self.stalled_since is None else GO_ON_BYTES
        if self._peer.buffered_bytes + self._size <= enough:
            self.stalled_since = None
            return False
        if self.stalled_since is None:
            self.stalled_since = now
        return True

    def hopeless(self, now: float, stall_s: float) -> bool:
        """Whether the peer must go: too long blocked, or too much waiting whatever the reason."""
        if self._peer.buffered_bytes + self._size > self._size_bytes_max:
            return True
        return self.blocked(now) and self.stalled_since is not None and now - self.stalled_since >= stall_s
