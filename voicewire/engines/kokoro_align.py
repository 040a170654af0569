"""Which part of a clause's phonemes each of its words is: pure.

A G2P reads a clause better than its words one by one: sounds are bound across words, "de la" becomes
one, "23" becomes several. But it does not say which is which; the words read alone tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import accumulate, pairwise

_NEAR = 2  # phonemes from a boundary within which a space is taken for it


def align(clause: str, alone: Sequence[str]) -> list[str]:
    """Cut the phonemes of a clause into as many parts as there are words, given the words' own phonemes.

    The parts, joined, are the clause. A part is empty where a word is not heard, or only in its neighbour.
    """
    counts = [len(word.split()) for word in alone]
    one_to_one = sum(counts) == len(clause.split())
    cuts = _after_words(clause, counts) if one_to_one else _after_likeness(clause, alone)
    return [clause[start:stop] for start, stop in pairwise([0, *cuts, len(clause)])]


def _after_words(clause: str, counts: Sequence[int]) -> list[int]:
    starts = [at for at in range(len(clause)) if clause[at] != " " and (at == 0 or clause[at - 1] == " ")]
    starts.append(len(clause))
    return [starts[count] for count in accumulate(counts[:-1])]


def _after_likeness(clause: str, alone: Sequence[str]) -> list[int]:
    joined = " ".join(alone)
    blocks = [(0, 0, 0), *SequenceMatcher(None, joined, clause, autojunk=False).get_matching_blocks()]
    cuts, floor = list[int](), 0
    for boundary in accumulate(len(word) + 1 for word in alone[:-1]):
        floor = max(floor, _carried(clause, boundary, blocks))
        cuts.append(floor)
    return cuts


def _carried(clause: str, boundary: int, blocks: Sequence[tuple[int, int, int]]) -> int:
    """Return where `boundary` lies in the clause: exact where both read alike, near a space elsewhere."""
    for (start, at, size), (next_start, next_at, _) in pairwise(blocks):
        if boundary < start + size:
            return at + boundary - start
        if boundary < next_start:
            gap, next_gap = next_start - start - size, next_at - at - size
            return _snapped(clause, at + size + (boundary - start - size) * next_gap // gap)
    return blocks[-1][1]


def _snapped(clause: str, at: int) -> int:
    near = sorted(range(max(1, at - _NEAR), min(len(clause), at + _NEAR + 1)), key=lambda place: abs(place - at))
    return next((place for place in near if clause[place - 1] == " "), at)
