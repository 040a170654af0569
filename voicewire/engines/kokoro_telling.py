"""An utterance on its way through the network, pass by pass: pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from voicewire.engines.kokoro_phonemes import phonemes_of
from voicewire.engines.kokoro_text import Piece, Sounding, place, words_of
from voicewire.engines.kokoro_voices import Part
from voicewire.types import Chunk, Pcm, Phoneme

CHUNK_SAMPLES = 24_000


class Telling:
    """What is left to speak of an utterance, and what was heard of it but waits for the end of a word."""

    def __init__(
        self, cut: Sequence[Sequence[Piece]], voice: Sequence[Part], speed: float, seed: int, *, phonemes: bool = False
    ) -> None:
        self.voice = voice
        self.speed = speed
        self._cut = cut
        self._seed = seed
        self._nth = 0
        self._held: list[Pcm] = []
        self._sounding: list[Sounding] = []
        self._pronounces = phonemes
        self._pronounced: list[Phoneme] = []
        self._given = self._made = 0

    @property
    def ended(self) -> bool:
        """Whether every pass was heard."""
        return self._nth == len(self._cut)

    @property
    def phonemes(self) -> str:
        """Of the pass that is next."""
        return "".join(piece.phonemes for piece in self._cut[self._nth])

    @property
    def seed(self) -> int:
        """Of the pass that is next."""
        return self._seed + self._nth

    def hear(self, pcm: Pcm, durations: Sequence[int]) -> Iterator[Chunk]:
        """Take the pass that was next; yield what is complete with it."""
        spoken = self._cut[self._nth]
        self._nth += 1
        self._held.append(pcm)
        self._sounding += place(spoken, durations, self._made)
        if self._pronounces:
            self._pronounced += phonemes_of(spoken, durations, self._made)
        self._made += len(pcm)
        if self.ended or not _torn(spoken, self._cut[self._nth]):  # the end of a word that goes on is not known yet
            yield from _chunks(np.concatenate(self._held), self._sounding, self._pronounced, self._given)
            self._held, self._sounding, self._pronounced, self._given = [], [], [], self._made


def _torn(spoken: Sequence[Piece], following: Sequence[Piece]) -> bool:
    return bool(following[0].words and spoken[-1].words == following[0].words)


def _chunks(pcm: Pcm, sounding: Sequence[Sounding], phonemes: Sequence[Phoneme], offset: int) -> Iterator[Chunk]:
    words = words_of(sounding)
    for start in range(0, len(pcm), CHUNK_SAMPLES):
        part = pcm[start : start + CHUNK_SAMPLES]
        first, last = offset + start, offset + start + len(part)
        yield Chunk(
            part,
            tuple(word for word in words if first <= word.begins < last),
            tuple(phoneme for phoneme in phonemes if first <= phoneme.begins < last),
        )
