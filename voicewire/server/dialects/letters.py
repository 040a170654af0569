"""When each character sounds, from when each word does: what ElevenLabs' clients ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Letters(NamedTuple):
    """Characters in their order, and when each begins and ends, in milliseconds; they follow each other gaplessly."""

    characters: list[str]
    starts_ms: list[int]
    ends_ms: list[int]

    def then(self, more: Letters) -> Letters:
        """Return these, and those behind them."""
        return Letters(self.characters + more.characters, self.starts_ms + more.starts_ms, self.ends_ms + more.ends_ms)


class Alignment:
    """Gives every character of a text out once. A word's time is shared evenly among its characters."""

    def __init__(self) -> None:
        self.text = ""
        self._given = 0  # characters
        self.ended_ms = 0  # the last of them

    def push(self, text: str) -> None:
        self.text += text

    def take(self, words: Sequence[tuple[int, int, int, int]]) -> Letters:
        """Return the characters up to the last of these words, `(a, b, start_ms, end_ms)`, and its marks."""
        letters = Letters([], [], [])
        for start, stop, begins_ms, ends_ms in words:
            if stop > self._given:  # its first mark may have gone with the word before it
                self._share(letters, max(start, self._given), begins_ms)
                self._share(letters, stop, ends_ms)
        behind = self._given
        while behind < len(self.text) and not self.text[behind].isalnum():
            behind += 1
        self._share(letters, behind, self.ended_ms)
        return letters

    def rest(self, until_ms: int) -> Letters:
        """Return the characters that are left."""
        letters = Letters([], [], [])
        self._share(letters, len(self.text), until_ms)
        return letters

    def _share(self, letters: Letters, stop: int, until_ms: int) -> None:
        count, begins_ms = stop - self._given, self.ended_ms
        until_ms = max(until_ms, begins_ms)
        for nth in range(count):
            letters.characters.append(self.text[self._given + nth])
            letters.starts_ms.append(begins_ms + (until_ms - begins_ms) * nth // count)
            letters.ends_ms.append(begins_ms + (until_ms - begins_ms) * (nth + 1) // count)
        self._given, self.ended_ms = stop, until_ms if count else begins_ms
