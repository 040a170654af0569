"""What stands between two of Deepgram's flushes: a part of the speech on `/v1/speak`, a turn on `/v2/speak`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from voicewire.errors import BadRequest

PARTS_MAX = 64  # that wait behind the one that is spoken


class Flushable(Protocol):
    """A part; once flushed, no more text comes to it. While it is not `open`, our session has none of its text."""

    flushed: bool
    open: bool

    @property
    def chars(self) -> int:
        """Characters of its text, as far as it is not open."""
        ...


P = TypeVar("P", bound=Flushable)


@dataclass(slots=True)
class Part:
    """A part of `/v1/speak`."""

    name: str  # of our context
    text: list[str] = field(default_factory=list)
    flushed: bool = False
    open: bool = False

    @property
    def chars(self) -> int:
        return sum(map(len, self.text))


def part_for_text(parts: deque[P], make: Callable[[str], P], numbers: Iterator[int], chars: int, limit: int) -> P:
    """Return the part that so many characters go to: the last of `parts`, or a new one behind it.

    Raises `BadRequest` where there are too many parts, or it would have more than `limit` of them, and is forgotten.
    """
    if not parts or parts[-1].flushed:
        if len(parts) > PARTS_MAX:
            raise BadRequest("too_many_contexts", limit=PARTS_MAX)
        parts.append(make(f"u{next(numbers)}"))
    part = parts[-1]
    if not part.open and part.chars + chars > limit:  # else our session says so
        parts.pop()
        raise BadRequest("text_too_long", limit=limit)
    return part
