"""Where a text may be cut so that each piece can be spoken by itself.

An edge is certain as soon as no later text can move it. Every decision looks only a bounded distance
behind the longest piece allowed, so that it cannot depend on how the text arrived.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

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

# A joint: a mark (none at the end of a line), what closes behind it (also a footnote's number, a tag), and white space.
_BEHIND = rf"((?:[{re.escape(CLOSERS)}]|\[\d{{1,3}}\]|</\w{{1,10}}>)*)(\s*)"
_JOINT: Final = re.compile(rf"([{re.escape(_ENDERS)}]+|(?=\n)){_BEHIND}")
_JOINT_OR_CLAUSE: Final = re.compile(rf"([{re.escape(_ENDERS)}]+|[-{re.escape(_CLAUSES)}]+|(?=\n)){_BEHIND}")
_UNCLOSED: Final = re.compile(r"\[\d{0,3}|<(?:/\w{0,10})?")
_FOLLOWING: Final = re.compile(rf"(?:[{re.escape(OPENERS)}]|(?<=>)\s)*(\w*)")
_WIDE: Final = re.compile(f"[{re.escape(WIDE_ENDERS + WIDE_CLAUSE_MARKS)}]")

_BLANK_LINE: Final = re.compile(r"\n[^\S\n]*\n")
_STRUCTURE: Final = re.compile(r"#{1,6}\s|(?:[-*+•]|\d{1,3}[.)])\s|```|~~~|[>|]|(?:-[ \t]*){3}|(?:\*[ \t]*){3}|[=_]{3}")
_STRUCTURE_BEGUN: Final = re.compile(r"#{1,6}|[-*+•]{1,2}|\d{1,3}[.)]?|`{1,2}|~{1,2}|[=_]{1,2}")
_QUOTE_BEGUN: Final = re.compile(r"(?:>[ \t]*)+(\n?)")


class View(NamedTuple):
    """What can be seen of the text, from the beginning of a block on."""

    text: str
    place: Place  # where it begins
    first: bool  # the edges of clauses count too
    final: bool  # nothing follows

    def open_end(self, at: int) -> bool:
        """Whether more text may still come at `at`."""
        return at == len(self.text) and not self.final


class Edges:
    """Finds the edges of a text that grows, and remembers how far it has looked."""

    def __init__(self, language: str) -> None:
        self._full_stop = FullStop(language)
        self._looked = 0
        self.waiting = False  # whether any further text may decide
        self.judged = 0  # joints looked at so far: the work done

    def reset(self) -> None:
        """Forget how far it has looked: the next `find` is about another text, or differs in `first`."""
        self._looked = 0
        self.waiting = False

    def find(self, view: View, limit: int) -> int:
        """Return the first edge of `view`, 1 to `limit`, or 0 where there is none yet.

        `view` holds at most `limit + LOOKAHEAD` code points.
        """
        text = view.text
        joints = _JOINT_OR_CLAUSE if view.first else _JOINT
        while joint := joints.search(text, self._looked):
            self.judged += 1
            if joint.end(2) > limit:
                return forced_edge(text, limit)
            edge = self._judge(view, joint)
            if edge > 0:
                return min(edge, limit)
            if edge == WAIT:
                self._looked = joint.start()
                self.waiting = True
                break
            self._looked = max(joint.end(), -edge)
        else:
            self._looked = len(text)
            self.waiting = False
        overlong = len(text) >= limit + LOOKAHEAD or (view.final and len(text) > limit)
        return forced_edge(text, limit) if overlong else 0

    def _judge(self, view: View, joint: re.Match[str]) -> int:
        """The edge at a joint, `NO`, `WAIT`, or how far there can be none, negated."""
        if "<" in view.text or "](" in view.text:
            construct = construct_at(view.text, joint.start())
            if construct is not None and construct.stop:
                return -construct.stop
            if construct is not None and not view.final:
                return WAIT
        if "\n" in joint[3] and (edge := _line_edge(view, joint)):
            return edge
        if not joint[1]:
            return NO
        if joint.end() == len(view.text):
            return NO if view.final else WAIT
        if not joint[3] and (unclosed := _UNCLOSED.match(view.text, joint.end())) and view.open_end(unclosed.end()):
            return WAIT
        if joint[1][0] in _ENDERS:
            return self._sentence_edge(view, joint)
        return _clause_edge(view, joint)

    def _sentence_edge(self, view: View, joint: re.Match[str]) -> int:
        start, end = joint.start(), joint.end()
        wide = _is_wide(joint[1])
        if not (joint[3] or wide) or view.text[end] in _ENDERS:
            return NO
        if start < SHORT_SENTENCE and not _stands_alone(view, joint, wide):
            return NO
        following = _FOLLOWING.match(view.text, end)
        assert following is not None
        word = following[1]
        if not word and view.open_end(following.end()):
            return WAIT
        if wide:
            return NO if _goes_on_behind_wide(view.text, joint, word) else end
        if _goes_on(joint, word, view.text[end]):
            return NO
        if joint[1] != ".":
            return end
        complete = not view.open_end(following.end()) or len(word) >= LOOKAHEAD // 2
        ends = self._full_stop.ends(view.text[:start], word, complete=complete)
        return WAIT if ends is None else end if ends else NO


def _stands_alone(view: View, joint: re.Match[str], wide: bool) -> bool:
    """Whether so short a sentence is a block: it says something, and to join it would wait or cross a line."""
    if not any(map(str.isalnum, view.text[: joint.start()])):
        return False
    return view.first or wide or "\n" in joint[3]


def _is_wide(mark: str) -> bool:
    return not mark.isascii() and _WIDE.search(mark) is not None


def _goes_on(joint: re.Match[str], word: str, next_character: str) -> bool:
    """Whether the sentence goes on behind a mark that often ends one: `"Why?" she asked`, `well... no`."""
    mark, closing = joint[1], joint[2]
    if word[:1].islower() and closing:
        return True
    if mark.endswith(("..", "…")):
        return word[:1].islower() or word[:1].isdecimal() or next_character in _CLAUSES
    return next_character in ",;:"


def _goes_on_behind_wide(text: str, joint: re.Match[str], word: str) -> bool:
    if joint[2] and word[:1] and word[0] in _QUOTED:
        return True
    return joint[1] == "．" and not joint[3] and _between_digits(text, joint)


def _between_digits(text: str, joint: re.Match[str]) -> bool:
    return text[joint.start() - 1 : joint.start()].isdecimal() and text[joint.end() : joint.end() + 1].isdecimal()


def _clause_edge(view: View, joint: re.Match[str]) -> int:
    mark, start = joint[1], joint.start()
    wide = _is_wide(mark)
    if len(view.text[:start].lstrip()) < (SHORT_WIDE_CLAUSE if wide else SHORT_CLAUSE):
        return NO
    if mark == "-" and not view.text[start - 1].isspace():
        return NO
    if not joint[3] and not ("—" in mark or (wide and not _between_digits(view.text, joint))):
        return NO
    return joint.end()


def _line_edge(view: View, joint: re.Match[str]) -> int:
    """The edge at the end of a line, if the line or the next one is more than a line of a paragraph."""
    text, end = view.text, joint.end()
    if not joint[1] and not text[: joint.start()].strip():
        return NO
    if blank := _BLANK_LINE.search(joint[3]):
        return joint.start(3) + blank.end()
    if end == len(text):
        return NO if view.final else WAIT
    kind = _kind_of_line_at(view, joint.start())
    if kind is Place.QUOTE and text[end] == ">":
        return _quote_edge(view, end)
    if _STRUCTURE.match(text, end):
        return end
    if (begun := _STRUCTURE_BEGUN.match(text, end)) and view.open_end(begun.end()):
        return WAIT
    if kind in {Place.HEADING, Place.TABLE, Place.FENCE}:
        return end
    meant = kind in {Place.ITEM, Place.QUOTE} or _is_short_line(view, joint.start())
    return end if meant and text[end].isalpha() and not text[end].islower() else NO


def _quote_edge(view: View, end: int) -> int:
    """A quotation's lines are one paragraph up to its blank line."""
    begun = _QUOTE_BEGUN.match(view.text, end)
    assert begun is not None
    if view.open_end(begun.end()) and not begun[1]:
        return WAIT
    return end if begun[1] else NO


def _kind_of_line_at(view: View, at: int) -> Place:
    begin = view.text.rfind("\n", 0, at) + 1
    if view.place is Place.FENCE or (begin == 0 and view.place is not Place.LINE):
        return view.place
    return kind_of_line(view.text, begin)


def _is_short_line(view: View, at: int) -> bool:
    begin = view.text.rfind("\n", 0, at) + 1
    return at - begin <= SHORT_LINE and (begin > 0 or view.place is Place.LINE)
