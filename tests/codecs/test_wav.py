"""The WAV header, with the length known and not."""

from __future__ import annotations

import struct
import wave
from io import BytesIO

from tests.codecs.speechlike import speechlike
from voicewire.codecs.pcm import serialize_s16le
from voicewire.codecs.wav import WavFile, header


def test_the_exact_header_is_what_the_standard_library_reads() -> None:
    pcm = speechlike(22_050, 1_001)
    with wave.open(BytesIO(header(22_050, pcm.size) + serialize_s16le(pcm))) as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == (1, 2, 22_050)
        assert reader.getnframes() == pcm.size
        assert reader.readframes(pcm.size) == serialize_s16le(pcm)


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
