"""The interface of a place that keeps clips and takes, and the figures that all places count.

A take and each of its clips are things of their own, whole or not there: whichever was not used for longest goes first,
so that what engines gave makes room for what is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from voicewire.clips import Clip, Take

Kept = Clip | Take

Read = Callable[[bytes], Kept]
"""Makes a clip or a take of bytes; takes its time, so that it is called beside the event loop. Raises `Corrupt`."""

Write = Callable[[], bytes]
"""Makes bytes of either, in the same way."""


@dataclass(slots=True)
class Held:
    """What a place holds, where it can say, and what it let go to stay within its bounds."""

    clips: int = 0  # and takes
    size_bytes: int = 0
    evicted: int = 0


class Backend(Protocol):
    """Keeps clips and takes by key. Nothing here blocks the event loop; what fails raises `OSError`."""

    @property
    def writes_at_once(self) -> int:
        """How many `put` may run at a time; 0: there is nothing to put anything into."""
        ...

    @property
    def far(self) -> bool:
        """Whether an answer takes so long that one asks for what may be wanted next meanwhile."""
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

    async def get(self, key: bytes, read: Read) -> Kept | None:
        """Return what `read` makes of the bytes of `key`, None where there are none. Raises what it raises."""
        ...

    async def has(self, key: bytes) -> bool:
        """Whether there is anything under `key`, asked of the place itself."""
        ...

    async def put(self, key: bytes, write: Write) -> None:
        """Keep what `write` returns. Whoever gets it gets all of it, or nothing, whatever is killed when."""
        ...

    async def discard(self, key: bytes) -> None:
        """Let go of `key`, which turned out to be of no use."""
        ...
