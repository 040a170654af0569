"""Where a text may be cut so that each piece can be spoken by itself.

An edge is certain as soon as no later text can move it. Every decision looks only a bounded distance
behind the longest piece allowed, so that it cannot depend on how the text arrived.
"""

from __future__ import annotations

import re
from typing import Final

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
# as well as they close, close if no word follows.
_EITHER = "\"'“＂*_`~"
_ONLY_CLOSERS = "".join(sorted(set(CLOSERS) - set(_EITHER)))
_BEHIND = (
    rf"((?:[{re.escape(_ONLY_CLOSERS)}]|[{_EITHER}]+(?![\w{_EITHER}{re.escape(OPENERS)}])"
    r"|\[\d{1,3}\]|</\w{1,10}>)*)(\s*)"
)
_ENDING = rf"[{re.escape(_ENDERS)}](?:[ \xa0]*[{re.escape(_ENDERS)}])*"
_MARKS: Final = frozenset("\n" + _ENDERS)
_MARKS_OR_CLAUSES: Final = _MARKS | frozenset("-" + _CLAUSES)
_MARK: Final = re.compile(rf"[\n{re.escape(_ENDERS)}]")
_MARK_OR_CLAUSE: Final = re.compile(rf"[-\n{re.escape(_ENDERS + _CLAUSES)}]")
_JOINT: Final = re.compile(rf"({_ENDING}|){_BEHIND}")
_JOINT_OR_CLAUSE: Final = re.compile(rf"({_ENDING}|[-{re.escape(_CLAUSES)}]*){_BEHIND}")
_SINGLE: Final = frozenset(".?!")  # nearly every mark there is, and no ellipsis
_ELLIPSIS: Final = re.compile(r"\.[ \xa0]*\.\Z|…\Z")
_UNCLOSED: Final = re.compile(r"\[\d{0,3}|<(?:/\w{0,10})?")
_FOLLOWING: Final = re.compile(rf"(?:[{re.escape(OPENERS)}]|(?<=>)\s)*(\w*)")
_WIDE: Final = re.compile(f"[{re.escape(WIDE_ENDERS + WIDE_CLAUSE_MARKS)}]")

