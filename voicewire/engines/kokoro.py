"""The Kokoro-82M engine: human speech in nine languages, with the time of every word, through torch.

Needs the extra `kokoro`. How text becomes phonemes and durations become words is in `kokoro_g2p` and
`kokoro_text`, the voices are in `kokoro_voices`, the network is in `kokoro_model`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from voicewire.engines.kokoro_g2p import Readers, missing_packages
from voicewire.engines.kokoro_model import Files, Folder, Hub, Network
from voicewire.engines.kokoro_quiet import quiet
from voicewire.engines.kokoro_text import PHONEMES_MAX, Piece, Sounding, passes, pieces, place, words_of
from voicewire.engines.kokoro_voices import DEFAULT_VOICE, LANGUAGES, Part, catalogue, language_for, parse_blend
from voicewire.errors import BadRequest, EngineFailed
from voicewire.spans import word_spans
from voicewire.types import Chunk, Model, Pcm, Utterance, Voice

RATE_HZ = 24_000
CHUNK_SAMPLES = RATE_HZ
SPEEDS = (0.5, 2.0)


def open_engine(
    path: str = "",
    repo: str = "hexgrad/Kokoro-82M",
    device: str = "cpu",
    threads: int = 1,
    precision: str = "fp32",
    max_chars: int = 400,
    pass_phonemes: int = PHONEMES_MAX,
    model_id: str = "kokoro",
) -> KokoroEngine:
    """Open the model in the folder `path`, or else `repo` of the hub.

    `precision` is `fp32` or `bf16` (faster; the same durations). `pass_phonemes` bounds one pass: fewer
    give the first sound earlier and a cancel less to wait for, at the price of the melody.

    Raises `FileNotFoundError` or `ValueError` when files are missing or not those of this model, and
    `ModuleNotFoundError` without the extra `kokoro`.
    """
    if not 1 <= pass_phonemes <= PHONEMES_MAX:
        raise ValueError(f"pass_phonemes must be 1 to {PHONEMES_MAX}, not {pass_phonemes}")
    folder = Folder(Path(path)) if path else None
    _require_extra()
    with quiet():
        files: Files = folder or Hub(repo)
    network = Network(files, device=device, threads=threads, precision=precision)
    return KokoroEngine(network, files.voice_ids(), max_chars=max_chars, pass_phonemes=pass_phonemes, model_id=model_id)


def _require_extra() -> None:
    try:
        with quiet():
            import kokoro
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"the engine needs the extra: pip install 'voicewire[kokoro]' ({error})") from error
    assert kokoro.KModel


class KokoroEngine:
    """One utterance at a time, pass by pass. Without a seed the seed is 0: a text always sounds the same."""

    def __init__(
        self,
        network: Network,
        voice_ids: Sequence[str],
        *,
        max_chars: int = 400,
        pass_phonemes: int = PHONEMES_MAX,
        model_id: str = "kokoro",
    ) -> None:
        self.network = network
        self._pass_phonemes = pass_phonemes
        self._readers = Readers()
        self._present = frozenset(voice_ids)
        speakable = [language.letter for language in LANGUAGES if not missing_packages(language.letter)]
        self._voices = catalogue(model_id, voice_ids, speakable)
        if not self._voices:
            raise FileNotFoundError("the model has no voice in a language that can be read here")
        ids = [voice.id for voice in self._voices]
        self._model = Model(
            id=model_id,
            name="Kokoro",
            rate_hz=RATE_HZ,
            default_voice=DEFAULT_VOICE if DEFAULT_VOICE in ids else ids[0],
            description="Kokoro-82M: human speech from a small network; voices can be blended.",
            max_chars=max_chars,
            blends=True,
            languages=tuple(dict.fromkeys(voice.language for voice in self._voices)),
            version=network.version,
        )

    @property
    def model(self) -> Model:
        """What this engine can do."""
        return self._model

    def voices(self) -> Sequence[Voice]:
        """Those of the model's voices whose language can be read here, the best first."""
        return self._voices

    def synthesize(self, utterance: Utterance) -> Generator[Chunk, None, None]:
        """Speak `utterance`; its voice may be a blend. Raises as `Engine` says, and `BadRequest` besides.

        A pass through the network cannot be stopped: closing takes effect between passes and chunks.
        """
        low, high = SPEEDS
        if not low <= utterance.speed <= high:
            raise BadRequest("bad_message", problem=f"speed must be from {low} to {high}")
        blend = self._blend(utterance.voice)
        language = language_for(utterance.language, blend[0].voice)
        sounds = self._readers.read(language.letter, utterance.text)
        spoken = pieces(sounds, word_spans(utterance.text), self.network.vocabulary)
        try:
            yield from self._spoken(passes(spoken, self._pass_phonemes), blend, utterance)
        except (OSError, RuntimeError) as error:
            raise EngineFailed from error

    def close(self) -> None:
        """Nothing is held but memory."""

    def _blend(self, voice: str) -> list[Part]:
        blend = parse_blend(voice or self._model.default_voice)
        for part in blend:
            if part.voice not in self._present:
                raise BadRequest("unknown_voice", voice=part.voice)
        return blend

    def _spoken(
        self, cut: Sequence[Sequence[Piece]], blend: Sequence[Part], utterance: Utterance
    ) -> Generator[Chunk, None, None]:
        held: list[Pcm] = []
        sounding: list[Sounding] = []
        given = made = 0
        seed = utterance.seed or 0
        for nth, (spoken, following) in enumerate(pairwise([*cut, ()])):
            phonemes = "".join(piece.phonemes for piece in spoken)
            pcm, durations = self.network.speak(phonemes, blend, utterance.speed, seed + nth)
            held.append(pcm)
            sounding += place(spoken, durations, made)
            made += len(pcm)
            if not _torn(spoken, following):  # the end of a word that goes on is not known yet
                yield from _chunks(np.concatenate(held), sounding, given)
                held, sounding, given = [], [], made


def _torn(spoken: Sequence[Piece], following: Sequence[Piece]) -> bool:
    return bool(following and following[0].words and spoken[-1].words == following[0].words)


def _chunks(pcm: Pcm, sounding: Sequence[Sounding], offset: int) -> Generator[Chunk, None, None]:
    words = words_of(sounding)
    for start in range(0, len(pcm), CHUNK_SAMPLES):
        part = pcm[start : start + CHUNK_SAMPLES]
        first, last = offset + start, offset + start + len(part)
        yield Chunk(part, tuple(word for word in words if first <= word.begins < last))
