"""Where a text may be cut so that each piece can be spoken by itself.

An edge is certain as soon as no later text can move it. Every decision looks only a bounded distance
behind the longest piece allowed, so that it cannot depend on how the text arrived.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from voicewire.cuts import forced_edge
from voicewire.fullstop import FullStop
from voicewire.punctuation import CLAUSE_MARKS, CLOSERS, OPENERS, SPACED_ENDERS, WIDE_CLAUSE_MARKS, WIDE_ENDERS
from voicewire.speakable import Place, construct_at, kind_of_line

LOOKAHEAD: Final = 48  # code points behind the longest piece that a decision may still look at
SHORT_SENTENCE: Final = 10  # a sentence of fewer characters is spoken with the next one
SHORT_LINE: Final = 40  # a line this short was not wrapped: its end is meant
SHORT_CLAUSE: Final = 16  # a first block of fewer characters is no head start
SHORT_WIDE_CLAUSE: Final = 4  # the same, for scripts without spaces

NO: Final = 0
WAIT: Final = -1

_ENDERS: Final = SPACED_ENDERS + WIDE_ENDERS
_CLAUSES: Final = CLAUSE_MARKS + WIDE_CLAUSE_MARKS
_QUOTED: Final = "とって"  # what goes on in Japanese behind a quotation

# A joint: a mark, what closes behind it (also a footnote's number, a tag), and white space. Marks that open
# as well as they close, close if no word follows. Behind it, as far as it is seen, comes the next word.
_EITHER = "\"'“＂*_`~"
_ONLY_CLOSERS = "".join(sorted(set(CLOSERS) - set(_EITHER)))
_CLOSING = (
    rf"((?<!\n)(?:[{re.escape(_ONLY_CLOSERS)}]|[{_EITHER}]+(?![\w{_EITHER}{re.escape(OPENERS)}])"
    r"|\[\d{1,3}\]|</\w{1,10}>)*|)"
)
_BEHIND = rf"{_CLOSING}(\s*)(?:[{re.escape(OPENERS)}]|(?<=>)\s)*(\w*)"
_MORE = rf"(?<!\n)(?:[ \xa0]*[{re.escape(_ENDERS)}])*"
_MARKS: Final = frozenset("\n" + _ENDERS)
_MARKS_OR_CLAUSES: Final = _MARKS | frozenset("-" + _CLAUSES)
_MARK = rf"[\n{re.escape(_ENDERS)}]"
_MARK_OR_CLAUSE = rf"[-\n{re.escape(_ENDERS + _CLAUSES)}]"
_JOINT: Final = re.compile(rf"({_MARK}(?:{_MORE}|)){_BEHIND}")
_JOINT_OR_CLAUSE: Final = re.compile(
    rf"({_MARK_OR_CLAUSE}(?:(?<=[{re.escape(_ENDERS)}]){_MORE}|(?<!\n)[-{re.escape(_CLAUSES)}]*|)){_BEHIND}"
)
# A text whose only mark is its last character that is not white space: what follows decides.
_UNDECIDED: Final = re.compile(rf"[^{_MARK[1:]}*{_MARK}(?<!\n)[^\S\n]*")
_UNDECIDED_OR_CLAUSE: Final = re.compile(rf"[^{_MARK_OR_CLAUSE[1:]}*{_MARK_OR_CLAUSE}(?<!\n)[^\S\n]*")
_SINGLE: Final = frozenset(".?!")  # nearly every mark there is, and no ellipsis
_ELLIPSIS: Final = re.compile(r"\.[ \xa0]*\.\Z|…\Z")
_UNCLOSED: Final = re.compile(r"\[\d{0,3}|<(?:/\w{0,10})?")
_WIDE: Final = re.compile(f"[{re.escape(WIDE_ENDERS + WIDE_CLAUSE_MARKS)}]")

_BLANK_LINE: Final = re.compile(r"\n[^\S\n]*\n")
_STRUCTURE: Final = re.compile(r"#{1,6}\s|(?:[-*+•]|\d{1,3}[.)])\s|```|~~~|[>|]|(?:-[ \t]*){3}|(?:\*[ \t]*){3}|[=_]{3}")
_STRUCTURE_BEGUN: Final = re.compile(r"#{1,6}|[-*+•]{1,2}|\d{1,3}[.)]?|`{1,2}|~{1,2}|[=_]{1,2}")
_QUOTE_BEGUN: Final = re.compile(r"(?:>[ \t]*)+(\n?)")


class Joint(msgspec.Struct, frozen=True, gc=False):
    """A place that might be an edge, as far as the text around it is seen."""

    start: int
    end: int
    mark: str  # empty at the end of a line that has none
    closing: str
    gap: str
    word: str  # the next one, without opening marks
    word_end: int

    @property
    def gap_start(self) -> int:
        return self.end - len(self.gap)


class Edges:
    """Finds the edges of a text that grows, and remembers how far it has looked."""

    def __init__(self, language: str) -> None:
        self._full_stop = FullStop(language)
        self.judged = 0  # joints looked at so far: the work done
        self._take(first=True)
        self.begin(Place.LINE, first=True)

    def begin(self, place: Place, *, first: bool) -> None:
        """Turn to another text, which begins at `place`; `first` also finds the edges of clauses."""
        self._place = place
        self.looked = 0  # so many characters of the text hold no mark that could still bring an edge
        self.waiting = False  # whether any further text may decide, even one without a mark
        if first is not self._first:
            self._take(first=first)

    def _take(self, *, first: bool) -> None:
        self._first = first
        self.markless = (_MARKS_OR_CLAUSES if first else _MARKS).isdisjoint
        self.undecided = (_UNDECIDED_OR_CLAUSE if first else _UNDECIDED).fullmatch
        self._find_joint = (_JOINT_OR_CLAUSE if first else _JOINT).search

    def find(self, text: str, limit: int, *, final: bool) -> int:
        """Return the first edge of `text`, 1 to `limit`, or 0 where there is none yet.

        `text` holds at most `limit + LOOKAHEAD` code points, and what `find` saw before; `final` says that
        nothing follows.
        """
        self._text = text
        self._final = final
        self.waiting = False
        while match := self._find_joint(text, self.looked):
            self.judged += 1
            joint = _joint(match)
            if joint.end > limit and _is_overlong(joint, limit, text):
                return forced_edge(text, limit)
            edge = self._judge(joint)
            if edge > 0:
                return min(edge, limit)
            if edge == WAIT:
                self.looked = joint.start
                self.waiting = True
                break
            self.looked = -edge or joint.end
        else:
            self.looked = len(text)
        overlong = len(text) >= limit + LOOKAHEAD or (final and len(text) > limit)
        return forced_edge(text, limit) if overlong else 0

    def _judge(self, joint: Joint) -> int:
        """The edge at a joint, `NO`, `WAIT`, or how far there can be none, negated."""
        text, end, gap = self._text, joint.end, joint.gap
        if "<" in text or "]" in text:
            construct = construct_at(text, joint.start)
            if construct is not None and (construct.stop or not self._final):
                return -construct.stop or WAIT
        if "\n" in gap and (edge := self._line_edge(joint)):
            return edge
        if not joint.mark:
            return NO
        if end == len(text):
            return NO if self._final else WAIT
        if not gap and (unclosed := _UNCLOSED.match(text, end)) and self._may_grow(unclosed.end()):
            return WAIT
        return self._sentence_edge(joint) if joint.mark[0] in _ENDERS else _clause_edge(text, joint)

    def _may_grow(self, at: int) -> bool:
        return at == len(self._text) and not self._final

    def _sentence_edge(self, joint: Joint) -> int:
        text, end, mark, word = self._text, joint.end, joint.mark, joint.word
        wide = not mark.isascii() and _is_wide(mark)
        if not (joint.gap or wide):
            return NO
        if joint.start < SHORT_SENTENCE and not self._stands_alone(joint, wide):
            return NO
        growing = self._may_grow(joint.word_end)
        if growing and not word:
            return WAIT
        if wide:
            return NO if _goes_on_behind_wide(text, joint) else end
        if _goes_on(joint, text[end]):
            return NO
        if mark != ".":
            return end
        complete = not growing or len(word) >= LOOKAHEAD // 2
        ends = self._full_stop.ends(text, joint.start, word, complete=complete)
        return WAIT if ends is None else end if ends else NO

    def _stands_alone(self, joint: Joint, wide: bool) -> bool:
        """Whether so short a sentence is a block: it says something, and to join it would wait or cross a line."""
        if not any(map(str.isalnum, self._text[: joint.start])):
            return False
        return self._first or wide or "\n" in joint.gap

    def _line_edge(self, joint: Joint) -> int:
        """The edge at the end of a line, if the line or the next one is more than a line of a paragraph."""
        text, end = self._text, joint.end
        if not joint.mark and not text[: joint.start].strip():
            return NO
        if blank := _BLANK_LINE.search(joint.gap):
            return joint.gap_start + blank.end()
        if end == len(text):
            return NO if self._final else WAIT
        begin = text.rfind("\n", 0, joint.start) + 1
        kind = self._kind_of_line(begin)
        if kind is Place.QUOTE and text[end] == ">":
            return self._quote_edge(end)
        if _STRUCTURE.match(text, end):
            return end
        if (begun := _STRUCTURE_BEGUN.match(text, end)) and self._may_grow(begun.end()):
            return WAIT
        if kind in {Place.HEADING, Place.TABLE, Place.FENCE}:
            return end
        short = joint.start - begin <= SHORT_LINE and (begin > 0 or self._place is Place.LINE)
        meant = short or kind in {Place.ITEM, Place.QUOTE}
        return end if meant and text[end].isalpha() and not text[end].islower() else NO

    def _kind_of_line(self, begin: int) -> Place:
        if self._place is Place.FENCE or (begin == 0 and self._place is not Place.LINE):
            return self._place
        return kind_of_line(self._text, begin)

    def _quote_edge(self, end: int) -> int:
        """A quotation's lines are one paragraph up to its blank line."""
        begun = _QUOTE_BEGUN.match(self._text, end)
        assert begun is not None
        if self._may_grow(begun.end()) and not begun[1]:
            return WAIT
        return end if begun[1] else NO


