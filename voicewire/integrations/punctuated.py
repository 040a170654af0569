"""Words of the wire as the frameworks take them: with the punctuation behind them, so that they add up to the text."""

from __future__ import annotations

import re
from typing import NamedTuple

from voicewire.frames import Words

PUNCTUATION = re.compile(r"[^\w\s]*")
MS = 1_000


class Token(NamedTuple):
    """A word with the space before and the punctuation behind it, in seconds from the first sample."""

    text: str
    start_s: float
    end_s: float


class Punctuated:
    """How far the words of one utterance have come in its text."""

    def __init__(self) -> None:
        self._at = 0

    def take(self, text: str, words: Words) -> list[Token]:
        """Return the words of a message, which are behind those before, as parts of the utterance's `text`."""
        followers = [word[0] for word in words.words[1:]] + [len(text)]
        return [
            self._token(text, stop, follower, start_ms, end_ms)
            for (_, stop, start_ms, end_ms), follower in zip(words.words, followers, strict=True)
        ]

    def _token(self, text: str, stop: int, follower: int, start_ms: int, end_ms: int) -> Token:
        punctuated = PUNCTUATION.match(text, stop, max(stop, follower))
        assert punctuated
        token = Token(text[self._at : punctuated.end()], start_ms / MS, end_ms / MS)
        self._at = punctuated.end()
        return token
