"""G.711 against its definition, over all samples and all bytes, and against FFmpeg."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from av import AudioCodecContext, CodecContext, Packet

from voicewire.codecs import g711
from voicewire.types import Pcm

ALL_SAMPLES = np.arange(-32_768, 32_768).astype(np.int16)
ALL_BYTES = bytes(range(256))

both_laws = pytest.mark.parametrize(
    ("serialize", "parse"),
    [(g711.serialize_mulaw, g711.parse_mulaw), (g711.serialize_alaw, g711.parse_alaw)],
    ids=["mulaw", "alaw"],
)
Serialize = Callable[[Pcm], bytes]
Parse = Callable[[bytes], Pcm]


@both_laws
def test_every_byte_says_the_middle_of_the_samples_it_stands_for(serialize: Serialize, parse: Parse) -> None:
    codes = np.frombuffer(serialize(ALL_SAMPLES), np.uint8)
    for code in np.unique(codes):
        stands_for = ALL_SAMPLES[codes == code].astype(int)
        assert np.ptp(stands_for) == stands_for.size - 1, "an interval without holes"
        middle = (stands_for[0] + stands_for[-1]) / 2
        beyond = 68 if abs(middle) > 32_000 else 0  # µ-law ends at 32,635: what is louder has its last byte
        assert abs(parse(bytes([code]))[0] - middle) <= 2 + beyond


@both_laws
def test_every_byte_comes_back(serialize: Serialize, parse: Parse) -> None:
    back = parse(serialize(parse(ALL_BYTES)))
    assert np.array_equal(back, parse(ALL_BYTES))  # µ-law has two bytes for 0, so samples are compared


@pytest.mark.parametrize(("codec", "parse"), [("pcm_mulaw", g711.parse_mulaw), ("pcm_alaw", g711.parse_alaw)])
def test_every_byte_means_what_it_means_to_ffmpeg(codec: str, parse: Parse) -> None:
    context = cast(AudioCodecContext, CodecContext.create(codec, "r"))
    context.rate, context.layout = 8_000, "mono"
    (frame,) = context.decode(Packet(ALL_BYTES))
    assert np.array_equal(parse(ALL_BYTES), frame.to_ndarray().reshape(-1))


def test_silence_and_the_loudest_samples_have_the_bytes_of_the_standard() -> None:
    samples = np.array([0, 32_767, -32_768], np.int16)
    assert g711.serialize_mulaw(samples) == bytes([0xFF, 0x80, 0x00])
    assert g711.serialize_alaw(samples) == bytes([0xD5, 0xAA, 0x2A])
