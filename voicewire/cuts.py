"""Where to cut a text that offers no edge: it is too long, or its listener has waited long enough."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from voicewire.punctuation import CLAUSE_MARKS, CLOSERS, WIDE_CLAUSE_MARKS, WIDE_ENDERS
from voicewire.speakable import construct_at

_SHORTEST_HURRIED: Final = 4  # code points; less is no head start
_LONGEST_CLUSTER: Final = 32

_CLOSING = f"[{re.escape(CLOSERS)}]*"
_SPACE: Final = re.compile(r"\s+")
_CLAUSE: Final = re.compile(
    rf"(?:[!?…]|(?<=\w{{4}})\.|[{re.escape(CLAUSE_MARKS)}]){_CLOSING}\s+"
    rf"|[{re.escape(WIDE_CLAUSE_MARKS + WIDE_ENDERS)}]+{_CLOSING}\s*"
)


def forced_edge(view: str, limit: int) -> int:
    """The best place to cut `view` at 1 to `limit`, where `len(view) > limit`: clause, else space, else anywhere.

    Looks at nothing behind `view[limit]`.
    """
    for pattern, least in ((_CLAUSE, limit // 4), (_SPACE, 0)):
        edge = _last_cut(pattern, view[: limit + 1], limit)
        if edge > least and view[:edge].strip():
            return edge
    return _between_clusters(view, limit)


def hurried_edge(pending: str, limit: int) -> int:
    """The best place to cut a first clause out of `pending`, at most `limit`; 0 where there is none."""
    for pattern in (_CLAUSE, _SPACE):
        edge = _last_cut(pattern, pending, min(limit, len(pending)))
        if len(pending[:edge].strip()) >= _SHORTEST_HURRIED and any(map(str.isalnum, pending[:edge])):
            return edge
    return 0


def _last_cut(pattern: re.Pattern[str], text: str, limit: int) -> int:
    """The last match that begins inside the limit and outside of links and tags, cut at the limit; or 0."""
    best = 0
    for match in pattern.finditer(text):
        mark_end = len(match[0].rstrip()) + match.start()
        if mark_end < limit or (mark_end == limit and match.end() > mark_end):
            best = best if construct_at(text, match.start()) else min(match.end(), limit)
    return best


def _between_clusters(view: str, limit: int) -> int:
    """The last place up to `limit` that divides no grapheme cluster; `limit` where clusters are that long."""
    for edge in range(limit, max(0, limit - _LONGEST_CLUSTER), -1):
        if not _joined(view[edge - 1], view[edge]) and not _divides_flag(view, edge):
            return edge
    return limit


def _joined(before: str, behind: str) -> bool:
    if "\ud800" <= before <= "\udbff" and "\udc00" <= behind <= "\udfff":
        return True
    return (
        before == "\u200d"
        or behind in "\u200c\u200d\u20e3"
        or (before == "\r" and behind == "\n")
        or unicodedata.category(behind).startswith("M")
        or "\U0001f3fb" <= behind <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= behind <= "\U000e007f"  # tags of a flag
        or "\u1160" <= behind <= "\u11ff"  # vowels and finals of a Hangul syllable
    )


def _divides_flag(view: str, edge: int) -> bool:
    begin = edge
    while begin > 0 and "\U0001f1e6" <= view[begin - 1] <= "\U0001f1ff":
        begin -= 1
    return (edge - begin) % 2 == 1 and "\U0001f1e6" <= view[edge] <= "\U0001f1ff"
