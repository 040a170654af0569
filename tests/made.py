"""Blocks made by arithmetic: what an engine and an encoder would give, without either, for the pure state machines."""

from __future__ import annotations

from collections.abc import Callable

from voicewire.context import Context
from voicewire.spans import word_spans
from voicewire.timeline import Making
from voicewire.types import Block, Format, Phoneme, Slice, Word

FRAMES_PER_CHAR = 3
FRAMES_PER_SLICE = 20


def slices(block: Block, format: Format) -> list[Slice]:
    """Return a block's slices: a character lasts 3 frames, a letter is a phoneme, a packet says which frame it is."""
    frame = format.frame_samples
    total = FRAMES_PER_CHAR * len(block.spoken)
    words = [
        Word(span.start, span.stop, FRAMES_PER_CHAR * frame * span.start, FRAMES_PER_CHAR * frame * span.stop)
        for span in word_spans(block.spoken)
    ]
    phonemes = [
        Phoneme(block.spoken[at], FRAMES_PER_CHAR * frame * at, FRAMES_PER_CHAR * frame * (at + 1))
        for at in range(len(block.spoken))
        if block.spoken[at].isalnum()
    ]
    cut = []
    for at in range(0, total, FRAMES_PER_SLICE):
        until = min(total, at + FRAMES_PER_SLICE)
        packets = [f"{block.start}:{number}".encode() for number in range(at, until)]
        inside = tuple(word for word in words if at * frame <= word.begins < until * frame)
        pronounced = tuple(phoneme for phoneme in phonemes if at * frame <= phoneme.begins < until * frame)
        cut.append(Slice(packets, inside, until == total, pronounced))
    return cut


def make(context: Context, now: float, wanted: Callable[[Making], bool] = lambda _: True) -> None:
    """Make everything that the context wants by `now`, at once."""
    while makings := [making for making in context.wanted(now) if wanted(making)]:
        for making in makings:
            for slice in slices(making.block, context.plan.format):
                context.rendered(making.index, slice, cached=False)
