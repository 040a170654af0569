"""PCM as bytes: signed 16 bit and 32-bit float, little-endian."""

from __future__ import annotations

import numpy as np

from voicewire.errors import BadRequest
from voicewire.types import Pcm

FULL_SCALE = 32_768  # the int16 magnitude that is 1.0 in float


def serialize_s16le(pcm: Pcm) -> bytes:
    """Two bytes a sample."""
    return pcm.astype("<i2", copy=False).tobytes()


def parse_s16le(data: bytes) -> Pcm:
    """Raises `BadRequest` when `data` is not whole samples."""
    _require_whole(data, 2)
    return np.frombuffer(data, "<i2").astype(np.int16)


def serialize_f32le(pcm: Pcm) -> bytes:
    """Four bytes a sample, from -1 to just under 1; exact, so that `parse_f32le` gives the same samples back."""
    return (pcm.astype("<f4") / np.float32(FULL_SCALE)).astype("<f4", copy=False).tobytes()


def parse_f32le(data: bytes) -> Pcm:
    """Round to 16 bit and clip. Raises `BadRequest` when `data` is not whole samples."""
    _require_whole(data, 4)
    return to_int16(np.frombuffer(data, "<f4") * np.float32(FULL_SCALE))


def to_int16(samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Pcm:
    """Round float samples that are already at 16-bit scale, and clip them."""
    return np.rint(samples).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def _require_whole(data: bytes, sample_bytes: int) -> None:
    if len(data) % sample_bytes:
        raise BadRequest(problem=f"{len(data)} bytes are not whole samples of {sample_bytes}")
