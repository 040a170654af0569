"""From the durations of a pass to phonemes in the letters of the IPA: pure.

The model's alphabet has letters of its own for diphthongs and affricates, and signs for stress, length and tone, each
with a duration. Source: misaki 0.9, `EN_PHONES.md`, and the vocabulary of Kokoro-82M.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from voicewire.engines.kokoro_text import FRAME_SAMPLES, Piece, origin
from voicewire.types import Phoneme

_IPA = {
    "A": "eɪ", "I": "aɪ", "O": "oʊ", "Q": "əʊ", "W": "aʊ", "Y": "ɔɪ", "T": "ɾ", "ᵊ": "ə",
    "ʤ": "dʒ", "ʧ": "tʃ", "ʣ": "dz", "ʦ": "ts", "ʥ": "dʑ", "ʨ": "tɕ", "ꭧ": "tʂ",
}  # fmt: skip
_STRESS = frozenset("ˈˌ")
_MODIFIERS = frozenset({"Lm", "Mn"})  # categories of Unicode


def phonemes_of(spoken: Sequence[Piece], durations: Sequence[int], offset: int) -> Iterator[Phoneme]:
    """Say when the phonemes of one pass sound, in samples from `offset`.

    `durations` are as for `place`. A sign of stress lasts as part of what it stands before, one of length, tone or
    nasality as part of what it stands behind. Punctuation and spaces are none.
    """
    begins = origin(durations, offset)
    lasting = iter(durations[1:])
    for piece in spoken:
        timed = [(symbol, next(lasting) * FRAME_SAMPLES) for symbol in piece.phonemes]
        if piece.words:
            yield from _sounding(timed, begins)
        begins += sum(samples for _, samples in timed)


def _sounding(timed: Sequence[tuple[str, int]], at: int) -> Iterator[Phoneme]:
    begun: Phoneme | None = None
    stress = 0
    for symbol, samples in timed:
        at += samples
        if symbol in _STRESS:
            stress += samples
        elif symbol in _IPA or (symbol.isalpha() and unicodedata.category(symbol) not in _MODIFIERS):
            if begun:
                yield begun
            begun = Phoneme(_IPA.get(symbol, symbol), at - samples - stress, at)
            stress = 0
        elif symbol.isspace():
            if begun:
                yield begun
            begun, stress = None, 0
        elif begun:
            written = symbol if unicodedata.category(symbol) in _MODIFIERS else ""
            begun = Phoneme(begun.symbol + written, begun.begins, at)
    if begun:
        yield begun
