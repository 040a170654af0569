"""Decoders that share no code with ours: FFmpeg's through PyAV, and libsndfile's."""

from __future__ import annotations

from io import BytesIO
from typing import Any, NamedTuple

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from voicewire.codecs.pcm import to_int16
from voicewire.types import Pcm


class Decoded(NamedTuple):
    rate_hz: int
    pcm: Pcm


def by_ffmpeg(data: bytes) -> Decoded:
    """Decode a file; Ogg Opus always comes at 48 kHz."""
    with av.open(BytesIO(data), "r") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
        rate_hz = container.streams.audio[0].rate
    return Decoded(rate_hz, np.concatenate([_int16(frame) for frame in frames]) if frames else np.zeros(0, np.int16))


def _int16(samples: NDArray[Any]) -> Pcm:
    return to_int16(samples * np.float32(32_768)) if samples.dtype.kind == "f" else samples


def by_sndfile(data: bytes) -> Decoded:
    samples, rate_hz = soundfile.read(BytesIO(data), dtype="int16")
    return Decoded(rate_hz, samples)
