"""PCM bytes: exact in both widths, little-endian, clipped and never wrapped."""

from __future__ import annotations

import numpy as np
import pytest

from voicewire.codecs.pcm import parse_f32le, parse_s16le, serialize_f32le, serialize_s16le
from voicewire.errors import BadRequest

ALL_SAMPLES = np.arange(-32_768, 32_768).astype(np.int16)


def test_every_sample_survives_both_widths() -> None:
    assert np.array_equal(parse_s16le(serialize_s16le(ALL_SAMPLES)), ALL_SAMPLES)
    assert np.array_equal(parse_f32le(serialize_f32le(ALL_SAMPLES)), ALL_SAMPLES)


def test_bytes_are_little_endian() -> None:
    assert serialize_s16le(np.array([1, -2], np.int16)) == b"\x01\x00\xfe\xff"
    assert serialize_f32le(np.array([16_384, -32_768], np.int16)) == b"\x00\x00\x00\x3f\x00\x00\x80\xbf"


def test_float_beyond_full_scale_is_clipped() -> None:
    loud = np.array([1.0, 7.5, -7.5], "<f4").tobytes()
    assert parse_f32le(loud).tolist() == [32_767, 32_767, -32_768]


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(BadRequest, match="3 bytes"):
        parse_s16le(bytes(3))
    with pytest.raises(BadRequest, match="6 bytes"):
        parse_f32le(bytes(6))
