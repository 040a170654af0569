"""The WAV header, with the length known and not."""

from __future__ import annotations

import struct
import wave
from collections.abc import Callable
from io import BytesIO

import av
import pytest

from tests.codecs.speechlike import speechlike
from voicewire.codecs import g711
from voicewire.codecs.pcm import serialize_f32le, serialize_s16le
from voicewire.codecs.wav import WavFile, header
from voicewire.types import Codec, Pcm


def test_the_exact_header_is_what_the_standard_library_reads() -> None:
    pcm = speechlike(22_050, 1_001)
    with wave.open(BytesIO(header(22_050, pcm.size) + serialize_s16le(pcm))) as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == (1, 2, 22_050)
        assert reader.getnframes() == pcm.size
        assert reader.readframes(pcm.size) == serialize_s16le(pcm)


@pytest.mark.parametrize(
    ("codec", "name", "serialize"),
    [
        (Codec.PCM_F32LE, "pcm_f32le", serialize_f32le),
        (Codec.MULAW, "pcm_mulaw", g711.serialize_mulaw),
        (Codec.ALAW, "pcm_alaw", g711.serialize_alaw),
    ],
)
def test_other_samples_are_read_as_what_they_are(codec: Codec, name: str, serialize: Callable[[Pcm], bytes]) -> None:
    data = serialize(speechlike(8_000, 1_001))
    for samples in (1_001, None):  # the whole file, and the stream
        with av.open(BytesIO(header(8_000, samples, codec) + data), "r") as file:
            stream = file.streams.audio[0]
            assert (stream.codec_context.name, stream.rate, stream.layout.nb_channels) == (name, 8_000, 1)
            assert b"".join(bytes(packet) for packet in file.demux()) == data


def test_an_unknown_length_is_the_largest_there_is() -> None:
    riff, data = struct.unpack_from("<4xI32xI", header(24_000))
    assert (riff, data) == (0xFFFFFFFF, 0xFFFFFFFF)


def test_a_file_beyond_four_gibibytes_says_the_largest() -> None:
    riff, data = struct.unpack_from("<4xI32xI", header(48_000, 2**31))
    assert (riff, data) == (0xFFFFFFFF, 0xFFFFFFFF)
    riff, data = struct.unpack_from("<4xI32xI", header(48_000, 2**31 - 10))
    assert (riff, data) == (0xFFFFFFFF, 2**32 - 20)


def test_the_correction_is_the_exact_header() -> None:
    file = WavFile(24_000)
    data = file.encode(speechlike(24_000, 10)) + file.encode(speechlike(24_000, 5)) + file.finish()
    assert data[:44] == header(24_000)
    assert file.corrections == ((0, header(24_000, 15)),)


def test_without_audio_the_header_still_comes() -> None:
    assert WavFile(8_000).finish() == header(8_000)