_BLANK_LINE: Final = re.compile(r"\n[^\S\n]*\n")
_STRUCTURE: Final = re.compile(r"#{1,6}\s|(?:[-*+•]|\d{1,3}[.)])\s|```|~~~|[>|]|(?:-[ \t]*){3}|(?:\*[ \t]*){3}|[=_]{3}")
_STRUCTURE_BEGUN: Final = re.compile(r"#{1,6}|[-*+•]{1,2}|\d{1,3}[.)]?|`{1,2}|~{1,2}|[=_]{1,2}")
_QUOTE_BEGUN: Final = re.compile(r"(?:>[ \t]*)+(\n?)")


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
        self._looked = 0
        self.waiting = False  # whether any further text may decide, even one without a mark
        if first is not self._first:
            self._take(first=first)

    def skip(self, chars: int) -> None:
        """Take it that the first `chars` of the text hold no mark."""
        self._looked = chars

    def _take(self, *, first: bool) -> None:
        self._first = first
        self.find_mark = (_MARK_OR_CLAUSE if first else _MARK).search
        self.markless = (_MARKS_OR_CLAUSES if first else _MARKS).isdisjoint  # the same question, sooner answered
        self._joint_at = (_JOINT_OR_CLAUSE if first else _JOINT).match

    def find(self, text: str, limit: int, *, final: bool) -> int:
        """Return the first edge of `text`, 1 to `limit`, or 0 where there is none yet.

        `text` holds at most `limit + LOOKAHEAD` code points, and what `find` saw before; `final` says that
        nothing follows.
        """
        self._text = text
        self._final = final
        self.waiting = False
        while mark := self.find_mark(text, self._looked):
            self.judged += 1
            joint = self._joint_at(text, mark.start())
            assert joint is not None
            if joint.end(1) > limit or (joint.end(2) > limit and (joint[3] or joint.end() < len(text))):
                return forced_edge(text, limit)
            edge = self._judge(joint)
            if edge > 0:
                return min(edge, limit)
            if edge == WAIT:
                self._looked = joint.start()
                self.waiting = True
                break
            self._looked = -edge or joint.end()
        else:
            self._looked = len(text)
        overlong = len(text) >= limit + LOOKAHEAD or (final and len(text) > limit)
        return forced_edge(text, limit) if overlong else 0

    def _judge(self, joint: re.Match[str]) -> int:
        """The edge at a joint, `NO`, `WAIT`, or how far there can be none, negated."""
        text = self._text
        if "<" in text or "](" in text:
            construct = construct_at(text, joint.start())
            if construct is not None and (construct.stop or not self._final):
                return -construct.stop or WAIT
        if "\n" in joint[3] and (edge := self._line_edge(joint)):
            return edge
        if not joint[1]:
            return NO
        if joint.end() == len(text):
            return NO if self._final else WAIT
        if not joint[3] and (unclosed := _UNCLOSED.match(text, joint.end())) and self._may_grow(unclosed.end()):
            return WAIT
        return self._sentence_edge(joint) if joint[1][0] in _ENDERS else _clause_edge(text, joint)

    def _may_grow(self, at: int) -> bool:
        return at == len(self._text) and not self._final

    def _sentence_edge(self, joint: re.Match[str]) -> int:
        text, end = self._text, joint.end()
        wide = _is_wide(joint[1])
        if not (joint[3] or wide):
            return NO
        if joint.start() < SHORT_SENTENCE and not self._stands_alone(joint, wide):
            return NO
        following = _FOLLOWING.match(text, end)
        assert following is not None
        word = following[1]
        if not word and self._may_grow(following.end()):
            return WAIT
        if wide:
            return NO if _goes_on_behind_wide(text, joint, word) else end
        if _goes_on(joint, word, text[end]):
            return NO
        if joint[1] != ".":
            return end
        complete = not self._may_grow(following.end()) or len(word) >= LOOKAHEAD // 2
        ends = self._full_stop.ends(text, joint.start(), word, complete=complete)
        return WAIT if ends is None else end if ends else NO

    def _stands_alone(self, joint: re.Match[str], wide: bool) -> bool:
        """Whether so short a sentence is a block: it says something, and to join it would wait or cross a line."""
        if not any(map(str.isalnum, self._text[: joint.start()])):
            return False
        return self._first or wide or "\n" in joint[3]

    def _line_edge(self, joint: re.Match[str]) -> int:
        """The edge at the end of a line, if the line or the next one is more than a line of a paragraph."""
        text, end = self._text, joint.end()
        if not joint[1] and not text[: joint.start()].strip():
            return NO
        if blank := _BLANK_LINE.search(joint[3]):
            return joint.start(3) + blank.end()
        if end == len(text):
            return NO if self._final else WAIT
        begin = text.rfind("\n", 0, joint.start()) + 1
        kind = self._kind_of_line(begin)
        if kind is Place.QUOTE and text[end] == ">":
            return self._quote_edge(end)
        if _STRUCTURE.match(text, end):
            return end
        if (begun := _STRUCTURE_BEGUN.match(text, end)) and self._may_grow(begun.end()):
            return WAIT
        if kind in {Place.HEADING, Place.TABLE, Place.FENCE}:
            return end
        short = joint.start() - begin <= SHORT_LINE and (begin > 0 or self._place is Place.LINE)
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


def _is_wide(mark: str) -> bool:
    return not mark.isascii() and _WIDE.search(mark) is not None


def _goes_on(joint: re.Match[str], word: str, next_character: str) -> bool:
    """Whether the sentence goes on behind a mark that often ends one: `"Why?" she asked`, `well... no`."""
    mark, closing = joint[1], joint[2]
    if word[:1].islower() and closing:
        return True
    if mark not in _SINGLE and _ELLIPSIS.search(mark):
        return word[:1].islower() or word[:1].isdecimal() or next_character in _CLAUSES
    return next_character in ",;:"


def _goes_on_behind_wide(text: str, joint: re.Match[str], word: str) -> bool:
    if joint[2] and word[:1] and word[0] in _QUOTED:
        return True
    return joint[1] == "．" and not joint[3] and _between_digits(text, joint)


def _between_digits(text: str, joint: re.Match[str]) -> bool:
    return text[joint.start() - 1 : joint.start()].isdecimal() and text[joint.end() : joint.end() + 1].isdecimal()


def _clause_edge(text: str, joint: re.Match[str]) -> int:
    mark, start = joint[1], joint.start()
    wide = _is_wide(mark)
    if len(text[:start].lstrip()) < (SHORT_WIDE_CLAUSE if wide else SHORT_CLAUSE):
        return NO
    if mark == "-" and not text[start - 1].isspace():
        return NO
    if not joint[3] and not ("—" in mark or (wide and not _between_digits(text, joint))):
        return NO
    return joint.end()
