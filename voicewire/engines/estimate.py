"""When the words of finished speech sound, where its engine does not say: estimated, and to be marked as such."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from voicewire.spans import Span, word_spans
from voicewire.timing import share
from voicewire.types import Pcm, Word

FRAME_MS = 10
PAUSE_MS = 120
BELOW_PEAK = 100  # 40 dB
BREAKS = frozenset(",.;:!?…—–\n，。；：！？、")


class Stretch(NamedTuple):
    """Samples `[begins, ends)` in which something is heard."""

    begins: int
    ends: int


def estimate_words(text: str, pcm: Pcm, rate_hz: int) -> tuple[Word, ...]:
    """Place the words of `text` in `pcm`, all of its speech.

    Where the audio has a pause for every punctuation mark between words, phrases lie between the pauses,
    the longest where there are more; inside of a phrase, or else of the whole, words take time by length.
    """
    spans = [span for span in word_spans(text) if span.sure]
    heard = stretches(pcm, rate_hz)
    if not spans or not heard:
        return ()
    phrases = _phrases(text, spans)
    joined = _join(heard, len(phrases)) if len(heard) >= len(phrases) else _join(heard, 1)
    if len(joined) < len(phrases):
        phrases = [spans]
    return tuple(word for phrase, at in zip(phrases, joined, strict=True) for word in share(phrase, *at))


def stretches(pcm: Pcm, rate_hz: int) -> list[Stretch]:
    """Where something is heard, between pauses of at least 120 ms."""
    size = FRAME_MS * rate_hz // 1000
    frames = np.abs(np.pad(pcm.astype(np.int32), (0, -len(pcm) % size)).reshape(-1, size)).max(axis=1, initial=0)
    loud = np.flatnonzero(frames > frames.max(initial=0) // BELOW_PEAK)
    if not len(loud):
        return []
    gaps = np.flatnonzero(np.diff(loud) > PAUSE_MS // FRAME_MS)
    firsts = [loud[0], *(loud[gap + 1] for gap in gaps)]
    lasts = [*(loud[gap] for gap in gaps), loud[-1]]
    return [
        Stretch(int(first) * size, min((int(last) + 1) * size, len(pcm)))
        for first, last in zip(firsts, lasts, strict=True)
    ]


def _phrases(text: str, spans: list[Span]) -> list[list[Span]]:
    phrases = [[spans[0]]]
    for before, span in pairwise(spans):
        if BREAKS.isdisjoint(text[before.stop : span.start]):
            phrases[-1].append(span)
        else:
            phrases.append([span])
    return phrases


def _join(heard: list[Stretch], count: int) -> list[Stretch]:
    """Join stretches over their shortest pauses until `count` are left."""
    pauses = sorted(range(1, len(heard)), key=lambda nth: heard[nth].begins - heard[nth - 1].ends, reverse=True)
    cuts = [0, *sorted(pauses[: count - 1]), len(heard)]
    return [Stretch(heard[first].begins, heard[last - 1].ends) for first, last in pairwise(cuts)]
