"""What stands between two of Deepgram's flushes: a part of the speech on `/v1/speak`, a turn on `/v2/speak`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from voicewire.errors import BadRequest

PARTS_MAX = 64


class Flushable(Protocol):
    """A part; once flushed, no more text comes to it."""

    flushed: bool


P = TypeVar("P", bound=Flushable)


@dataclass(slots=True)
class Part:
    """A part of `/v1/speak`."""

    name: str  # of our context
    text: list[str] = field(default_factory=list)
    flushed: bool = False
    open: bool = False


def part_for_text(parts: deque[P], make: Callable[[str], P], numbers: Iterator[int]) -> P:
    """Return the part that text goes to: the last of `parts`, or a new one behind it. Raises `BadRequest`."""
    if not parts or parts[-1].flushed:
        if len(parts) >= PARTS_MAX:
            raise BadRequest("too_many_contexts", limit=PARTS_MAX)
        parts.append(make(f"u{next(numbers)}"))
    return parts[-1]
