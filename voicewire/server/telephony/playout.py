"""What a carrier still has to play of a call, by the clock and by the marks that it sends back. No clock of its own."""

from __future__ import annotations

from dataclasses import dataclass

MARKS_MAX = 512  # not sent back: a carrier that knows no marks is asked for no more
OVERDUE_S = 2.0  # a mark that is later says nothing of what was heard


@dataclass(slots=True)
class Track:
    """One utterance, as far as the carrier has it."""

    name: str
    sent_ms: int = 0
    until: float = 0.0  # when that will have been played


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in an utterance that the carrier will say it has reached."""

    track: Track
    at_ms: int
    due: float
    last: bool


class Playout:
    """See the module. `now` is the monotonic time in seconds."""

    def __init__(self) -> None:
        self._until = 0.0
        self._numbers = 0
        self._marks: dict[str, Mark] = {}  # not sent back yet

    def ahead_s(self, now: float) -> float:
        """Seconds of audio that the carrier has still to play."""
        return max(0.0, self._until - now)

    def sent(self, track: Track, audio_ms: int, now: float) -> None:
        """The carrier was given more of an utterance."""
        self._until = track.until = max(now, self._until) + audio_ms / 1000
        track.sent_ms += audio_ms

    def mark(self, track: Track, at_ms: int, now: float, *, last: bool = False) -> str:
        """Return the name of a new mark at `at_ms` of an utterance; "" where too many were not sent back."""
        if len(self._marks) >= MARKS_MAX:
            return ""
        self._numbers += 1
        name = f"m{self._numbers}"
        self._marks[name] = Mark(track, at_ms, max(now, self._until), last)
        return name

    def marked(self, name: str) -> Mark | None:
        """A mark came back; return what it marks, or None when it counts for nothing: it was cleared, or is unknown."""
        return self._marks.pop(name, None)

    def played_ms(self, track: Track, now: float) -> int:
        """How much of an utterance was heard: by the clock, but not beyond a mark that has yet to come back."""
        played_ms = track.sent_ms - max(0, round((track.until - now) * 1000))
        for mark in self._marks.values():
            if mark.track is track and now < mark.due + OVERDUE_S:
                played_ms = min(played_ms, mark.at_ms)
        return max(0, played_ms)

    def clear(self, now: float) -> None:
        """The carrier was told to play nothing of what it has; the marks that come back now say nothing."""
        self._until = now
        self._marks.clear()
