"""When words sound, and where they are for the client: pure, for every engine and for the renderer.

A `Placer` turns an engine's raw events into exact words; `share` divides a time among words; `shift`,
`rescale` and `clip` move words along with their audio; `Positions` counts text as a client counts it.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from voicewire.spans import Span
from voicewire.types import Offsets, Word


def shift(words: Iterable[Word], by: int) -> tuple[Word, ...]:
    """Move words `by` samples; what now lies before 0 is cut off, and a word wholly before 0 is dropped."""
    moved = (Word(start, stop, max(0, begins + by), ends + by) for start, stop, begins, ends in words)
    return tuple(word for word in moved if word.ends > word.begins)


def rescale(words: Iterable[Word], from_hz: int, to_hz: int) -> tuple[Word, ...]:
    """Count in samples at `to_hz` what was counted at `from_hz`; no word vanishes, and none overlap."""
    scaled: list[Word] = []
    floor = 0
    for start, stop, begins, ends in words:
        at = max(floor, begins * to_hz // from_hz)
        floor = max(at + 1, ends * to_hz // from_hz)
        scaled.append(Word(start, stop, at, floor))
    return tuple(scaled)


def clip(words: Iterable[Word], total: int) -> tuple[Word, ...]:
    """Keep words inside `total` samples of audio: a later end is cut, a word that begins later is dropped."""
    return tuple(word._replace(ends=min(word.ends, total)) for word in words if word.begins < total)


def share(spans: Sequence[Span], begins: int, ends: int) -> list[Word]:
    """Divide the samples `[begins, ends)` among `spans` by their lengths, at least one sample each.

    Where there are fewer samples than spans, the last spans get none and are left out.
    """
    spans = spans[: max(0, ends - begins)]
    weight = sum(span.stop - span.start for span in spans)
    spare = ends - begins - len(spans)
    words, passed, at = [], 0, begins
    for nth, span in enumerate(spans, 1):
        passed += span.stop - span.start
        until = begins + nth + spare * passed // weight
        words.append(Word(span.start, span.stop, at, until))
        at = until
    return words


class Placer:
    """Turns an engine's raw events into words, as they come.

    Events are fed in the order of the audio: `word` where the engine begins to speak what stands at a
    position, `sound` and `silence` where it begins to be heard and where it falls silent (both optional).
    A word's end is known when the next word begins: `taken` hands over what is complete, and audio from
    `held` on must wait. A word of the text that gets no event ("in the", spoken as one) shares the time
    of the word before it.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self._starts = [span.start for span in spans]
        self._next = 0  # the first span that is not yet placed
        self._group: list[Span] = []  # what began at `_begins` and has not ended
        self._begins = 0
        self._quiet: int | None = 0  # since when nothing is heard
        self._unheard = False  # the group began in silence and has not yet been heard
        self._done: list[Word] = []

    @property
    def held(self) -> int | None:
        """The sample at which the word begins whose end is not yet known; None when there is none."""
        return self._begins if self._group else None

    def word(self, position: int, sample: int) -> None:
        """The engine speaks what stands at `position`, a code point of the text, from `sample` on."""
        index = bisect_right(self._starts, position) - 1
        if index < self._next or position >= self._spans[index].stop:
            return
        skipped = [span for span in self._spans[self._next : index] if span.sure]
        self._next = index + 1
        if self._group and sample - self._begins >= len(self._group) + len(skipped):
            self._close(skipped, sample)
            skipped = []
        if not self._group:
            self._begins = sample
            self._unheard = self._quiet is not None
        self._group += [*skipped, self._spans[index]]

    def sound(self, sample: int) -> None:
        """Something is heard from `sample` on."""
        if self._unheard and self._group:
            self._begins = sample  # pauses and closures behind the event are silent
        self._unheard = False
        self._quiet = None

    def silence(self, sample: int) -> None:
        """Nothing is heard from `sample` on, until the next `sound`."""
        if self._quiet is None:
            self._quiet = sample

    def finish(self, total: int) -> None:
        """The audio ends at `total` samples; words without any event get what is left."""
        skipped = [span for span in self._spans[self._next :] if span.sure]
        self._next = len(self._spans)
        self._close(skipped, total)

    def taken(self) -> tuple[Word, ...]:
        """The words completed since the last call, ascending."""
        done, self._done = tuple(self._done), []
        return done

    def _close(self, skipped: list[Span], sample: int) -> None:
        group = self._group + skipped
        heard = self._quiet is not None and self._quiet - self._begins >= len(group)
        ends = self._quiet if heard and self._quiet is not None else sample
        self._done += share(group, self._begins, min(ends, sample))
        self._group, self._begins = [], sample


_RUNS = {
    Offsets.UTF8: re.compile("([\0-\x7f]+)|([\x80-\u07ff]+)|([\u0800-\uffff]+)|([\U00010000-\U0010ffff]+)"),
    Offsets.UTF16: re.compile("([\0-\uffff]+)|([\U00010000-\U0010ffff]+)"),
}


class Positions:
    """Converts positions in a growing text from code points to the client's unit and back.

    Keeps one entry for every run of characters of one width: ASCII text costs nothing.
    """

    def __init__(self, unit: Offsets) -> None:
        self.unit = unit
        self._runs = _RUNS.get(unit)
        self._points = array("Q", [0])  # where each run begins, in code points
        self._units = array("Q", [0])  # the same places in the client's unit
        self._widths = array("B", [1])  # of a character of the run, in the client's unit
        self._length = 0

    @property
    def length(self) -> int:
        """Code points pushed."""
        return self._length

    def push(self, text: str) -> None:
        """Append `text`; a lone surrogate counts as what `surrogatepass` makes of it."""
        if self._runs is not None and not text.isascii():
            for run in self._runs.finditer(text):
                self._run(self._length + run.start(), run.lastindex or 1)
        elif text:
            self._run(self._length, 1)
        self._length += len(text)

    def convert(self, position: int) -> int:
        """Return where the code point `position`, at most `length`, lies in the client's unit."""
        assert 0 <= position <= self._length
        run = bisect_right(self._points, position) - 1
        return self._units[run] + (position - self._points[run]) * self._widths[run]

    def invert(self, position: int) -> int:
        """Return the code point that holds `position`, counted in the client's unit; at most `length`."""
        run = bisect_right(self._units, max(0, position)) - 1
        return min(self._length, self._points[run] + (max(0, position) - self._units[run]) // self._widths[run])

    def _run(self, begins: int, width: int) -> None:
        if width == self._widths[-1]:
            return
        if begins:
            self._units.append(self._units[-1] + (begins - self._points[-1]) * self._widths[-1])
            self._points.append(begins)
            self._widths.append(width)
        else:
            self._widths[0] = width
