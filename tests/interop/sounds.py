"""What clients received, decoded as what they asked for and as nothing else, and whether it is the speech of a text.

A sound is measured twice. By itself: speech rises and falls by syllables, while noise is even and silence is nothing.
And beside our own rendering of the same text: the loudness over time is the same to within the coding.
"""

from __future__ import annotations

from base64 import b64decode
from io import BytesIO
from typing import NamedTuple

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import Served
from voicewire import frames
from voicewire.client import connect
from voicewire.script import Audio
from voicewire.types import Codec, Pcm

WINDOW_S = 0.02
SHIFTS_S = np.arange(-0.1, 0.1, 0.005)  # of a decoder's delay
ALIKE = 0.95  # the correlation of a text with itself, at least; in another voice it has 0.84, two texts 0.52
UNEVEN = 0.5  # the deviation of speech's loudness over its mean, at least; noise has 0.02
EXACT_S = 0.002  # by which samples may lengthen a text: where a rate was changed
PADDING_S = {"mp3": 0.08, "aac": 0.12}  # by which a codec may: its delay, and whole frames
PAUSE_S = 0.13  # by which a text is longer that was spoken before its end was known
LATE_S = 0.03  # by which a time may differ from ours: espeak's vary by 10 ms

OPENINGS = {
    "mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"),
    "opus": (b"OggS",),
    "aac": (b"\xff\xf1", b"\xff\xf9"),
    "flac": (b"fLaC",),
    "wav": (b"RIFF",),
}
CONTAINERS = tuple(opening for each in OPENINGS.values() for opening in each if len(opening) > 2)
INSIDE = {
    "mp3": ("mp3", {"mp3", "mp3float"}),
    "opus": ("ogg", {"opus", "libopus"}),
    "aac": ("aac", {"aac"}),
    "flac": ("flac", {"flac"}),
    "wav": ("wav", {"pcm_s16le"}),
}
BARE = {"pcm": "s16le", "f32": "f32le", "mulaw": "mulaw", "alaw": "alaw"}

SAMPLES = {"format": frames.FormatRequest(Codec.PCM_S16LE, 24_000), "words": True, "lead_ms": 60_000}

Samples = NDArray[np.float32]
Timed = list[tuple[str, float, float]]  # a piece of text, and the seconds at which it begins and ends


class Sound(NamedTuple):
    """Samples in -1..1, of one channel."""

    samples: Samples
    rate_hz: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate_hz


class Own(NamedTuple):
    """A text over `voicewire.v1`, and its words, `(a, b, start_ms, end_ms)`."""

    sound: Sound
    text: str
    words: list[tuple[int, int, int, int]]


async def own(served: Served, text: str, **options: object) -> Own:
    """Speak a text; what is announced is what came."""
    packets: list[bytes] = []
    words: list[tuple[int, int, int, int]] = []
    audio_ms = rate_hz = 0
    async with connect(served.url, served.key) as client, client.speak(text, **SAMPLES, **options) as speech:
        async for event in speech:
            if isinstance(event, Audio):
                packets += event.packets
            elif isinstance(event, frames.Words):
                words += event.words
            elif isinstance(event, frames.Opened):
                rate_hz = event.format.rate
            elif isinstance(event, frames.Done):
                audio_ms = event.audio_ms
    sound = Sound(floats(np.frombuffer(b"".join(packets), np.int16)), rate_hz)
    assert sound.seconds == pytest.approx(audio_ms / 1_000, abs=EXACT_S)
    return Own(sound, text, words)


def floats(pcm: Pcm) -> Samples:
    """Return 16-bit samples in -1..1."""
    return pcm.astype(np.float32) / np.float32(32_768)


def bare(handed: str, rate_hz: int, kind: str = "pcm") -> Sound:
    """Return samples that came without a container."""
    data, options = b64decode(handed), {"sample_rate": str(rate_hz)}
    assert not data.startswith(CONTAINERS), f"{kind} begins with {data[:4]!r}"
    with av.open(BytesIO(data), "r", format=BARE[kind], options=options) as container:
        return _decoded(container)


