"""Text to blocks: pieces that can be spoken as one, as soon as they are certain."""

from __future__ import annotations

from voicewire.cuts import hurried_edge
from voicewire.edges import LOOKAHEAD, Edges
from voicewire.punctuation import pause_ms
from voicewire.speakable import Place, ends_heading, read
from voicewire.types import Block

FIRST_CHARS = 60  # of the first block, where nobody waits
GROWTH = 2.5  # how often what came before a block may fit into it: it is made while that is heard


class Splitter:
    """Cuts a text that arrives in pieces into blocks; joined, their spans are the text.

    A block comes out as soon as its end is certain: no later text would have moved it. Only `flush`, `end`
    and `hurry` cut what is not. The blocks depend on the text alone, not on how it was cut by `push`.
    The first block is a clause of at most `first_chars` code points, the others are sentences, headings,
    items of lists or paragraphs of at most `max_chars`, and of `GROWTH` times the text before them.
    """

    def __init__(self, *, language: str = "en", max_chars: int = 400, first_chars: int = FIRST_CHARS) -> None:
        assert max_chars > 0
        assert first_chars > 0
        self._max_chars = max_chars
        self._first_chars = min(first_chars, max_chars)
        self._position = 0
        self._parts: list[str] = []  # of the text that is not yet in a block
        self._place = Place.LINE
        self._ended = False
        self._first = True
        self._edges = Edges(language)
        self._limit = self._first_chars
        self._asleep_chars = 0  # as long as fewer come, only a text with a mark can bring an edge
        self._markless = self._edges.markless

    @classmethod
    def resume(
        cls,
        position: int,
        pending: str,
        first: bool,
        language: str = "en",
        max_chars: int = 400,
        first_chars: int = FIRST_CHARS,
        place: str = Place.LINE,
    ) -> Splitter:
        """Return a splitter that goes on exactly as the one these properties were read from."""
        splitter = cls(language=language, max_chars=max_chars, first_chars=first_chars)
        splitter._position = position
        splitter._parts = [pending]
        splitter._place = Place(place)
        splitter._first = first
        splitter._limit = splitter._longest()
        splitter._edges.begin(splitter._place, first=first)
        return splitter

    @property
    def pending(self) -> str:
        """The text that is not yet in a block."""
        return "".join(self._parts)

    @property
    def pending_chars(self) -> int:
        """Code points that are not yet in a block."""
        return sum(map(len, self._parts))

    @property
    def position(self) -> int:
        """Code points that are in blocks already."""
        return self._position

    @property
    def first(self) -> bool:
        """Whether nothing that can be heard has come out yet."""
        return self._first

    @property
    def joints_judged(self) -> int:
        """How often a place that might be an edge was looked at: a measure of the work done."""
        return self._edges.judged

    @property
    def place(self) -> str:
        """What the pending text begins inside of, as `resume` takes it."""
        return self._place

    def push(self, text: str) -> list[Block]:
        """Take text of any size; return the blocks that have become certain."""
        self._parts.append(text)
        self._asleep_chars -= len(text)
        # An ended splitter is always awake, so that this hot path need not ask.
        if self._asleep_chars > 0 and (self._markless(text) or self._undecided(text)):
            return []
        return self._cut(final=False)

    def _undecided(self, text: str) -> bool:
        """Whether the first text with a mark ends with it, so that what follows decides."""
        self._edges.looked = self._limit + LOOKAHEAD - self._asleep_chars - len(text)
        if self._asleep_chars < LOOKAHEAD or not self._edges.undecided(text):
            return False
        self._asleep_chars = 0
        return True

    def flush(self) -> list[Block]:
        """Return all that is pending as blocks, whether a sentence has ended or not."""
        return self._cut(final=True)

    def end(self) -> list[Block]:
        """Return the last blocks. Nothing may be called afterwards."""
        blocks = self._cut(final=True)
        self._ended = True
        self._asleep_chars = 0
        return blocks

    def hurry(self) -> list[Block]:
        """Return the best first clause of what is pending, cut between words; nothing where there is none."""
        assert not self._ended
        pending = self.pending
        edge = hurried_edge(pending, self._first_chars) if self._first else 0
        if not edge:
            return []
        block = self._block(pending[:edge])
        self._parts = [pending[edge:]]
        return [block, *self._cut(final=False)]

    def _cut(self, *, final: bool) -> list[Block]:
        assert not self._ended, "the text has ended"
        blocks: list[Block] = []
        edges, pending, begin = self._edges, self.pending, 0
        while begin < len(pending):
            view_chars = self._limit + LOOKAHEAD
            seen = pending[begin : begin + view_chars]
            if blocks and not final and len(seen) < view_chars and edges.markless(seen):
                break
            last = final and begin + len(seen) == len(pending)
            edge = edges.find(seen, self._limit, final=last)
            if not edge and not last:
                break
            blocks.append(self._block(seen[:edge] if edge else seen))
            begin += edge or len(seen)
        rest = pending[begin:]
        self._parts = [rest]
        self._asleep_chars = 0 if edges.waiting else self._limit + LOOKAHEAD - len(rest)
        self._markless = edges.markless
        return blocks

    def _block(self, text: str) -> Block:
        place, first = self._place, self._first
        spoken, self._place = read(text, place)
        block = Block(self._position, text, spoken, pause_ms(text, heading=ends_heading(text, place)))
        self._position += len(text)
        if first and not block.silent:
            self._first = first = False
        if self._limit < self._max_chars:
            self._limit = self._longest()
        self._edges.begin(self._place, first=first)
        return block

    def _longest(self) -> int:
        """Code points that the next block may have."""
        if self._first:
            return self._first_chars
        return min(self._max_chars, max(self._first_chars, int(GROWTH * self._position)))
