"""The audio of one context: which blocks to make when, and their slices laid end to end in order."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from msgspec import Struct

from voicewire.types import Block, Phoneme, Slice, Word

MAKING_AT_ONCE = 2  # the block being heard and the one behind it
SPOKEN_CHAR_S = 0.065  # of speech at speed 1: only a guess of what is not made yet, for deadlines


class Run(Struct, array_like=True):
    """Consecutive frames of one block, the words and phonemes that begin in them; what a journal keeps.

    Words count code points of the context's text and samples of the context's audio.
    """

    block: int
    start: int  # the block's span in the context's text, in code points
    stop: int
    first: bool  # of its block
    last: bool  # of its block
    cached: bool
    begins: int  # the block's first sample
    seq: int  # of the first frame
    pts: int  # its first sample
    words: list[Word]
    packets: list[bytes]
    audio: str = ""  # of the first of a block: the name of its clip
    phonemes: list[Phoneme] = []


@dataclass(frozen=True, slots=True)
class Making:
    """A block to be made now; `due` is the monotonic time at which the listener runs dry without it."""

    index: int
    block: Block
    due: float


class Piece:
    """A block on its way: asked for, arriving, waiting for its turn."""

    __slots__ = ("asked", "audio", "begins", "block", "cached", "frames", "index", "skip", "slices")

    def __init__(self, index: int, block: Block) -> None:
        self.index = index
        self.block = block
        self.asked = False
        self.cached = False
        self.audio = ""
        self.begins = -1  # its first sample on the timeline, once it is the head
        self.frames = 0  # laid so far
        self.skip = 0  # frames made before a resume, not to be laid again
        self.slices: deque[Slice] = deque()  # arrived before its turn


class Timeline:
    """Blocks in, runs out. Positions are samples at the format's rate; `frame` is samples in a frame."""

    def __init__(self, frame: int, rate_hz: int, speed: float) -> None:
        self._frame = frame
        self._rate_hz = rate_hz
        self._char = SPOKEN_CHAR_S * rate_hz / speed
        self.pieces: deque[Piece] = deque()
        self.blocks = 0  # ever added
        self.made = 0  # samples laid
        self.seq = 0  # frames laid
        self.ready: deque[Run] = deque()  # laid, for whoever sends
        self._barred: float = math.inf  # the first block that nobody pays for

    def add(self, block: Block) -> Piece:
        """Append a block; it is made when `wanted` says so."""
        piece = Piece(self.blocks, block)
        self.blocks += 1
        self.pieces.append(piece)
        return piece

    @property
    def idle(self) -> bool:
        """Whether every block was made and taken."""
        return not self.pieces and not self.ready

    def bar(self, index: int) -> None:
        """Make no block from `index` on."""
        self._barred = min(self._barred, index)

    @property
    def barred(self) -> bool:
        """Whether all that may be made was made and taken, and more was asked for."""
        return not self.ready and bool(self.pieces) and self.pieces[0].index >= self._barred

    def wanted(self, now: float, heard: int, ahead: int) -> list[Making]:
        """The blocks to make now, so that `ahead` samples beyond `heard` are there in time; each is named once."""
        wanted: list[Making] = []
        begins = float(self.made)
        at_once = MAKING_AT_ONCE if self.seq else 1  # nothing competes with the first sound
        for position, piece in enumerate(self.pieces):
            if position >= at_once or begins - heard > ahead or piece.index >= self._barred:
                break
            if not piece.asked:
                piece.asked = True
                wanted.append(Making(piece.index, piece.block, self._due(begins, now, heard)))
            begins += self._rest(piece)
        return wanted

    def dues(self, now: float, heard: int) -> Iterator[tuple[int, float]]:
        """The blocks that are being made, and when the listener runs dry without them."""
        begins = float(self.made)
        for piece in self.pieces:
            if not piece.asked:
                break
            yield piece.index, self._due(begins, now, heard)
            begins += self._rest(piece)

    def _due(self, begins: float, now: float, heard: int) -> float:
        return now if begins <= heard else now + (begins - heard) / self._rate_hz

    def _rest(self, piece: Piece) -> float:
        """About how many samples of a block are not laid."""
        return max(0.0, self._char * len(piece.block.text) - piece.frames * self._frame)

    def name(self, index: int, audio: str) -> None:
        """Say under which name the clip of block `index` is kept."""
        if piece := self._piece(index):
            piece.audio = audio

    def _piece(self, index: int) -> Piece | None:
        awaited = bool(self.pieces) and 0 <= index - self.pieces[0].index < len(self.pieces)
        return self.pieces[index - self.pieces[0].index] if awaited else None

    def lay(self, index: int, slice: Slice, *, cached: bool) -> list[Run]:
        """Take a slice of block `index`; return the runs that are now in order, also put in `ready`.

        A slice of a block that is not awaited (cancelled, done) is ignored.
        """
        piece = self._piece(index)
        if piece is None:
            return []
        piece.cached = cached
        piece.slices.append(slice)
        runs: list[Run] = []
        while self.pieces and self.pieces[0].slices:
            head = self.pieces[0]
            slice = head.slices.popleft()
            runs += self._settle(head, slice)
            if slice.last:
                self.pieces.popleft()
        self.ready.extend(runs)
        return runs

    def _settle(self, piece: Piece, slice: Slice) -> list[Run]:
        packets = slice.packets
        first = piece.begins < 0
        if first:
            piece.begins = self.made
        if piece.skip:
            skipped = min(piece.skip, len(packets))
            piece.skip -= skipped
            packets = packets[skipped:]
            if not packets and not slice.last:
                return []
        words = [self._word(piece, word) for word in slice.words]
        block = piece.block
        run = Run(
            piece.index,
            block.start,
            block.stop,
            first,
            slice.last,
            piece.cached,
            piece.begins,
            self.seq,
            self.made,
            words,
            packets,
            piece.audio if first else "",
            [Phoneme(symbol, begins + piece.begins, ends + piece.begins) for symbol, begins, ends in slice.phonemes],
        )
        piece.frames += len(packets)
        self.seq += len(packets)
        self.made += len(packets) * self._frame
        return [run]

    @staticmethod
    def _word(piece: Piece, word: Word) -> Word:
        start, begins = piece.block.start, piece.begins
        return Word(word.start + start, word.stop + start, word.begins + begins, word.ends + begins)


def joined(runs: list[Run], seq: int) -> bool:
    """Whether no run is missing between the first and frame `seq`: a Redis may lose its last second."""
    ends = [run.seq + len(run.packets) for run in runs]
    return not runs or [run.seq for run in runs[1:]] + [seq] == ends
