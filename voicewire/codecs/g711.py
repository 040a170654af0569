"""G.711: µ-law and A-law, one byte a sample (ITU-T G.711, tables 1 and 2), by table lookup."""

from __future__ import annotations

from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from voicewire.types import Pcm

_Scalar = TypeVar("_Scalar", np.uint8, np.int16)

_MULAW_BIAS = 33 << 2  # G.711 counts in 14 bits, we in 16
_MULAW_CLIP = 32_635  # above it the biased magnitude would not fit eight segments


def serialize_mulaw(pcm: Pcm) -> bytes:
    """One byte a sample."""
    return _mulaw_bytes()[pcm.view(np.uint16)].tobytes()


def parse_mulaw(data: bytes) -> Pcm:
    """Every byte is a sample; nothing is refused."""
    return _mulaw_samples()[np.frombuffer(data, np.uint8)]


def serialize_alaw(pcm: Pcm) -> bytes:
    """One byte a sample."""
    return _alaw_bytes()[pcm.view(np.uint16)].tobytes()


def parse_alaw(data: bytes) -> Pcm:
    """Every byte is a sample; nothing is refused."""
    return _alaw_samples()[np.frombuffer(data, np.uint8)]


@cache
def _mulaw_bytes() -> NDArray[np.uint8]:
    samples = _every_sample()
    magnitude = np.minimum(np.abs(samples), _MULAW_CLIP) + _MULAW_BIAS
    segment = _bit_length(magnitude >> 8)
    step = (magnitude >> (segment + 3)) & 0x0F
    sign = np.where(samples < 0, 0x80, 0)
    return _frozen(~(sign | segment << 4 | step), np.uint8)


@cache
def _mulaw_samples() -> NDArray[np.int16]:
    code = ~np.arange(256)
    segment, step = code >> 4 & 0x07, code & 0x0F
    magnitude = ((step << 3) + _MULAW_BIAS << segment) - _MULAW_BIAS
    return _frozen(np.where(code & 0x80, -magnitude, magnitude), np.int16)


@cache
def _alaw_bytes() -> NDArray[np.uint8]:
    samples = _every_sample()
    magnitude = np.where(samples < 0, ~samples, samples)  # A-law has no zero: -1 mirrors 0
    segment = _bit_length(magnitude >> 8)
    step = (magnitude >> np.maximum(segment + 3, 4)) & 0x0F
    sign = np.where(samples < 0, 0, 0x80)
    return _frozen((sign | segment << 4 | step) ^ 0x55, np.uint8)  # even bits inverted, for the line's sake


@cache
def _alaw_samples() -> NDArray[np.int16]:
    code = np.arange(256) ^ 0x55
    segment, step = code >> 4 & 0x07, code & 0x0F
    magnitude = np.where(segment > 0, (step << 4) + 0x108 << np.maximum(segment - 1, 0), (step << 4) + 8)
    return _frozen(np.where(code & 0x80, magnitude, -magnitude), np.int16)


def _every_sample() -> NDArray[np.int64]:
    """All 16-bit samples, in the order of their bits read as unsigned."""
    return np.arange(65_536).astype(np.uint16).view(np.int16).astype(np.int64)


def _bit_length(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.frexp(values)[1].astype(np.int64)


def _frozen(table: NDArray[np.int64], dtype: type[_Scalar]) -> NDArray[_Scalar]:
    result = table.astype(dtype)
    result.flags.writeable = False
    return result
