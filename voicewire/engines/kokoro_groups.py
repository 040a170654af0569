"""Which rows go through the vocoder together: pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

WASTE = 0.25  # of padding, beside what the rows of a group need themselves


def groups(sizes: Sequence[int], rows_max: int, area_max: int) -> list[list[int]]:
    """Part the rows of these `sizes` into groups that are padded little; rows come in the order of their deadlines.

    The first row that has no group leads one, and is joined by the first of those behind it that fit: a group has
    `rows_max` rows, and `area_max` steps with its padding, except where a single row has more.
    """
    left, made = list(range(len(sizes))), list[list[int]]()
    while left:
        group = [left[0]]
        longest = total = sizes[left[0]]
        for nth in left[1:]:
            width = max(longest, sizes[nth])
            area = width * (len(group) + 1)
            if len(group) < rows_max and area <= min(area_max, (1 + WASTE) * (total + sizes[nth])):
                group.append(nth)
                longest, total = width, total + sizes[nth]
        left = [nth for nth in left if nth not in group]
        made.append(group)
    return made


def rung(ladder: Sequence[int], value: int) -> int:
    """The first of the ascending `ladder` that is not less than `value`; `value` where there is none."""
    at = bisect_left(ladder, value)
    return ladder[at] if at < len(ladder) else value
