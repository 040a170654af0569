"""What of a block is spoken: marks that are not content are blanked, character for character."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple


class Place(StrEnum):
    """What a point of the text stands inside of: all that a block must know of the text before it."""

    LINE = "line"  # the beginning of a line
    TEXT = "text"
    HEADING = "heading"
    ITEM = "item"
    QUOTE = "quote"
    TABLE = "table"
    FENCE = "fence"  # fenced code, whatever the line
    LINK = "link"  # the destination of a link
    TAG = "tag"  # an HTML tag


_DESTINATION = r"\]\([^\s()]*(?:\([^\s()]*\)[^\s()]*)*"
_TAG_HEAD = r"</?[A-Za-z][\w:-]*"
_ATTRIBUTE = r"""\s+[\w:-]+(?:=(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+))?"""

_LINK: Final = re.compile(rf'{_DESTINATION}(?:\s+"[^"\n]*")?\s*\)')
_TAG: Final = re.compile(rf"{_TAG_HEAD}(?:{_ATTRIBUTE})*\s*/?>")
# Every beginning of the two above, at the end of a text.
_LINK_BEGUN: Final = re.compile(rf'{_DESTINATION}(?:\([^\s()]*)?(?:\s+(?:"[^"\n]*"?)?\s*)?\Z')
_TAG_BEGUN: Final = re.compile(
    rf"""{_TAG_HEAD}(?:{_ATTRIBUTE})*\s*(?:[\w:-]+(?:=(?:"[^"<>]*|'[^'<>]*|[^\s"'<>]*)?)?)?/?\Z"""
)
# Beginnings that are certainly not prose: they are blanked, and so is what later text adds to them.
_OPEN_LINK: Final = re.compile(rf'{_DESTINATION}(?:\([^\s()]*|\s+"[^"\n]*)?\Z')
_OPEN_TAG: Final = re.compile(rf"""{_TAG_HEAD}(?:{_ATTRIBUTE})*\s+[\w:-]+=(?:"[^"<>]*|'[^'<>]*|[^\s"'<>]*)\Z""")

_KIND: Final = re.compile(
    r"""\s*(?:
    (?P<fence>```|~~~)
    |(?P<heading>\#{1,6}\s)
    |(?P<item>(?:[-*+•]|\d{1,3}[.)])\s)
    |(?P<quote>>)
    |(?P<table>\|)
    |\S)""",
    re.VERBOSE,
)
_FENCE_LINE: Final = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_TABLE_LINE: Final = re.compile(r"^[ \t]*\|.*$", re.MULTILINE)
_LINE_MARKS: Final = re.compile(
    r"""^(?:
    [ \t]*(?:```|~~~).*                                   # a fence and its language
    |[ \t]*(?:-[ \t]*){3,}$|[ \t]*(?:\*[ \t]*){3,}$       # a rule
    |[ \t]*(?:_[ \t]*){3,}$|[ \t]*={3,}[ \t]*$
    |[ \t]*\|[-:|\ \t]+$                                  # the line under the head of a table
    |[ \t]*(?:>[ \t]*)*(?:\#{1,6}|[-*+•](?:[ \t]+\[[ xX]\])?)(?=\s)
    |[ \t]*(?:>[ \t]*)+
    )""",
    re.VERBOSE | re.MULTILINE,
)
# Whether emphasis touches an ASCII letter or digit decides: in "2*3" and "snake_case" it is content,
# between ideographs, which know no spaces, it is a mark.
_INLINE_MARKS: Final = re.compile(
    rf"""
    \\(?P<escaped>[\\`*_{{}}\[\]()\#+\-.!|~<>])
    |`+|~~+
    |(?<![0-9A-Za-z])(?:\*{{1,3}}|_+)(?=\S)|(?<=\S)(?:\*{{1,3}}|_+)(?![0-9A-Za-z])
    |!?\[(?=[^\[\]]*(?:\][(\[]|\Z))
    |{_LINK.pattern}|{_OPEN_LINK.pattern}
    |\[\^[^\[\]\s]*\]|\]\[[^\[\]\n]*\]
    |<!--.*?-->
    |<(?:https?://|ftp://|mailto:)?(?P<address>[^\s<>]+[.@][^\s<>]+)>
    |{_TAG.pattern}|{_OPEN_TAG.pattern}
    |\b(?:https?|ftp)://|\bmailto:
    """,
    re.VERBOSE | re.DOTALL,
)
_TEXT: Final = Place.TEXT  # Python 3.11 looks members up slowly, and these are asked for with every block
_LINE: Final = Place.LINE
_HEADING: Final = Place.HEADING
_NEVER_SPOKEN: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Without one of these there is nothing to blank. To delete them from bytes takes half as long as to search for them.
_MAYBE_ON_LINE: Final = re.compile(r"[-*_=|>#•+`~]")
_MAYBE_INLINE_ASCII: Final = b"*_`~[]<\\/@\x7f" + bytes({*range(0x20)} - {*b"\t\n\v\f\r"})
_MAYBE_INLINE: Final = re.compile(r"[*_`~\[\]<\\/@\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class Construct(NamedTuple):
    """A link's destination or an HTML tag; `stop` is 0 where its end is not seen yet."""

    start: int
    stop: int


def read(text: str, place: Place) -> tuple[str, Place]:
    """Return what is spoken of `text`, which begins at `place`, and the place behind it."""
    if (place is _TEXT or place is _LINE) and not _may_have_inline_marks(text):
        if place is _TEXT and "\n" not in text:
            return text, place
        return _line_marks(text, place), _place_in_line(text, place)
    return speakable(text, place), place_after(text, place)


def speakable(text: str, place: Place) -> str:
    """Return `text` with what is never spoken blanked by spaces; `place` is where it begins."""
    if place is Place.FENCE:
        return _blank(text) if _FENCE_LINE.match(text.lstrip()) else _NEVER_SPOKEN.sub(" ", text)
    done = _rest_of_construct(text, place)
    if done:
        return _blank(text[:done]) + speakable(text[done:], Place.TEXT)
    text = _line_marks(text, place)
    if not _may_have_inline_marks(text):
        return text
    return _NEVER_SPOKEN.sub(" ", _INLINE_MARKS.sub(_blank_mark, text))


def place_after(text: str, place: Place) -> Place:
    """Return what the text behind `text` stands inside of; `place` is where `text` begins."""
    if place is Place.FENCE or "```" in text or "~~~" in text:
        return _place_behind_fences(text, place)
    if "](" in text and _OPEN_LINK.search(text):
        return Place.LINK
    if "<" in text and _OPEN_TAG.search(text):
        return Place.TAG
    if place in {Place.LINK, Place.TAG}:
        place = place if _rest_of_construct(text, place) == len(text) else Place.TEXT
    return _place_in_line(text, place)


def construct_at(text: str, at: int) -> Construct | None:
    """The link's destination or tag of `text` that `at` stands inside of."""
    for opener, whole, begun in (("](", _LINK, _LINK_BEGUN), ("<", _TAG, _TAG_BEGUN)):
        start = text.rfind(opener, 0, at)
        if start < 0:
            continue
        match = whole.match(text, start)
        if match and match.end() > at:
            return Construct(start, match.end())
        if match is None and begun.match(text, start):
            return Construct(start, 0)
    return None


def ends_heading(text: str, place: Place) -> bool:
    """Whether the last line of `text` that is not blank is a heading."""
    if place is not _HEADING and "#" not in text:
        return False
    begin = text.rstrip().rfind("\n") + 1
    return (kind_of_line(text, begin) if begin or place is Place.LINE else place) is Place.HEADING


def kind_of_line(text: str, begin: int = 0) -> Place:
    """Return what the line of `text` that begins at `begin` is; `LINE` where it is still blank."""
    match = _KIND.match(text, begin)
    if match is None:
        return _LINE
    return Place(match.lastgroup) if match.lastgroup else _TEXT


def _place_in_line(text: str, place: Place) -> Place:
    newline = text.rfind("\n")
    if newline >= 0:
        return kind_of_line(text, newline + 1) if newline + 1 < len(text) else _LINE
    return kind_of_line(text) if place is _LINE else place


def _place_behind_fences(text: str, place: Place) -> Place:
    begin = 0 if place in {Place.LINE, Place.FENCE} else text.find("\n") + 1 or len(text)
    fences = len(_FENCE_LINE.findall(text, begin))
    if (fences % 2 == 1) != (place is Place.FENCE):
        return Place.FENCE
    return _place_in_line(text, Place.LINE if place is Place.FENCE else place)


def _rest_of_construct(text: str, place: Place) -> int:
    """Length of what still belongs to a link or tag that an earlier block began; it may be all of `text`."""
    if place is Place.LINK:
        closed = re.match(r'[^\s()]*(?:\([^\s()]*\)[^\s()]*)*(?:\s+"[^"\n]*"|[^\n"]*")?\s*\)', text)
        return closed.end() if closed else _length_if(re.fullmatch(r"\S+", text))
    if place is Place.TAG:
        return _length_if(re.match(r"[^<>]*>", text)) or _length_if(re.fullmatch(r"\S+", text))
    return 0


def _length_if(match: re.Match[str] | None) -> int:
    return match.end() if match else 0


def _may_have_inline_marks(text: str) -> bool:
    if text.isascii():
        return len(text.encode().translate(None, _MAYBE_INLINE_ASCII)) < len(text)
    return _MAYBE_INLINE.search(text) is not None


def _line_marks(text: str, place: Place) -> str:
    begin = 0 if place is _LINE else text.find("\n") + 1
    if place is Place.TABLE:
        stop = begin or len(text)
        return _unpiped(text[:stop]) + _line_marks(text[stop:], Place.LINE)
    if (begin == 0 and place is not _LINE) or _MAYBE_ON_LINE.search(text, begin) is None:
        return text
    lines = _LINE_MARKS.sub(_blank_mark_of_line, text[begin:])
    if "|" in lines:
        lines = _TABLE_LINE.sub(lambda row: _unpiped(row[0]), lines)
    return text[:begin] + lines


def _unpiped(row: str) -> str:
    return row.replace("|", " ")


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _blank_mark_of_line(mark: re.Match[str]) -> str:
    return _blank(mark[0])


def _blank_mark(mark: re.Match[str]) -> str:
    kept = mark["escaped"] or mark["address"]
    if kept is None:
        return _blank(mark[0])
    before, _, behind = mark[0].rpartition(kept)
    return " " * len(before) + kept + " " * len(behind)
