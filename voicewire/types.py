"""The values that travel through voicewire: frozen, without behaviour of their own beyond checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from voicewire.errors import UnsupportedFormat

Pcm = NDArray[np.int16]
"""Mono PCM, shape `(samples,)`, signed 16 bit: what every engine yields and every encoder takes."""

KEY_PREFIX = "vw:"
"""What every key of ours in Redis begins with."""

OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
OPUS_FRAMES_MS = (5, 10, 20, 40, 60)
PCM_RATES_HZ = (8_000, 48_000)  # lowest and highest
PCM_FRAMES_MS = (5, 100)
OPUS_BITRATES = (6_000, 256_000)
BUNDLE_MAX = 50


class Codec(StrEnum):
    """The codecs of the live wire."""

    OPUS = "opus"
    PCM_S16LE = "pcm_s16le"
    PCM_F32LE = "pcm_f32le"
    MULAW = "mulaw"
    ALAW = "alaw"


class Priority(IntEnum):
    """What a block is for; when there is more to do than can be done, the lower number goes first."""

    LIVE = 0  # a listener on a socket
    INTERACTIVE = 1  # a request that somebody waits for
    PREFETCH = 2  # what will probably be asked for
    BATCH = 3  # jobs


class WordTimes(StrEnum):
    """What an engine knows of when its words sound."""

    MEASURED = "measured"  # by the engine itself
    ESTIMATED = "estimated"  # from the lengths of words and of what was heard: about right
    NONE = "none"  # and no words are sent


class Marks(StrEnum):
    """How often a telephone call says how far it was heard."""

    NONE = "none"
    SENTENCE = "sentence"
    WORD = "word"


class CallEvent(StrEnum):
    """What is told of a telephone call."""

    HEARD = "heard"  # so far
    DIGIT = "digit"  # the caller pressed a key
    ENDED = "ended"  # the caller hung up, or the carrier is gone


class Offsets(StrEnum):
    """The unit in which a client counts positions in its own text."""

    CODEPOINT = "codepoint"
    UTF16 = "utf16"
    UTF8 = "utf8"


@dataclass(frozen=True, slots=True)
class Format:
    """An audio format as granted: one codec frame holds exactly `frame_samples` samples of mono audio.

    Raises `UnsupportedFormat` when codec, rate, frame or bitrate do not go together.
    """

    codec: Codec = Codec.OPUS
    rate_hz: int = 24_000
    frame_ms: int = 20
    bitrate: int = 32_000
    complexity: int = 0
    bundle: int = 1

    def __post_init__(self) -> None:
        problem = _format_problem(self)
        if problem:
            raise UnsupportedFormat(problem=problem)

    @property
    def frame_samples(self) -> int:
        """Samples in one frame, at `rate_hz`."""
        return self.rate_hz * self.frame_ms // 1000

    @property
    def frame_bytes(self) -> int:
        """About how large one frame is."""
        if self.codec is Codec.OPUS:
            return self.bitrate * self.frame_ms // 8_000 + 1
        return self.frame_samples * {Codec.PCM_S16LE: 2, Codec.PCM_F32LE: 4}.get(self.codec, 1)

    def ms(self, samples: int) -> int:
        """Milliseconds that `samples` of this format last, rounded down."""
        return samples * 1000 // self.rate_hz


def _format_problem(format: Format) -> str:
    codec, rate_hz, frame_ms = format.codec, format.rate_hz, format.frame_ms
    if not 1 <= format.bundle <= BUNDLE_MAX:
        return f"bundle must be 1 to {BUNDLE_MAX}"
    if not 0 <= format.complexity <= 10:
        return "complexity must be 0 to 10"
    if codec is Codec.OPUS:
        if rate_hz not in OPUS_RATES_HZ:
            return f"opus takes the rates {', '.join(map(str, OPUS_RATES_HZ))}"
        if frame_ms not in OPUS_FRAMES_MS:
            return f"opus takes frame_ms {', '.join(map(str, OPUS_FRAMES_MS))}"
        low, high = OPUS_BITRATES
        return "" if low <= format.bitrate <= high else f"opus takes a bitrate from {low} to {high}"
    if codec in {Codec.MULAW, Codec.ALAW} and rate_hz != 8_000:
        return f"{codec} takes the rate 8000"
    if not PCM_RATES_HZ[0] <= rate_hz <= PCM_RATES_HZ[1]:
        return f"{codec} takes rates from {PCM_RATES_HZ[0]} to {PCM_RATES_HZ[1]}"
    if not PCM_FRAMES_MS[0] <= frame_ms <= PCM_FRAMES_MS[1]:
        return f"{codec} takes frame_ms from {PCM_FRAMES_MS[0]} to {PCM_FRAMES_MS[1]}"
    if rate_hz * frame_ms % 1000:
        return f"{frame_ms} ms at {rate_hz} Hz is not a whole number of samples"
    return ""


class Word(NamedTuple):
    """A word and when it sounds: text `[start, stop)` in code points, audio `[begins, ends)` in samples.

    What the two are counted from, and at which rate, is said where a `Word` is handed over.
    """

    start: int
    stop: int
    begins: int
    ends: int


class Phoneme(NamedTuple):
    """A speech sound in the letters of the IPA, without stress, and its audio `[begins, ends)` in samples.

    What these are counted from, and at which rate, is said where a `Phoneme` is handed over.
    """

    symbol: str
    begins: int
    ends: int


class Block(msgspec.Struct, frozen=True, gc=False):
    """Text spoken as one, and where it stands in the client's text.

    `spoken` has the length of `text`: what must not be spoken (Markdown marks, the scheme of a bare
    URL) is blanked, character for character, so that a position in one is a position in the other.
    """

    start: int  # code points from the beginning of the context's text; the block ends at `stop`
    text: str
    spoken: str
    pause_ms: int  # the silence that fits the punctuation behind the block, at speed 1

    @property
    def stop(self) -> int:
        return self.start + len(self.text)

    @property
    def silent(self) -> bool:
        """Whether the block has no letter or digit of any script: punctuation and emoji alone make no speech."""
        return not any(map(str.isalnum, self.spoken))


@dataclass(frozen=True, slots=True)
class Utterance:
    """What an engine is asked to say, in one piece."""

    text: str
    voice: str  # the engine's own id of the voice, or a blend where the engine takes one
    language: str = ""  # BCP 47; empty: the voice's own
    speed: float = 1.0  # 0.5 to 2.0
    seed: int | None = None
    phonemes: bool = False  # whether their times are wanted, from a model that knows them


class Chunk(NamedTuple):
    """Audio as an engine makes it, and every word that begins inside it; without a sample only from a `WaitingEngine`.

    Words count code points from the beginning of the utterance's text and samples, at the model's
    rate, from the beginning of the utterance. They ascend and do not overlap, neither in the text nor
    in time, across all chunks. A word is in the chunk in which its audio begins, with its true end.
    Phonemes, of an utterance that asks for them, are counted and kept alike; each lies inside of the time of words.
    """

    pcm: Pcm
    words: tuple[Word, ...] = ()
    phonemes: tuple[Phoneme, ...] = ()


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice as the catalogue shows it."""

    id: str  # what the engine calls it
    name: str  # the friendly name, unique within a model
    model: str
    language: str  # BCP 47
    gender: str = ""  # "female", "male" or "" where it is not known
    description: str = ""
    consent: str = ""  # of a cloned voice: tells the consent that it rests on from every other


