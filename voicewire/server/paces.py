"""How long a text is expected to sound: by what is read out, and by what the tenant's texts took before."""

from __future__ import annotations

from collections import OrderedDict

from voicewire.server.spoken import Spoken
from voicewire.timeline import SPOKEN_CHAR_S
from voicewire.types import Block

PACES_MAX = 1_000
LEARNING = 0.2  # share of the newest block in a voice's pace
UNIT_MS = SPOKEN_CHAR_S * 1000  # of a letter, before anything is learnt
DIGIT_LETTERS = 7
WIDE_LETTERS = 3
FIRST_WIDE = "\u2e80"  # of the scripts of East Asia
READ_OUT = frozenset("$€£¥%&@#+=*/<>^°")


class Paces:
    """How long what is read takes, by tenant and voice, learnt from what was spoken; bounded.

    Nobody's text moves another's estimate, and no text moves it beyond half or twice the first guess.
    """

    def __init__(self) -> None:
        self._unit_ms: OrderedDict[tuple[str, str], float] = OrderedDict()

    def estimate_ms(self, spoken: Spoken, block: Block, speed: float) -> int:
        """Return about how long `block` will sound."""
        unit_ms = self._unit_ms.get(_pace_of(spoken), UNIT_MS)
        return max(1, int(unit_ms * weight(block.spoken) / speed))

    def learn(self, spoken: Spoken, block: Block, audio_ms: int, speed: float) -> None:
        """Take in that `block` took `audio_ms`."""
        newest = min(2 * UNIT_MS, max(UNIT_MS / 2, audio_ms * speed / weight(block.spoken)))
        before = self._unit_ms.pop(_pace_of(spoken), newest)
        self._unit_ms[_pace_of(spoken)] = before + LEARNING * (newest - before)
        if len(self._unit_ms) > PACES_MAX:
            self._unit_ms.popitem(last=False)


def weight(text: str) -> int:
    """Return how much there is to say, in letters: digits and signs are read as words, wide characters as syllables."""
    return max(1, len(text) + sum(map(_more, text)))


def _more(character: str) -> int:
    if character.isdigit() or character in READ_OUT:
        return DIGIT_LETTERS - 1
    return WIDE_LETTERS - 1 if character >= FIRST_WIDE else 0


def _pace_of(spoken: Spoken) -> tuple[str, str]:
    return spoken.principal.tenant, spoken.voice
