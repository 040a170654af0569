"""Blocks in, runs out: what is made when, and how slices that arrive in any order are laid end to end."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from voicewire.timeline import SPOKEN_CHAR_S, Making, Run, Timeline, joined
from voicewire.types import Block, Slice, Word

RATE_HZ = 24_000
FRAME = 480
CHARS = 10
FOREVER = 3_600 * RATE_HZ


def timeline(blocks: int, speed: float = 1.0) -> Timeline:
    """A timeline with so many blocks of `CHARS` characters."""
    line = Timeline(FRAME, RATE_HZ, speed)
    for number in range(blocks):
        line.add(Block(number * CHARS, "x" * CHARS, "x" * CHARS, 0))
    return line


def slice_of(frames: int, *words: Word, last: bool = False) -> Slice:
    return Slice([b"%d" % number for number in range(frames)], words, last)


def indexes(makings: Sequence[Making]) -> list[int]:
    return [making.index for making in makings]


def test_the_first_block_is_made_alone_and_each_is_asked_for_once() -> None:
    line = timeline(4)
    assert indexes(line.wanted(0.0, 0, FOREVER)) == [0]
    assert line.wanted(0.0, 0, FOREVER) == []
    line.lay(0, slice_of(1), cached=False)
    assert indexes(line.wanted(0.0, 0, FOREVER)) == [1], "its sound has begun: the next may be made beside it"
    line.lay(0, slice_of(1, last=True), cached=False)
    assert indexes(line.wanted(0.0, 0, FOREVER)) == [2]


def test_a_block_is_due_when_the_listener_runs_dry() -> None:
    line = timeline(3, speed=2.0)
    assert line.wanted(7.0, 0, FOREVER)[0].due == 7.0
    line.lay(0, slice_of(100), cached=False)  # more than was guessed: two seconds
    [second] = line.wanted(7.0, RATE_HZ, FOREVER)
    assert second.due == 8.0
    line.lay(0, slice_of(0, last=True), cached=False)
    [third] = line.wanted(7.0, RATE_HZ, FOREVER)
    assert math.isclose(third.due, 8.0 + CHARS * SPOKEN_CHAR_S / 2)


def test_nothing_is_made_that_is_too_far_ahead() -> None:
    line = timeline(3)
    line.wanted(0.0, 0, FOREVER)
    line.lay(0, slice_of(100, last=True), cached=False)
    assert line.wanted(0.0, 0, 100 * FRAME - 1) == []
    assert indexes(line.wanted(0.0, 1, 100 * FRAME - 1)) == [1]


def test_what_nobody_pays_for_is_not_made() -> None:
    line = timeline(3)
    line.bar(1)
    line.bar(2)  # the first bar holds
    assert indexes(line.wanted(0.0, 0, FOREVER)) == [0]
    line.lay(0, slice_of(1, last=True), cached=False)
    assert line.wanted(0.0, 0, FOREVER) == []
    assert not line.barred, "what was made is not taken yet"
    line.ready.clear()
    assert line.barred
    assert not line.idle


def test_words_and_positions_are_those_of_the_whole_utterance() -> None:
    line = timeline(2)
    line.lay(0, slice_of(3, Word(0, 2, 0, 480), last=True), cached=True)
    [run] = line.lay(1, slice_of(2, Word(1, 4, 480, 960)), cached=False)
    assert run == Run(
        1, CHARS, 2 * CHARS, True, False, False, 3 * FRAME, 3, 3 * FRAME, [Word(11, 14, 1_920, 2_400)], [b"0", b"1"]
    )
    [rest] = line.lay(1, slice_of(1, last=True), cached=False)
    assert (rest.first, rest.last, rest.begins, rest.seq, rest.pts) == (False, True, 3 * FRAME, 5, 5 * FRAME)
    assert [run.cached for run in line.ready] == [True, False, False]


def test_frames_that_were_made_before_a_resume_are_not_laid_again() -> None:
    line = timeline(1)
    line.pieces[0].skip = 3
    assert line.lay(0, slice_of(2), cached=False) == []
    [run] = line.lay(0, slice_of(4, last=True), cached=False)
    assert run.packets == [b"1", b"2", b"3"]
    assert line.seq == 3


def test_slices_that_nobody_waits_for_change_nothing() -> None:
    line = timeline(2)
    line.lay(0, slice_of(1, last=True), cached=False)
    assert [line.lay(index, slice_of(1), cached=False) for index in (-1, 0, 2)] == [[], [], []]
    assert (line.seq, line.made) == (1, FRAME)


@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=4), min_size=1, max_size=5), st.randoms())
def test_whatever_order_slices_come_in_they_are_laid_in_order(blocks: list[list[int]], dice: random.Random) -> None:
    line = timeline(len(blocks))
    coming = [
        [(index, slice_of(frames, last=at == len(sizes) - 1)) for at, frames in enumerate(sizes)]
        for index, sizes in enumerate(blocks)
    ]
    while any(coming):
        index, slice = dice.choice([each for each in coming if each]).pop(0)
        line.lay(index, slice, cached=False)
    runs = list(line.ready)
    assert [run.block for run in runs] == sorted(run.block for run in runs)
    assert [len(run.packets) for run in runs] == [frames for sizes in blocks for frames in sizes]
    assert [run.pts for run in runs] == [run.seq * FRAME for run in runs]
    assert [run.first for run in runs].count(True) == [run.last for run in runs].count(True) == len(blocks)
    assert joined(runs, line.seq)
    assert not line.pieces
    line.ready.clear()
    assert line.idle


def test_a_run_that_is_missing_is_noticed() -> None:
    line = timeline(1)
    for number in range(4):
        line.lay(0, slice_of(2, last=number == 3), cached=False)
    runs = list(line.ready)
    assert joined(runs, 8)
    assert joined(runs[1:], 8), "what came first may be gone on purpose"
    assert joined([], 8)
    assert not joined(runs[:-1], 8)
    assert not joined([runs[0], *runs[2:]], 8)
