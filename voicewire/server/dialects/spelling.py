"""Words as vendors' clients want them: with the marks that stand at them, so that they join to the text again."""

from __future__ import annotations

from collections.abc import Sequence


class Spelling:
    """The text of one utterance, as it comes, and how its words are written there."""

    def __init__(self) -> None:
        self.text = ""
        self._spelt = 0  # up to here it was given out

    def push(self, text: str) -> None:
        self.text += text

    def words(self, spans: Sequence[tuple[int, int]]) -> list[str]:
        """Return how the words at `spans`, ascending, are written: each with what stands at it without a space."""
        return [self._word(start, stop) for start, stop in spans]

    def _word(self, start: int, stop: int) -> str:
        before = start
        while before > self._spelt and not self.text[before - 1].isspace():
            before -= 1
        behind = stop
        while behind < len(self.text) and not (self.text[behind].isspace() or self.text[behind].isalnum()):
            behind += 1
        self._spelt = behind
        return self.text[before:behind]