def _joint(match: re.Match[str]) -> Joint:
    mark, closing, gap, word = match.groups()
    start, end = match.start(), match.end(3)
    if mark == "\n":  # no mark, but the first of the white space
        mark, gap = "", mark + gap
    return Joint(start, end, mark, closing, gap, word, match.end())


def _is_overlong(joint: Joint, limit: int, text: str) -> bool:
    """Whether the piece up to `joint` is longer than `limit`: white space behind it is not, if text may follow."""
    if joint.start + len(joint.mark) > limit:
        return True
    return joint.gap_start > limit and (joint.gap != "" or joint.end < len(text))


def _is_wide(mark: str) -> bool:
    return not mark.isascii() and _WIDE.search(mark) is not None


def _goes_on(joint: Joint, next_character: str) -> bool:
    """Whether the sentence goes on behind a mark that often ends one: `"Why?" she asked`, `well... no`."""
    word = joint.word
    if joint.closing and word[:1].islower():
        return True
    if joint.mark not in _SINGLE and _ELLIPSIS.search(joint.mark):
        return word[:1].islower() or word[:1].isdecimal() or next_character in _CLAUSES
    return next_character in ",;:"


def _goes_on_behind_wide(text: str, joint: Joint) -> bool:
    if joint.closing and joint.word and joint.word[0] in _QUOTED:
        return True
    return joint.mark == "．" and not joint.gap and _between_digits(text, joint)


def _between_digits(text: str, joint: Joint) -> bool:
    return text[joint.start - 1 : joint.start].isdecimal() and text[joint.end : joint.end + 1].isdecimal()


def _clause_edge(text: str, joint: Joint) -> int:
    mark, start = joint.mark, joint.start
    wide = _is_wide(mark)
    if len(text[:start].lstrip()) < (SHORT_WIDE_CLAUSE if wide else SHORT_CLAUSE):
        return NO
    if mark == "-" and not text[start - 1].isspace():
        return NO
    if not joint.gap and not ("—" in mark or (wide and not _between_digits(text, joint))):
        return NO
    return joint.end