@dataclass(frozen=True, slots=True)
class Model:
    """What an engine can do, as it announces it."""

    id: str
    name: str
    rate_hz: int
    default_voice: str
    description: str = ""
    max_chars: int = 400  # of one utterance
    lanes: int = 1  # utterances that one engine object can have open at once
    words: WordTimes = WordTimes.MEASURED
    phonemes: bool = False  # whether it knows when they sound
    blends: bool = False  # whether a voice may be a weighted sum of voices
    languages: tuple[str, ...] = field(default=())
    version: str = ""  # of what makes the sound, for cache keys: equal versions speak alike


@dataclass(frozen=True, slots=True)
class Job:
    """One block to be made: what to say, how to encode it, and the pause behind it."""

    utterance: Utterance
    format: Format
    pause_ms: int = 0  # at speed 1
    record: bool = False  # whether what the engine gives is wanted, too


class Slice(NamedTuple):
    """A piece of a rendered block: at most about a second of encoded audio, the words and phonemes that begin in it.

    Words count code points of the utterance's text and samples, at the format's rate, from the block's
    first sample. `last` ends the block, whose audio is then a whole number of frames, and brings the recording
    (`voicewire.takes`) that the job may have asked for: empty where that would be too long, None where it was left out.
    """

    packets: list[bytes]
    words: tuple[Word, ...]
    last: bool
    phonemes: tuple[Phoneme, ...] = ()
    recording: bytes | None = b""
