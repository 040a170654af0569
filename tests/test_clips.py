from __future__ import annotations

from voicewire.clips import Clip
from voicewire.types import Format, Phoneme, Slice, Word

ONE = Slice([b"a", b"bc"], (Word(0, 1, 0, 5),), False, (Phoneme("a", 0, 5),))
TWO = Slice([b"d"], (Word(2, 3, 5, 9), Word(4, 5, 9, 12)), True)


def test_a_clip_is_whole_with_all_that_its_slices_hold() -> None:
    clip = Clip("", Format(), (ONE, TWO))
    assert clip.whole == Slice([*ONE.packets, *TWO.packets], ONE.words + TWO.words, True, ONE.phonemes)
    assert clip.frames == len(clip.whole.packets)
    assert clip.slices == (ONE, TWO)


def test_a_clip_of_one_slice_is_that() -> None:
    assert Clip("", Format(), (TWO,)).whole is TWO
