"""The interface of a place that keeps clips, and the figures that all places count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from voicewire.clips import Clip

Read = Callable[[bytes], Clip]
"""Makes a clip of bytes; takes its time, so that it is called beside the event loop. Raises `Corrupt`."""

Write = Callable[[], bytes]
"""Makes bytes of a clip, in the same way."""


@dataclass(slots=True)
class Held:
    """What a place holds, where it can say, and what it let go to stay within its bounds."""

    clips: int = 0
    size_bytes: int = 0
    evicted: int = 0


class Backend(Protocol):
    """Keeps clips by key. Nothing here blocks the event loop; what fails raises `OSError`."""

    @property
    def writes_at_once(self) -> int:
        """How many `put` may run at a time; 0: there is nothing to put anything into."""
        ...

    @property
    def held(self) -> Held: ...

    async def open(self) -> None:
        """Make it ready. Raises `OSError`."""
        ...

    async def close(self) -> None: ...

    async def refresh(self) -> None:
        """Learn what is there: called after `open`, and from time to time. Raises `OSError`."""
        ...

    def may_have(self, key: bytes) -> bool:
        """Whether `get` is worth its time; False is certain. Returns at once."""
        ...

    async def get(self, key: bytes, read: Read) -> Clip | None:
        """Return what `read` makes of the bytes of `key`, None where there are none. Raises what it raises."""
        ...

    async def put(self, key: bytes, write: Write) -> None:
        """Keep what `write` returns. Whoever gets it gets all of it, or nothing, whatever is killed when."""
        ...

    async def discard(self, key: bytes) -> None:
        """Let go of `key`, which turned out to be of no use."""
        ...
