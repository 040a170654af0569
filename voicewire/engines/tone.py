"""The deterministic twin of a speech engine: a beep per word, at settable speed and with settable faults.

It ships for tests, benchmarks and trying out a deployment without a model. Samples are computed in
integers from one table, so that they are equal between calls, processes and machines.
"""

from __future__ import annotations

import math
import os
import time
import zlib
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from voicewire.engines.base import BatchPart
from voicewire.errors import BadRequest, EngineFailed, VoicewireError
from voicewire.spans import word_spans
from voicewire.types import Chunk, Model, Pcm, Phoneme, Utterance, Voice, Word

RATE_HZ = 24_000
OCTAVES = {"middle": 1.0, "low": 0.5, "high": 2.0}
CHARACTER_MS = 60  # of sound
WORD_MS = (120, 900)  # shortest and longest
GAP_MS = 40  # of silence between words
LEAD_MS, TAIL_MS = 25, 120  # of silence around an utterance, as real engines leave it
FADE_MS = 5
AMPLITUDE = 12_000
TABLE_BITS = 10
PHASE_BITS = 32


@dataclass(frozen=True, slots=True)
class Options:
    """How the engine behaves. A marker is a piece of text; what it does happens at the word it stands in."""

    delay_s: float = 0.0  # before the first chunk
    rtf: float = 0.0  # seconds of work per second of audio; 0: as fast as it goes
    chunk_ms: int = 60
    lanes: int = 4
    batch: int = 0  # utterances spoken in one pass, which waits `delay_s` once; 0: every one by itself
    memory: int = 0  # utterances that a pass can hold: more are spoken in halves; 0: any number
    noise: int = 0  # amplitude of what a poor engine leaves in its silences
    fail_on: str = ""  # marker: give up with EngineFailed
    crash_on: str = ""  # marker: end the process
    hang_on: str = ""  # marker: never come back


class Tone:
    """See the module."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._model = Model(
            id="tone",
            name="Tone",
            rate_hz=RATE_HZ,
            default_voice="middle",
            description="A beep per word, for tests.",
            lanes=options.lanes,
            languages=("und",),
            phonemes=True,
        )

    @property
    def model(self) -> Model:
        return self._model

    def voices(self) -> Sequence[Voice]:
        return [Voice(name, name.capitalize(), "tone", "und", "", f"A {name} beep") for name in OCTAVES]

    def synthesize(self, utterance: Utterance) -> Generator[Chunk, None, None]:
        if utterance.voice not in OCTAVES:
            raise BadRequest("unknown_voice", voice=utterance.voice)
        return self._chunks(utterance, self._options.delay_s)

    def close(self) -> None:
        pass

    def _chunks(self, utterance: Utterance, delay_s: float) -> Generator[Chunk, None, None]:
        size = max(1, self._options.chunk_ms * RATE_HZ // 1000)
        time.sleep(delay_s)
        pending: list[Pcm] = []
        words: list[Word] = []
        phonemes: list[Phoneme] = []
        made = sent = 0
        for pcm, word in _notes(utterance, self._options.noise):
            if word:
                self._misbehave(utterance.text[word.start : word.stop])
                words.append(word._replace(begins=made, ends=made + len(pcm)))
                if utterance.phonemes:
                    phonemes += _letters(utterance.text, words[-1])
            pending.append(pcm)
            made += len(pcm)
            if made - sent >= size:
                joined = np.concatenate(pending)
                while made - sent >= size:
                    yield self._chunk(joined[:size], words, phonemes, sent)
                    joined, sent = joined[size:], sent + size
                pending = [joined]
        if made > sent:
            yield self._chunk(np.concatenate(pending), words, phonemes, sent)

    def _chunk(self, pcm: Pcm, words: list[Word], phonemes: list[Phoneme], begins: int) -> Chunk:
        """Make the chunk that begins at sample `begins`, taking what begins in it out of `words` and `phonemes`."""
        time.sleep(self._options.rtf * len(pcm) / RATE_HZ)
        inside = tuple(word for word in words if word.begins < begins + len(pcm))
        del words[: len(inside)]
        pronounced = tuple(phoneme for phoneme in phonemes if phoneme.begins < begins + len(pcm))
        del phonemes[: len(pronounced)]
        return Chunk(pcm, inside, pronounced)

    def _misbehave(self, word: str) -> None:
        options = self._options
        if options.fail_on and options.fail_on in word:
            raise EngineFailed(problem=f"asked to fail by {options.fail_on!r}")
        if options.crash_on and options.crash_on in word:
            os._exit(70)
        while options.hang_on and options.hang_on in word:
            time.sleep(3600)


class BatchTone(Tone):
    """The twin of an engine that speaks several utterances in one pass: row after row, as a network's end does."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.batch_max = options.batch
        self.halvings = 0

    def size(self, utterance: Utterance) -> int:
        return len(utterance.text)

    def synthesize_batch(
        self, utterances: Sequence[Utterance], dropped: Collection[int] = ()
    ) -> Generator[tuple[int, BatchPart], None, None]:
        waiting = [list(range(len(utterances)))]
        while waiting:
            rows = waiting.pop()
            if 0 < self._options.memory < len(rows):
                self.halvings += 1
                middle = len(rows) // 2
                waiting += [rows[middle:], rows[:middle]]
                continue
            time.sleep(self._options.delay_s)
            for nth in rows:
                for part in self._row(utterances[nth]):
                    if nth in dropped:
                        break
                    yield nth, part

    def _row(self, utterance: Utterance) -> Generator[BatchPart, None, None]:
        try:
            if utterance.voice not in OCTAVES:
                raise BadRequest("unknown_voice", voice=utterance.voice)
            yield from self._chunks(utterance, 0)
        except VoicewireError as error:
            yield error
        else:
            yield None


