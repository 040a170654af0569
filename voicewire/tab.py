"""What one utterance costs: what was handed over, block by block, and what a ledger must still be told. Pure.

Amounts follow from positions on the utterance's timeline, so a replay costs nothing and another gateway comes to the
same sums. A block's milliseconds are rounded down; blocks are whole frames, so with a frame of whole milliseconds
nothing is lost.
"""

from __future__ import annotations

from collections import deque
from typing import Literal, NamedTuple

from msgspec import Struct

from voicewire.timeline import Run

REFUND_MS_MAX = 3_000
"""Most that an interruption gives back: who asks to be further ahead, and cancels, would hear it for nothing."""


class Price(Struct, frozen=True, array_like=True):
    """What a second costs: in thousandths for the model, in hundredths of that for blocks that were made before."""

    permille: int = 1_000
    cached_percent: int = 100

    def of(self, audio_ms: int, *, cached: bool) -> int:
        """Return the cost, in milliseconds of credit, of `audio_ms` of sound."""
        return audio_ms * self.permille * (self.cached_percent if cached else 100) // 100_000


class Charge(NamedTuple):
    """What a ledger must be told of a block: so much was handed over so far.

    `running`: more may come. `final`: nothing more will. `parked`: more may come after a break. `lowered`: less
    than was said before counts.
    """

    block: int
    ms: int  # of credit
    audio_ms: int
    cached: bool
    kind: Literal["running", "final", "parked", "lowered"]


class Line(Struct, array_like=True):
    """A block on the tab. Positions are samples of the timeline, -1 while not known."""

    block: int
    reserved: bool
    cached: bool = False
    begins: int = -1
    ends: int = -1
    told_ms: int = 0
    settled: bool = False

    def samples(self, position: int) -> int:
        """Samples of the block before `position`."""
        if self.begins < 0:
            return 0
        end = position if self.ends < 0 else min(position, self.ends)
        return max(0, end - self.begins)

    def complete(self, position: int) -> bool:
        return 0 <= self.ends <= position


class TabState(Struct, array_like=True):
    """What it takes to continue a tab elsewhere."""

    handed: int
    cached: int
    paid: int
    lines: list[Line]


class Tab:
    """The tab of one utterance at `rate_hz`, in frames of `frame` samples."""

    __slots__ = ("_frame", "_lines", "_paid", "_refund", "_until", "before", "cached", "handed", "price", "rate_hz")

    def __init__(self, frame: int, rate_hz: int, price: Price | None = None) -> None:
        self.price = price or Price()
        self.handed = 0  # samples ever handed over: a position, so that a replay does not count again …
        self.before = 0  # … of which elsewhere, before a resume
        self.cached = 0  # samples laid that came from clips
        self._frame = frame
        self.rate_hz = rate_hz
        self._refund = REFUND_MS_MAX * rate_hz // 1000
        self._lines: deque[Line] = deque()  # ascending
        self._paid = 0  # milliseconds of credit for lines that are forgotten
        self._until: int | None = None  # what lies behind was never heard, and is not paid

    def state(self) -> TabState:
        """Return what a journal keeps."""
        return TabState(self.handed, self.cached, self._paid, list(self._lines))

    def restore(self, state: TabState, received: int) -> None:
        """Go on from `state`, for a listener who has `received` samples."""
        self.handed = self.before = max(state.handed, received)
        self.cached, self._paid, self._lines = state.cached, state.paid, deque(state.lines)
        for line in self._lines:
            line.settled = False  # the ledger may not have heard of it; to tell it twice changes nothing

    def reserved(self, block: int) -> None:
        """A hold is taken for `block`."""
        self._line(block).reserved = True

    def held_before(self, block: int) -> bool:
        """Whether an earlier block still has its hold."""
        return any(line.reserved and not line.settled and line.block < block for line in self._lines)

    def laid(self, run: Run) -> None:
        """Frames of a block have their place on the timeline."""
        line = self._line(run.block)
        if line.begins < 0:
            line.begins = run.begins
            line.cached = run.cached
        if run.cached:
            self.cached += len(run.packets) * self._frame
        if run.last:
            line.ends = run.pts + len(run.packets) * self._frame

    def hand_over(self, position: int) -> None:
        """The timeline was handed over up to `position`."""
        self.handed = max(self.handed, position)

    def stop(self, played: int) -> None:
        """The listener had heard `played` samples and wants no more: only those count, within `REFUND_MS_MAX`."""
        self._until = min(self.handed, max(played, self.handed - self._refund))

    def go_on(self) -> None:
        """What was handed over counts, as if `stop` had not been said."""
        self._until = None

    @property
    def _position(self) -> int:
        return self.handed if self._until is None else self._until

    def spent(self) -> int:
        """Return what was handed over costs, in milliseconds of credit."""
        return self._paid + sum(self._cost(line, self._position)[0] for line in self._lines)

    def running(self) -> list[Charge]:
        """What changed since the last time: blocks that are complete are final."""
        charges = []
        for line in self._lines:
            if line.settled:
                continue
            ms, audio_ms = self._cost(line, self.handed)
            if line.complete(self.handed):
                line.settled = True
                if audio_ms or line.reserved:
                    charges.append(Charge(line.block, ms, audio_ms, line.cached, "final"))
            elif line.reserved or audio_ms:
                charges.append(Charge(line.block, ms, audio_ms, line.cached, "running"))  # holds are kept by it
            line.told_ms = ms
        self._forget()
        return charges

    def closed(self) -> list[Charge]:
        """The utterance is over: every block is final, or lowered where more was said before."""
        return self._end("final")

    def parked(self) -> list[Charge]:
        """The connection is lost: holds are given back, and what comes after a resume is charged then."""
        return self._end("parked")

    def _end(self, kind: Literal["final", "parked"]) -> list[Charge]:
        charges, position = [], self._position
        for line in self._lines:
            ms, audio_ms = self._cost(line, position)
            if line.settled and ms < line.told_ms:
                charges.append(Charge(line.block, ms, audio_ms, line.cached, "lowered"))
            elif not line.settled and (line.reserved or audio_ms):
                last = "final" if line.complete(position) else kind
                charges.append(Charge(line.block, ms, audio_ms, line.cached, last))
            line.settled, line.told_ms = kind == "final" or line.complete(position), ms
        return charges

    def _cost(self, line: Line, position: int) -> tuple[int, int]:
        audio_ms = line.samples(position) * 1000 // self.rate_hz
        return self.price.of(audio_ms, cached=line.cached), audio_ms

    def _line(self, block: int) -> Line:
        for line in reversed(self._lines):
            if line.block == block:
                return line
        self._lines.append(Line(block, False))
        return self._lines[-1]

    def _forget(self) -> None:
        """Let go what is settled and beyond any refund."""
        while self._lines and self._lines[0].settled and self._lines[0].ends <= self.handed - self._refund:
            line = self._lines.popleft()
            self._paid += self._cost(line, self.handed)[0]
