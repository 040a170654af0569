"""Words as vendors' clients want them: with the marks that stand at them, so that they join to the text again."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

OPENING = frozenset({"Ps", "Pi"})  # categories of Unicode
OPENERS = frozenset("#¿¡")
WAVERERS = frozenset("\"'-–—_")  # that close or open: what comes next tells
SYMBOLS = frozenset("&@%*/\\#§")  # and what Unicode calls one: some engines speak them, as words of their own
LINE_ENDS = frozenset("\n\r\x85\u2028\u2029")
_APART = re.compile(r"(\s+)(\S+)(?=\s|\Z)")


class Spelling:
    """The text of one utterance, as it comes, and how its words are written there.

    A mark that stands alone is written with the word before it; one that opens something, or begins a line, with the
    word behind it. What is in between is written as it stands in the text: clients look for it there.
    """

    def __init__(self) -> None:
        self.text = ""
        self.ended = False  # no more text comes
        self._spelt = 0  # up to here it was given out

    def push(self, text: str) -> None:
        self.text += text

    def words(self, spans: Sequence[tuple[int, int]]) -> list[str]:
        """Return how the words at `spans`, ascending, are written, each with its marks.

        "" stands for one that was given with the word before it.
        """
        followers = [start for start, _ in spans[1:]] + [len(self.text)]
        return [self._word(start, stop, follower) for (start, stop), follower in zip(spans, followers, strict=True)]

    def rest(self) -> str:
        """Return the marks that came too late to be given with a word, "" where there are none."""
        rest, self._spelt = self.text[self._spelt :].strip(), len(self.text)
        return "" if _spoken(rest) else rest

    def _word(self, start: int, stop: int, follower: int) -> str:
        begin = self._begin(start) if start >= self._spelt else self._spelt
        self._spelt = max(self._spelt, self._end(stop, max(stop, follower)))
        return self.text[begin : self._spelt]

    def _begin(self, start: int) -> int:
        """Where a word begins with the marks before it: behind what nobody spoke, only with those that touch it."""
        before = self.text[self._spelt : start]
        if _spoken(before):
            before = re.split(r"\s", before)[-1]
        return start - len(before.lstrip())

    def _end(self, stop: int, follower: int) -> int:
        """Where a word that stops there ends with the marks behind it; the next does not begin before `follower`."""
        if self.ended and follower == len(self.text) and _silent(self.text[stop:]):
            return max(stop, len(self.text.rstrip()))
        end = stop
        while end < follower and not (self.text[end].isspace() or self.text[end].isalnum()):
            end += 1
        while (apart := _APART.match(self.text, end)) and apart.end() <= follower and self._closes(apart):
            end = apart.end()
        return end

    def _closes(self, apart: re.Match[str]) -> bool:
        """Whether marks that stand alone belong to the word before them."""
        space, marks = apart.groups()
        opens = marks[0] in OPENERS or unicodedata.category(marks[0]) in OPENING
        if opens or _spoken(marks) or any(map(_symbol, marks)) or not LINE_ENDS.isdisjoint(space):
            return False
        unsure = apart.end() == len(self.text) and not self.ended
        return not (unsure and marks[0] in WAVERERS)


def _spoken(text: str) -> bool:
    return any(map(str.isalnum, text))


def _silent(text: str) -> bool:
    return not (_spoken(text) or any(map(_symbol, text)))


def _symbol(mark: str) -> bool:
    return mark in SYMBOLS or unicodedata.category(mark)[0] == "S"