def file(handed: str, kind: str) -> Sound:
    """Decode a file. Fails unless it is of this kind by its first bytes, and by what FFmpeg finds in it."""
    data = b64decode(handed)
    assert data.startswith(OPENINGS[kind]), f"{kind} begins with {data[:4]!r}"
    with av.open(BytesIO(data), "r") as container:
        name, codecs = INSIDE[kind]
        assert container.format.name == name
        assert container.streams.audio[0].codec_context.name in codecs
        return _decoded(container)


def _decoded(container: av.container.InputContainer) -> Sound:
    to_floats = av.AudioResampler("flt", "mono")
    frames = [each for frame in container.decode(audio=0) for each in to_floats.resample(frame)]
    assert frames, "nothing is in it"
    return Sound(np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]), frames[0].sample_rate)


def assert_says(heard: Sound, ours: Own, kind: str = "", *, live: bool = False) -> None:
    """What was heard is speech, and says what ours does, as loud and as long.

    Silence may stand behind it: what pads its `kind` of file, and where it is `live`, the pause of a sentence.
    """
    assert_speech(heard)
    assert_speech(ours.sound)
    assert loudness(heard) == pytest.approx(loudness(ours.sound), rel=0.3)
    longest_s = PADDING_S.get(kind, EXACT_S) + live * PAUSE_S
    assert -EXACT_S <= heard.seconds - ours.sound.seconds <= longest_s
    assert likeness(heard, ours.sound) > ALIKE, "it is another text"


def assert_speech(sound: Sound) -> None:
    """It is neither noise nor silence, whatever it says."""
    assert unevenness(sound) > UNEVEN, "it is no speech"
    assert 0.05 < np.abs(sound.samples).max() <= 1.01


def assert_files(handed: dict[str, str], rates_hz: dict[str, int], ours: Own) -> None:
    """Every file, by its kind, says what ours does; those without a container have the rates that were asked for."""
    for kind, data in handed.items():
        assert_says(bare(data, rates_hz[kind], kind) if kind in BARE else file(data, kind), ours, kind)


def assert_timed(heard: Timed, sound: Sound, ours: Own, joint: str = "") -> None:
    """Pieces of text with their times join to our text, ascend in the sound, and are heard when our words are.

    A piece may begin early, as soon as the word before it has ended: characters follow each other without a gap.
    """
    assert joint.join(piece for piece, _, _ in heard).strip() == ours.text
    times = [time for _, *span in heard for time in span]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= sound.seconds + EXACT_S
    spans = [(begins, ends) for piece, begins, ends in heard for _ in piece + joint]  # by characters
    free_s = 0.0
    for start, stop, start_ms, end_ms in ours.words:
        assert free_s - LATE_S <= spans[start][0] <= start_ms / 1_000 + LATE_S
        free_s = end_ms / 1_000
        assert spans[stop - 1][1] == pytest.approx(free_s, abs=LATE_S)


def loudness(sound: Sound) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(sound.samples, dtype=np.float64)))) if len(sound.samples) else 0.0


def unevenness(sound: Sound) -> float:
    """Return how much the loudness of 20 ms varies, by its mean: 0 for silence."""
    loud = _envelope(sound, 0.0)
    return float(loud.std() / loud.mean()) if loud.any() else 0.0


def likeness(heard: Sound, ours: Sound) -> float:
    """Return how alike the loudness of two sounds is over time, in windows of 20 ms: at most 1, at the best shift."""
    still = _envelope(ours, 0.0)
    return max(_correlation(_envelope(heard, shift_s), still) for shift_s in SHIFTS_S)


def _envelope(sound: Sound, shift_s: float) -> NDArray[np.float64]:
    shift = round(shift_s * sound.rate_hz)
    samples = np.concatenate([np.zeros(max(0, -shift)), sound.samples[max(0, shift) :]])
    window = round(WINDOW_S * sound.rate_hz)
    whole = len(samples) // window * window
    energies: NDArray[np.float64] = np.mean(np.square(samples[:whole].reshape(-1, window), dtype=np.float64), axis=1)
    return np.sqrt(energies)


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    length = min(len(one), len(other))
    if length < 2 or not one[:length].any() or not other[:length].any():
        return 0.0
    return float(np.corrcoef(one[:length], other[:length])[0, 1])
