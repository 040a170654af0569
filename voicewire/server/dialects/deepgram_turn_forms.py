"""A turn of Deepgram's: what stands between two flushes, and what is said of it."""

from __future__ import annotations

import secrets
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Literal

from msgspec import Meta, Struct

from voicewire.context import Wire
from voicewire.server.dialects.deepgram_forms import json_wire

ID_BYTES = 6
WARNINGS: Mapping[str, str] = MappingProxyType(
    {
        "NO_ACTIVE_SPEECH": "there is no turn that this could be of",
        "NO_SYNTHESIZABLE_TEXT": "there is nothing to speak in the text of this turn",
        "NO_AUDIO_GENERATED": "there is no audio yet that could be interrupted",
        "INTERRUPT_IN_PROGRESS": "the interruption before this one is not over",
        "INVALID_INTERRUPT_OFFSET": "the playback offset lies before an earlier interruption",
    }
)


class Offset(Struct):
    """Where the listener is in the audio of the session."""

    value: Annotated[int, Meta(ge=0, le=2**31)]
    type: Literal["time_ms"] = "time_ms"


class Message(Struct):
    """What a client says."""

    type: str
    text: str = ""
    speed: float | None = None
    playback_offset: Offset | None = None


@dataclass(slots=True, eq=False)
class Turn:
    """What stands between two flushes. `begins_ms` is a position in the session's audio."""

    name: str  # of our context
    id: str = field(default_factory=lambda: f"dg_sp_{secrets.token_hex(ID_BYTES)}")
    text: str = ""
    given: int = 0  # characters of it that our session has
    begins_ms: int = -1  # it has not begun
    audio_ms: int = 0  # that was sent
    flushed: bool = False
    open: bool = False
    marks: list[tuple[int, int]] = field(default_factory=list)  # from when on, which part of the text is heard

    @property
    def chars(self) -> int:
        return len(self.text)

    @property
    def ends_ms(self) -> int:
        return self.begins_ms + self.audio_ms

    def heard_at(self, session_ms: int) -> int:
        """How many characters are those of words begun before a position in the session's audio."""
        index = bisect_left(self.marks, (session_ms - self.begins_ms,))
        return self.marks[index - 1][1] if index else 0

    def metadata(self) -> dict[str, object]:
        characters = len(self.text)
        controls = ("pronunciations_applied", "breaks_applied", "pronunciation_warnings")
        return {
            "speech_id": self.id,
            "audio_duration_ms": self.audio_ms,
            "input_character_count": characters,
            "billable_character_count": characters,
            "controls_applied": dict.fromkeys(controls, 0),
        }


@dataclass(frozen=True, slots=True)
class Cut:
    """An interruption: the turns not heard to their end, in order, and whether the client said where it is."""

    turns: list[Turn]
    played_ms: int
    located: bool


def warning(code: str) -> Wire:
    """Return one of the `WARNINGS`."""
    return json_wire("Warning", code=code, description=WARNINGS[code])