def open_engine(**options: str | int | float | bool) -> Tone:
    """Open the engine; `options` are the fields of `Options`."""
    chosen = Options(**options)  # type: ignore[arg-type]  # a wrong option fails here, at start
    return BatchTone(chosen) if chosen.batch else Tone(chosen)


def _notes(utterance: Utterance, noise: int) -> Generator[tuple[Pcm, Word | None], None, None]:
    """Beeps and silences in turn; a beep comes with its word, whose times are not yet set."""
    octave, speed = OCTAVES[utterance.voice], utterance.speed
    spans = [span for span in word_spans(utterance.text) if span.sure]
    for index, span in enumerate(spans):
        yield _silence(GAP_MS if index else LEAD_MS, speed, noise), None
        shortest, longest = WORD_MS
        ms = min(max(CHARACTER_MS * (span.stop - span.start), shortest), longest)
        word = utterance.text[span.start : span.stop]
        hertz = octave * (220 + zlib.crc32(word.encode(errors="surrogatepass")) % 440)
        yield _beep(hertz, _samples(ms, speed)), Word(span.start, span.stop, 0, 0)
    if spans:
        yield _silence(TAIL_MS, speed, noise), None


def _letters(text: str, word: Word) -> list[Phoneme]:
    """The letters of a word for its phonemes, all equally long: a beep has none."""
    letters = [letter for letter in text[word.start : word.stop].lower() if letter.isalnum()]
    edges = [word.begins + nth * (word.ends - word.begins) // len(letters) for nth in range(len(letters) + 1)]
    return [Phoneme(letter, *edge) for letter, edge in zip(letters, pairwise(edges), strict=True)]


def _samples(ms: int, speed: float) -> int:
    return max(1, int(ms * RATE_HZ / 1000 / speed))


def _silence(ms: int, speed: float, noise: int) -> Pcm:
    steps = np.arange(_samples(ms, speed), dtype=np.int64)
    return ((steps * 7919 % (2 * noise + 1)) - noise).astype(np.int16)


def _beep(hertz: float, samples: int) -> Pcm:
    steps = np.arange(samples, dtype=np.int64)
    phase = steps * int(hertz / RATE_HZ * (1 << PHASE_BITS)) >> PHASE_BITS - TABLE_BITS
    fade = FADE_MS * RATE_HZ // 1000
    envelope = np.minimum(np.minimum(steps + 1, samples - steps), fade)
    beep: Pcm = (_sine()[phase & (1 << TABLE_BITS) - 1] * envelope // fade).astype(np.int16)
    return beep


@lru_cache(maxsize=1)
def _sine() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    size = 1 << TABLE_BITS
    return np.array([round(AMPLITUDE * math.sin(2 * math.pi * step / size)) for step in range(size)], np.int64)
