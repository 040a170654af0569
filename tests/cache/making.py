"""Clips for tests: any size, each another."""

from __future__ import annotations

import hashlib
import random

from voicewire.clips import Clip, Take
from voicewire.types import Format, Slice, Word


def key_of(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def clip_of(number: int, size_bytes: int = 5_000, scope: str = "t_one") -> Clip:
    """A clip of three slices, about `size_bytes` large."""
    rng = random.Random(number)
    slices, frame = [], 0
    for last in (False, False, True):
        packets, size = [], 0
        while size < size_bytes // 3:
            packets.append(rng.randbytes(rng.randint(1, 200)))
            size += len(packets[-1])
        words = (Word(frame, frame + 3, frame * 480, frame * 480 + 300),)
        slices.append(Slice(packets, words, last))
        frame += len(packets)
    return Clip(scope, Format(), tuple(slices))


def take_of(number: int, size_bytes: int = 5_000) -> Take:
    return Take(random.Random(number).randbytes(size_bytes))


def any_of(number: int) -> Clip | Take:
    """A clip or a take that takes its time to write."""
    if number % 2:
        return take_of(number, 2_000_000)
    return Clip("t_one", Format(), (Slice([bytes([number]) * 100_000] * 20, (), True),))
