"""Audio and the times of its characters, as an upstream gives them, to chunks with exact words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from voicewire.spans import Span, word_spans
from voicewire.types import Chunk, Pcm, Word

LOOK_AHEAD = 64  # characters of the text that an alignment may leave out in one place
BACK_S = 0.02  # how far a time may go back before it is taken for one of another clock


class Character(NamedTuple):
    """A character and when it sounds, in seconds."""

    text: str
    begins_s: float
    ends_s: float


class Alignment:
    """Gathers one utterance's audio and characters. A word goes with the audio in which it begins.

    Times count from the beginning of the utterance; where those of a message fall behind what was said
    before, they count from the audio that came before it: which of the two is meant, nobody documents.
    A word of which no character has a time gets none.
    """

    def __init__(self, text: str, rate_hz: int) -> None:
        self._text = text
        self._rate_hz = rate_hz
        self._spans = {position: span for span in word_spans(text) for position in range(span.start, span.stop)}
        self._at = 0  # in the text: what comes next
        self._pcm: list[Pcm] = []
        self._received = self._passed = 0  # samples
        self._words: list[Word] = []
        self._spoken: Span | None = None  # the word that has begun and not ended …
        self._begins = self._ends = 0  # … and when it sounds; then, where the last one ended
        self._latest_s = 0.0

    def push(self, pcm: Pcm, characters: Sequence[Character]) -> Chunk | None:
        """Take a message; return what is complete, if anything is."""
        back = bool(characters) and characters[0].begins_s < self._latest_s - BACK_S
        for character in characters:
            self._hear(character, self._received / self._rate_hz if back else 0.0)
        self._pcm.append(pcm)
        self._received += len(pcm)
        return self._cut(self._edge())

    def finish(self) -> Chunk | None:
        """The audio has ended: what is left."""
        self._close()
        last = self._received
        self._words = [word._replace(ends=min(word.ends, last)) for word in self._words if word.begins < last]
        return self._cut(last)

    def _hear(self, character: Character, shift_s: float) -> None:
        position = self._text.find(character.text, self._at, self._at + LOOK_AHEAD) if character.text else -1
        begins_s, ends_s = character.begins_s + shift_s, character.ends_s + shift_s
        if position < 0 or not math.isfinite(begins_s) or not math.isfinite(ends_s):
            return
        self._at = position + len(character.text)
        self._latest_s = max(self._latest_s, begins_s)
        span = self._spans.get(position)
        if span is None:
            return
        if span is not self._spoken:
            self._close()
            self._spoken = span
            self._begins = max(self._ends, self._passed, round(begins_s * self._rate_hz))
        self._ends = max(self._begins + 1, self._ends, round(ends_s * self._rate_hz))
        if self._at >= span.stop:
            self._close()

    def _close(self) -> None:
        if self._spoken:
            self._words.append(Word(self._spoken.start, self._spoken.stop, self._begins, self._ends))
            self._spoken = None

    def _edge(self) -> int:
        """How much may go: not the word that has no end yet, nor one whose end lies behind what was received."""
        edges = [self._received, *(word.begins for word in self._words if word.ends > self._received)]
        if self._spoken:
            edges.append(self._begins)
        return max(self._passed, min(edges))

    def _cut(self, edge: int) -> Chunk | None:
        samples = edge - self._passed
        if samples <= 0:
            return None
        pcm = np.concatenate(self._pcm)
        self._pcm = [pcm[samples:]]
        self._passed = edge
        words = tuple(word for word in self._words if word.begins < edge)
        self._words = self._words[len(words) :]
        return Chunk(pcm[:samples], words)
