"""One utterance in a call: who speaks it, what waits to be spoken, and which of its words were heard."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Protocol

from voicewire import frames
from voicewire.server.telephony.playout import Track
from voicewire.timing import Positions
from voicewire.types import Marks, Offsets

Piece = frames.Text | frames.Flush | frames.End


class Agent(Protocol):
    """Who speaks into a call. `id` is its own for as long as it does."""

    @property
    def id(self) -> str: ...

    @property
    def tenant(self) -> str: ...

    @property
    def key(self) -> str:
        """The id of the key under which what it speaks is recorded; empty: there is none."""
        ...

    def tell(self, message: frames.ServerMessage) -> None:
        """Say what became of what it speaks; contexts have its own names."""
        ...

    def over(self) -> None:
        """Nothing more is told of the call: it has ended, and so has all that was spoken into it."""
        ...


@dataclass(slots=True)
class Utterance:
    """See the module. Times are milliseconds of its own audio."""

    name: str  # of our context
    agent: Agent
    theirs: str  # what the agent calls it
    marks: Marks
    words: bool  # whether the agent wants to hear of them
    track: Track
    offsets: Offsets
    waiting: list[Piece] = field(default_factory=list)
    chars: int = 0
    begun: bool = False  # its text is being spoken
    done: frames.Done | None = None  # all of it was handed to the carrier
    channel: int = -1
    marks_due: deque[int] = field(default_factory=deque)
    stop: int = 0  # of what was made, in the text
    _begins: list[int] = field(default_factory=list)  # each block's and word's first millisecond …
    _stops: list[int] = field(default_factory=list)  # … and where in the text it is heard with it

    def wait(self, piece: Piece) -> None:
        """Keep what is said of it until its turn; what changes nothing is not kept, so that its text bounds it."""
        last = self.waiting[-1] if self.waiting else None
        match piece:
            case frames.Text(text=""):
                return
            case frames.Flush() if not isinstance(last, frames.Text):
                return
            case frames.End() if isinstance(last, frames.End):
                return
        self.waiting.append(piece)

    def block(self, message: frames.BlockStart) -> None:
        """A block begins."""
        if self.marks is Marks.SENTENCE and message.start_ms:
            self.marks_due.append(message.start_ms)
        self.stop = message.span[1]
        self._add(message.start_ms, message.span[0])

    def say_words(self, message: frames.Words) -> None:
        """Words are going to be heard."""
        for _, stop, start_ms, _ in message.words:
            if self.marks is Marks.WORD:
                self.marks_due.append(start_ms)
            self._add(start_ms, stop)

    def _add(self, begin_ms: int, stop: int) -> None:
        if not self._begins or begin_ms >= self._begins[-1]:
            self._begins.append(begin_ms)
            self._stops.append(stop)

    def heard(self, played_ms: int) -> int:
        """The position in the text behind the last word begun before `played_ms`."""
        if self.done is not None and played_ms >= self.done.audio_ms:
            return self.stop
        index = bisect_left(self._begins, played_ms)
        return self._stops[index - 1] if index else 0

    @property
    def waiting_stop(self) -> int:
        """The position in the text behind all of it that waits."""
        positions = Positions(self.offsets)
        for piece in takewhile(lambda piece: not isinstance(piece, frames.End), self.waiting):
            if isinstance(piece, frames.Text):
                positions.push(piece.text)
        return positions.convert(positions.length)

    def cut(self, played_ms: int) -> frames.Cancelled:
        """What is said where all was handed over, and not all of it heard."""
        assert self.done is not None
        heard, bill = self.heard(played_ms), (self.done.billed_ms, 0, self.done.balance_ms)
        return frames.Cancelled(self.theirs, played_ms, (0, heard), (heard, self.stop), *bill)

    def tell(self, message: frames.ServerMessage) -> None:
        """Tell the agent, by its own name for this."""
        message.context = self.theirs  # type: ignore[union-attr] # only messages of a context come here
        self.agent.tell(message)
