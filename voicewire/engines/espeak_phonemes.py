"""From espeak's events to phonemes: pure."""

from __future__ import annotations

import unicodedata

from voicewire.types import Phoneme

_STRESS = str.maketrans("", "", "ˈˌ")
_SWITCH = "("  # "(en)": espeak reads what follows as another language
_MODIFIERS = frozenset({"Lm", "Mn"})  # categories of Unicode: "ʲ" alone belongs to the consonant before it


class Sounds:
    """Gathers phonemes, each of which lasts until the next begins, or a silence, or a word."""

    def __init__(self) -> None:
        self._symbol = ""  # what has begun and not ended
        self._begins = self._ends = 0
        self._done: list[Phoneme] = []

    @property
    def held(self) -> int | None:
        """The sample at which the phoneme begins whose end is not yet known; None when there is none."""
        return self._begins if self._symbol else None

    def sound(self, name: bytes, sample: int) -> None:
        """A phoneme begins, as espeak calls it in the IPA: eight bytes at most, and stress with it."""
        symbol = name.decode(errors="ignore").translate(_STRESS)
        if self._symbol and symbol and all(unicodedata.category(mark) in _MODIFIERS for mark in symbol):
            self._symbol += symbol
            return
        self.stop(sample)
        if not symbol.startswith(_SWITCH):
            self._symbol, self._begins = symbol, max(sample, self._ends)

    def stop(self, sample: int) -> None:
        """What sounds ends here."""
        if self._symbol and sample > self._begins:
            self._done.append(Phoneme(self._symbol, self._begins, sample))
            self._ends = sample
        self._symbol = ""

    def taken(self) -> tuple[Phoneme, ...]:
        """The phonemes completed since the last call, ascending."""
        done, self._done = tuple(self._done), []
        return done
