"""What Cartesia's clients send: the same fields over the socket and over HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from voicewire import frames
from voicewire.errors import BadRequest
from voicewire.server.dialects.listing import each_once, fits
from voicewire.server.dialects.spelling import Spelling
from voicewire.server.dialects.wishes import FASTEST, SLOWEST, spoken_speed
from voicewire.types import Codec, Voice

CODECS = {
    "pcm_s16le": Codec.PCM_S16LE,
    "pcm_f32le": Codec.PCM_F32LE,
    "pcm_mulaw": Codec.MULAW,
    "pcm_alaw": Codec.ALAW,
}
GENDERS = {"female": "feminine", "male": "masculine"}  # as they call it
PARTIAL, COMPLETE = 206, 200  # what every message of a speech, and its last, says as `status_code`
SLOWER, FASTER = 0.8, 1.25  # what they call slow and fast

Name = Annotated[str, Meta(max_length=200)]


class OutputFormat(Struct):
    container: str = "raw"
    encoding: str | None = None
    sample_rate: int = 44_100
    bit_rate: int | None = None

    @property
    def name(self) -> str:
        """What an error says of it: its container, and its encoding where one was named."""
        return " ".join(filter(None, (self.container, self.encoding)))


class GenerationConfig(Struct):
    speed: float | None = None


class Asked(Struct):
    """One message, or one body. Fields that are not here are taken and change nothing."""

    context_id: Name | None = None
    transcript: str | None = None
    continue_: bool | None = field(default=None, name="continue")
    flush: bool | None = None
    cancel: bool | None = None
    model_id: Name | None = None
    voice: Any = None
    language: Name | None = None
    output_format: OutputFormat | None = None
    add_timestamps: bool | None = None
    add_phoneme_timestamps: bool | None = None
    max_buffer_delay_ms: float | None = None
    speed: Any = None
    generation_config: GenerationConfig | None = None

    @property
    def voice_id(self) -> str:
        """An id, bare or in one of the shapes that their packages of several years send."""
        voice = self.voice.get("id") if isinstance(self.voice, dict) else self.voice
        return voice if isinstance(voice, str) else ""

    @property
    def pace(self) -> float:
        asked = self.generation_config.speed if self.generation_config else None
        if asked is None:
            words = {"slow": SLOWER, "slowest": SLOWEST, "fast": FASTER, "fastest": FASTEST}
            asked = self.speed if isinstance(self.speed, int | float) else words.get(str(self.speed), 1.0)
        return spoken_speed(asked)


def searched(voices: Iterable[Voice], query: Mapping[str, str]) -> list[Voice]:
    """Return the voices that fit what stands in an address; nobody owns one here."""
    if query.get("is_owner") == "true":
        return []
    gender = query.get("gender")
    found = (voice for voice in each_once(voices) if fits(voice, query.get("q") or ""))
    return [voice for voice in found if not gender or GENDERS.get(voice.gender) == gender]


def word_times(
    words: Sequence[tuple[int, int, int, int]], spelling: Spelling, before_ms: int = 0
) -> dict[str, list[Any]]:
    """Return words, `(a, b, start_ms, end_ms)`, as they write them; `before_ms` of audio went before."""
    spelt = spelling.words([(start, stop) for start, stop, _, _ in words])
    told = [(word, begins, ends) for word, (_, _, begins, ends) in zip(spelt, words, strict=True) if word]
    return {
        "words": [word for word, _, _ in told],
        "start": [(before_ms + begins) / 1000 for _, begins, _ in told],
        "end": [(before_ms + ends) / 1000 for _, _, ends in told],
    }


def late_marks(spelling: Spelling, at_ms: int) -> dict[str, list[Any]] | None:
    """Return the marks that no word was given with, as a word of no length; None where there are none."""
    marks = spelling.rest()
    return {"words": [marks], "start": [at_ms / 1000], "end": [at_ms / 1000]} if marks else None


def phoneme_times(phonemes: Sequence[tuple[str, int, int]], before_ms: int = 0) -> dict[str, list[Any]]:
    """Return phonemes with their milliseconds as they write them; `before_ms` of audio went before."""
    return {
        "phonemes": [symbol for symbol, _, _ in phonemes],
        "start": [(before_ms + begins) / 1000 for _, begins, _ in phonemes],
        "end": [(before_ms + ends) / 1000 for _, _, ends in phonemes],
    }


def wanted_format(output: OutputFormat | None) -> frames.FormatRequest:
    """Return the format that is asked for on the socket. Raises `BadRequest`."""
    output = output or OutputFormat()
    codec = CODECS.get(output.encoding or "pcm_s16le")
    if codec is None or output.container != "raw":
        raise BadRequest("unsupported_format", problem=output.name)
    wanted = frames.FormatRequest(codec, output.sample_rate)
    wanted.grant()
    return wanted
