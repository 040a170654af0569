"""What engines have in common that make an utterance as a whole, in their own voice or in one cloned from a sample."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voicewire.engines.consent import Refused, Sample, open_samples, state_of
from voicewire.engines.estimate import estimate_words
from voicewire.engines.stretch import stretch
from voicewire.engines.texts import plain, sayable
from voicewire.engines.voice_list import distinct
from voicewire.errors import BadRequest, EngineFailed
from voicewire.types import Chunk, Model, Pcm, Utterance, Voice, Word

Wave = NDArray[np.floating]
Make = Callable[[str, Utterance, Sample | None], Wave]
"""Speaks a text: what was asked for beside it, and the sample of the voice where it has one. Samples are -1 to 1."""

SPEEDS = (0.5, 2.0)
OWN = "default"  # the voice that a model has by itself

logger = logging.getLogger(__name__)


class Cast:
    """The voices of a model that clones: its own, and one for each sample of `folder` that may be used."""

    def __init__(self, model: str, language: str, folder: str, *, own: bool) -> None:
        self._model, self._language = model, language
        self._folder = Path(folder) if folder else None
        self._own = own
        self._state = state_of(self._folder) if self._folder else frozenset()
        self._refused: frozenset[str] = frozenset()
        self._read(open_samples(self._folder) if self._folder else ([], []))
        if not self.voices:
            raise FileNotFoundError("there is no voice: the model has none of its own, and no sample has a consent")

    def look(self) -> bool:
        """Read the folder anew where anything in it has changed; return whether the voices are others now."""
        if self._folder is None or (state := state_of(self._folder)) == self._state:
            return False
        before = self.voices
        try:
            self._read(open_samples(self._folder))
        except OSError:  # a folder that cannot be read says of nobody that they agree
            self._read(([], []))
        self._state = state
        return self.voices != before

    def _read(self, found: tuple[list[Sample], list[Refused]]) -> None:
        samples, refused = found
        problems = frozenset(map(str, refused))
        for problem in sorted(problems - self._refused):
            logger.warning("a sample is not offered as a voice: %s", problem)
        self._refused = problems
        mine = [Voice(OWN, "Default", self._model, self._language, "", "The model's own voice.")] if self._own else []
        self._samples = {sample.id: sample for sample in samples}
        self.voices = distinct([*mine, *(sample.voice(self._model, self._language) for sample in samples)])

    def sample(self, voice: str) -> Sample | None:
        """Return the sample of `voice`, None for the model's own; raises `BadRequest` where there is neither."""
        if self._own and voice == OWN:
            return None
        if voice not in self._samples:
            raise BadRequest("unknown_voice", voice=voice)
        return self._samples[voice]


class CloningEngine:
    """One utterance at a time. Without a seed the seed is 0. Word times are estimates, and speed is made afterwards."""

    def __init__(self, model: Model, cast: Cast, make: Make) -> None:
        self._model = model
        self._cast = cast
        self._make = make

    @property
    def model(self) -> Model:
        """What this engine can do."""
        return self._model

    def voices(self) -> Sequence[Voice]:
        """The model's own, and those of samples with a consent."""
        return self._cast.voices

    def look(self) -> bool:
        """Look for samples and consents that came, changed or went."""
        return self._cast.look()

    def synthesize(self, utterance: Utterance) -> Generator[Chunk, None, None]:
        """Speak `utterance`. Raises as `Engine` says; a sample whose consent is gone is an unknown voice."""
        low, high = SPEEDS
        if not low <= utterance.speed <= high:
            raise BadRequest(problem=f"speed must be from {low} to {high}")
        sample = self._cast.sample(utterance.voice)
        text = plain(utterance.text)
        if not sayable(text):
            return
        pcm = self._spoken(text, utterance, sample)
        yield from _chunks(pcm, estimate_words(text, pcm, self._model.rate_hz), self._model.rate_hz)

    def close(self) -> None:
        """Nothing is held but memory."""

    def _spoken(self, text: str, utterance: Utterance, sample: Sample | None) -> Pcm:
        try:
            if sample:
                sample.require()  # also where what was made of it is still in memory
            wave = self._make(text, utterance, sample)
        except Refused as error:
            logger.warning("a voice is refused: %s", error)
            raise BadRequest("unknown_voice", voice=utterance.voice) from error
        except (OSError, RuntimeError) as error:
            raise EngineFailed(problem=f"the model failed: {type(error).__name__}") from error
        return stretch(_pcm(wave), utterance.speed, self._model.rate_hz)


def _pcm(wave: Wave) -> Pcm:
    flat = np.nan_to_num(np.asarray(wave, np.float32).reshape(-1))
    return np.rint(np.clip(flat, -1.0, 1.0) * 32_767).astype(np.int16)


def _chunks(pcm: Pcm, words: Sequence[Word], rate_hz: int) -> Generator[Chunk, None, None]:
    for first in range(0, len(pcm), rate_hz):
        part = pcm[first : first + rate_hz]
        yield Chunk(part, tuple(word for word in words if first <= word.begins < first + len(part)))
