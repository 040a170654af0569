"""The Kokoro-82M engine: human speech in nine languages, with the time of every word, through torch.

Needs the extra `kokoro`. How text becomes phonemes and durations become words is in `kokoro_g2p` and
`kokoro_text`, the voices are in `kokoro_voices`, the network is in `kokoro_model`.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from contextlib import closing
from pathlib import Path

from voicewire.engines.base import BatchPart
from voicewire.engines.kokoro_g2p import Readers, missing_packages
from voicewire.engines.kokoro_model import Files, Folder, Hub, Network, Request
from voicewire.engines.kokoro_quiet import quiet
from voicewire.engines.kokoro_telling import Telling
from voicewire.engines.kokoro_text import PHONEMES_MAX, passes, pieces
from voicewire.engines.kokoro_voices import (
    DEFAULT_VOICE,
    LANGUAGES,
    Part,
    catalogue,
    language_for,
    parse_blend,
    says_language,
)
from voicewire.errors import BadRequest, EngineFailed, VoicewireError
from voicewire.spans import word_spans
from voicewire.types import Chunk, Model, Utterance, Voice

MODEL_ID = "kokoro"
RATE_HZ = 24_000
SPEEDS = (0.5, 2.0)
ROWS = {"cuda": 32}  # spoken at once, by kind of device: a processor gains nothing by it


def open_engine(
    path: str = "",
    repo: str = "hexgrad/Kokoro-82M",
    device: str = "cpu",
    threads: int = 1,
    precision: str = "auto",
    max_chars: int = 400,
    pass_phonemes: int = PHONEMES_MAX,
    rows: int = 0,
) -> KokoroEngine:
    """Open the model in the folder `path`, or else `repo` of the hub.

    `precision` is `fp32`, `bf16` or `fp16` (faster; the same durations), or `auto`: bf16 where it is fast.
    `pass_phonemes` bounds one pass: fewer give the first sound earlier and a cancel less to wait for, at the price of
    the melody. `rows` is how many texts are spoken at once; 0: what the device is good for.

    Raises `FileNotFoundError` or `ValueError` when files are missing or not those of this model, and
    `ModuleNotFoundError` without the extra `kokoro`.
    """
    if not 1 <= pass_phonemes <= PHONEMES_MAX:
        raise ValueError(f"pass_phonemes must be 1 to {PHONEMES_MAX}, not {pass_phonemes}")
    folder = Folder(Path(path)) if path else None
    _require_extra()
    with quiet():
        files: Files = folder or Hub(repo)
    rows = rows or ROWS.get(device.partition(":")[0], 1)
    network = Network(files, device=device, threads=threads, precision=precision, rows=rows)
    return KokoroEngine(network, files.voice_ids(), max_chars=max_chars, pass_phonemes=pass_phonemes)


def _require_extra() -> None:
    try:
        with quiet():
            import kokoro
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"the engine needs the extra: pip install 'voicewire[kokoro]' ({error})") from error
    assert kokoro.KModel


class KokoroEngine:
    """Utterances pass by pass, several at once. Without a seed the seed is 0: a text always sounds the same."""

    def __init__(
        self,
        network: Network,
        voice_ids: Sequence[str],
        *,
        max_chars: int = 400,
        pass_phonemes: int = PHONEMES_MAX,
    ) -> None:
        self.network = network
        self._pass_phonemes = pass_phonemes
        self._readers = Readers()
        self._present = frozenset(filter(says_language, voice_ids))
        speakable = [language.letter for language in LANGUAGES if not missing_packages(language.letter)]
        self._voices = catalogue(MODEL_ID, voice_ids, speakable)
        if not self._voices:
            raise FileNotFoundError("the model has no voice in a language that can be read here")
        ids = [voice.id for voice in self._voices]
        self._model = Model(
            id=MODEL_ID,
            name="Kokoro",
            rate_hz=RATE_HZ,
            default_voice=DEFAULT_VOICE if DEFAULT_VOICE in ids else ids[0],
            description="Kokoro-82M: human speech from a small network; voices can be blended.",
            max_chars=max_chars,
            lanes=2 * self.batch_max if self.batch_max > 1 else 1,  # the next batch gathers while one is spoken
            phonemes=True,
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

    @property
    def batch_max(self) -> int:
        """How many utterances it takes at once."""
        return self.network.batches.rows_max

    @property
    def halvings(self) -> int:
        """How often memory did not hold a batch."""
        return self.network.batches.halvings

    def size(self, utterance: Utterance) -> int:
        """Characters, as long as they last: phonemes are not known yet."""
        return int(len(utterance.text) / max(utterance.speed, SPEEDS[0]))

    def synthesize(self, utterance: Utterance) -> Generator[Chunk, None, None]:
        """Speak `utterance`; its voice may be a blend. Raises as `Engine` says, and `BadRequest` besides.

        A pass through the network cannot be stopped: closing takes effect between passes and chunks.
        """
        with closing(self.synthesize_batch([utterance])) as parts:
            for _, part in parts:
                if isinstance(part, VoicewireError):
                    raise part
                if part is not None:
                    yield part

    def synthesize_batch(
        self, utterances: Sequence[Utterance], dropped: Collection[int] = ()
    ) -> Generator[tuple[int, BatchPart], None, None]:
        """Speak them, all their first passes, then all their second. See `BatchEngine`."""
        tellings: dict[int, Telling] = {}
        for nth, utterance in enumerate(utterances):
            read = self._read(utterance)
            if isinstance(read, Telling) and not read.ended:
                tellings[nth] = read
            else:
                yield nth, read if isinstance(read, VoicewireError) else None
        while tellings := {nth: telling for nth, telling in tellings.items() if nth not in dropped}:
            yield from self._spoken(tellings, dropped)

    def close(self) -> None:
        """Nothing is held but memory."""

    def _blend(self, voice: str) -> list[Part]:
        blend = parse_blend(voice or self._model.default_voice)
        for part in blend:
            if part.voice not in self._present:
                raise BadRequest("unknown_voice", voice=part.voice)
        return blend

    def _read(self, utterance: Utterance) -> Telling | VoicewireError:
        low, high = SPEEDS
        if not low <= utterance.speed <= high:
            return BadRequest("bad_message", problem=f"speed must be from {low} to {high}")
        try:
            blend = self._blend(utterance.voice)
            language = language_for(utterance.language, blend[0].voice)
            sounds = self._readers.read(language.letter, utterance.text)
        except VoicewireError as error:
            return error
        spoken = pieces(sounds, word_spans(utterance.text), self.network.vocabulary)
        cut, seed = passes(spoken, self._pass_phonemes), utterance.seed or 0
        return Telling(cut, blend, utterance.speed, seed, phonemes=utterance.phonemes)

    def _spoken(
        self, tellings: dict[int, Telling], dropped: Collection[int]
    ) -> Generator[tuple[int, BatchPart], None, None]:
        """One pass of each; those that have ended or failed are taken out."""
        requests = {nth: Request(each.phonemes, each.voice, each.speed, each.seed) for nth, each in tellings.items()}
        try:
            for nth, outcome in self.network.speak(requests, dropped):
                if isinstance(outcome, Exception):
                    del tellings[nth]
                    yield nth, _failed(outcome)
                    continue
                for chunk in tellings[nth].hear(*outcome):
                    yield nth, chunk
                if tellings[nth].ended:
                    del tellings[nth]
                    yield nth, None
        except RuntimeError as error:
            raise EngineFailed from error


def _failed(error: Exception) -> EngineFailed:
    failed = EngineFailed()
    failed.__cause__ = error
    return failed
