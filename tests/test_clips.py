from __future__ import annotations

from voicewire.clips import GATHERED_BYTES, Clip
from voicewire.types import Format, Phoneme, Slice, Word

ONE = Slice([b"a", b"bc"], (Word(0, 1, 0, 5),), False, (Phoneme("a", 0, 5),))
TWO = Slice([b"d"], (Word(2, 3, 5, 9), Word(4, 5, 9, 12)), True)
LARGE = Slice([bytes(GATHERED_BYTES)], (), False)


def gathered(*slices: Slice) -> list[Slice]:
    return [*Clip("", Format(), slices).gathered()]


def test_small_slices_are_gathered_with_all_that_they_hold() -> None:
    assert gathered(ONE, TWO) == [Slice([*ONE.packets, *TWO.packets], ONE.words + TWO.words, True, ONE.phonemes)]


def test_what_is_large_stays_apart() -> None:
    last = Slice([], (), True)
    assert gathered(ONE, LARGE, LARGE, TWO) == [
        Slice([*ONE.packets, *LARGE.packets], ONE.words, False, ONE.phonemes),
        LARGE,
        TWO,
    ]
    assert gathered(LARGE, last) == [LARGE, last]
