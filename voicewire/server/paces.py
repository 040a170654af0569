"""How long a text is expected to sound: by what is read out, and by what the tenant's texts took before."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import NamedTuple

from voicewire.server.spoken import Spoken
from voicewire.timeline import SPOKEN_CHAR_S
from voicewire.types import Block

PACES_MAX = 1_000
MEMORY_LETTERS = 1_500  # of what a voice said last
GUESSED_LETTERS = 300  # what the first guess weighs: a word by itself is mostly silence, and proves little
UNIT_MS = SPOKEN_CHAR_S * 1000  # of a letter, before anything is learnt
DIGIT_LETTERS = 7
WIDE_LETTERS = 3
READ_OUT = re.compile(r"[\d$€£¥%&@#+=*/<>^°]+")
WIDE = re.compile("[\u2e80-\U0010ffff]+")  # the scripts of East Asia, and what comes behind them


class _Heard(NamedTuple):
    """So many letters took so long; of both, what is long ago is partly forgotten."""

    letters: float
    ms: float


GUESS = _Heard(GUESSED_LETTERS, GUESSED_LETTERS * UNIT_MS)


class Paces:
    """How long what is read takes, by tenant and voice, learnt from what was spoken; bounded.

    Nobody's text moves another's estimate, no text moves it beyond half or twice the first guess, and a text counts
    by its length.
    """

    def __init__(self) -> None:
        self._heard: OrderedDict[tuple[str, str], _Heard] = OrderedDict()

    def estimate_ms(self, spoken: Spoken, block: Block, speed: float) -> int:
        """Return about how long `block` will sound."""
        heard = self._heard.get(_pace_of(spoken), GUESS)
        return max(1, int(heard.ms / heard.letters * weight(block.spoken) / speed))

    def learn(self, spoken: Spoken, block: Block, audio_ms: int, speed: float) -> None:
        """Take in that `block` took `audio_ms`."""
        letters = weight(block.spoken)
        guess_ms = letters * UNIT_MS
        newest = _Heard(letters, min(2 * guess_ms, max(guess_ms / 2, audio_ms * speed)))
        before = self._heard.pop(_pace_of(spoken), GUESS)
        keep = MEMORY_LETTERS / (MEMORY_LETTERS + letters)
        self._heard[_pace_of(spoken)] = _Heard(before.letters * keep + newest.letters, before.ms * keep + newest.ms)
        if len(self._heard) > PACES_MAX:
            self._heard.popitem(last=False)


def weight(text: str) -> int:
    """Return how much there is to say, in letters: digits and signs are read as words, wide characters as syllables."""
    read_out = sum(map(len, READ_OUT.findall(text)))
    wide = 0 if text.isascii() else sum(map(len, WIDE.findall(text)))
    return max(1, len(text) + (DIGIT_LETTERS - 1) * read_out + (WIDE_LETTERS - 1) * wide)


def _pace_of(spoken: Spoken) -> tuple[str, str]:
    return spoken.principal.tenant, spoken.voice
