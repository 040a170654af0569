"""Every kind of file: what other decoders make of it, and how it streams."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codecs.decoding import by_ffmpeg, by_sndfile
from tests.codecs.speechlike import cut, snr_db, speechlike
from voicewire.codecs import g711
from voicewire.codecs.base import FILES, FileKind, content_type, file_rate_hz, open_file_encoder
from voicewire.codecs.pcm import parse_s16le
from voicewire.errors import UnsupportedFormat
from voicewire.types import Pcm

LOSSLESS = (FileKind.WAV, FileKind.FLAC)
MP3_FRAME = 1_152
AAC_FRAME = 1_024

every_kind = pytest.mark.parametrize("kind", FileKind)
any_cuts = st.lists(st.integers(0, 9_000), min_size=1, max_size=5).filter(any)


def streamed(kind: FileKind, rate_hz: int, *pieces: Pcm) -> bytes:
    """The file as an HTTP client gets it."""
    encoder = open_file_encoder(kind, rate_hz)
    return b"".join(map(encoder.encode, pieces)) + encoder.finish()


def on_disk(kind: FileKind, rate_hz: int, *pieces: Pcm) -> bytes:
    """The file as it lies on a disk, its lengths corrected."""
    encoder = open_file_encoder(kind, rate_hz)
    data = bytearray(b"".join(map(encoder.encode, pieces)) + encoder.finish())
    for offset, correction in encoder.corrections:
        assert offset + len(correction) <= len(data)
        data[offset : offset + len(correction)] = correction
    return bytes(data)


@pytest.mark.parametrize("kind", [kind for kind in FileKind if not FILES[kind].bare])
def test_a_file_of_nothing_is_a_file_of_its_kind(kind: FileKind) -> None:
    for data in (streamed(kind, 24_000), on_disk(kind, 24_000), streamed(kind, 24_000, np.zeros(0, np.int16))):
        heard = by_ffmpeg(data)
        assert heard.rate_hz in {24_000, 48_000}
        assert heard.pcm.size <= 2 * MP3_FRAME
        assert not heard.pcm.any()


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("samples", [1, 4_095, 4_096, 12_345])
def test_lossless_kinds_give_the_samples_back(kind: FileKind, rate_hz: int, samples: int) -> None:
    pcm = speechlike(rate_hz, samples)
    for heard in (by_ffmpeg(streamed(kind, rate_hz, pcm)), by_sndfile(on_disk(kind, rate_hz, pcm))):
        assert heard.rate_hz == rate_hz
        assert np.array_equal(heard.pcm, pcm)


@pytest.mark.parametrize("rate_hz", FILES[FileKind.MP3].rates_hz)
@pytest.mark.parametrize("samples", [500, MP3_FRAME, 12_345])
def test_a_corrected_mp3_has_exactly_the_samples(rate_hz: int, samples: int) -> None:
    pcm = speechlike(rate_hz, samples)
    data = on_disk(FileKind.MP3, rate_hz, pcm)
    for heard in (by_ffmpeg(data), by_sndfile(data)):
        assert heard.rate_hz == rate_hz
        assert heard.pcm.size == samples
        assert snr_db(pcm, heard.pcm) > 15


@pytest.mark.parametrize("rate_hz", FILES[FileKind.AAC].rates_hz)
def test_an_aac_file_has_the_sound_behind_its_priming(rate_hz: int) -> None:
    pcm = speechlike(rate_hz, 12_345)
    heard = by_ffmpeg(streamed(FileKind.AAC, rate_hz, pcm))
    assert heard.rate_hz == rate_hz
    assert pcm.size <= heard.pcm.size - AAC_FRAME < pcm.size + 2 * AAC_FRAME
    assert snr_db(pcm, heard.pcm[AAC_FRAME:]) > 10


@pytest.mark.parametrize("rate_hz", FILES[FileKind.MP3].rates_hz)
def test_a_streamed_mp3_starts_exactly_and_ends_in_less_than_two_frames_of_silence(rate_hz: int) -> None:
    pcm = speechlike(rate_hz, 12_345)
    heard = by_ffmpeg(streamed(FileKind.MP3, rate_hz, pcm)).pcm
    assert snr_db(pcm, heard) > 15
    assert pcm.size <= heard.size < pcm.size + 2 * MP3_FRAME


def test_bare_kinds_are_their_samples() -> None:
    pcm = speechlike(24_000, 5_000)
    assert np.array_equal(parse_s16le(streamed(FileKind.PCM, 24_000, pcm)), pcm)
    assert streamed(FileKind.MULAW, 24_000, pcm) == g711.serialize_mulaw(pcm)
    assert streamed(FileKind.ALAW, 24_000, pcm) == g711.serialize_alaw(pcm)


@settings(max_examples=40, deadline=None)
@given(kind=st.sampled_from(FileKind), samples=st.integers(0, 20_000), cuts=any_cuts)
def test_the_cut_does_not_matter(kind: FileKind, samples: int, cuts: list[int]) -> None:
    pcm = speechlike(24_000, samples)
    assert on_disk(kind, 24_000, *cut(pcm, cuts)) == on_disk(kind, 24_000, pcm)


@every_kind
def test_an_array_with_gaps_is_read_as_its_samples(kind: FileKind) -> None:
    pcm = speechlike(24_000, 5_000)
    assert streamed(kind, 24_000, np.repeat(pcm, 2)[::2]) == streamed(kind, 24_000, pcm)


@pytest.mark.parametrize("kind", [FileKind.WAV, FileKind.OPUS])
def test_no_audio_is_a_file_without_samples(kind: FileKind) -> None:
    assert by_ffmpeg(streamed(kind, 24_000)).pcm.size == 0


@every_kind
def test_no_audio_is_no_error(kind: FileKind) -> None:
    assert streamed(kind, 24_000) == streamed(kind, 24_000, np.zeros(0, np.int16))


@every_kind
def test_bytes_come_while_the_audio_is_made(kind: FileKind) -> None:
    encoder = open_file_encoder(kind, 24_000)
    pieces = np.split(speechlike(24_000, 5 * 24_000), 50)
    sizes = [len(encoder.encode(piece)) for piece in pieces]
    assert any(sizes[:3]), "something within 0.3 s"
    assert sum(sizes[:40]) > 0.7 * sum(sizes), "most of it along the way"
    assert len(encoder.finish()) < 0.3 * sum(sizes)


@every_kind
def test_memory_does_not_grow_with_the_file(kind: FileKind) -> None:
    encoder, second = open_file_encoder(kind, 8_000), speechlike(8_000, 8_000)
    encoder.encode(second)
    tracemalloc.start()
    try:
        for _ in range(60):
            encoder.encode(second)
        kept, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    encoder.finish()
    assert kept < 48_000  # three seconds of PCM


@every_kind
def test_a_file_given_up_in_the_middle_harms_nothing(kind: FileKind) -> None:
    encoder = open_file_encoder(kind, 24_000)
    encoder.encode(speechlike(24_000, 24_000))
    del encoder
    assert streamed(kind, 24_000, speechlike(24_000, 100))


@pytest.mark.parametrize(
    ("kind", "rate_hz", "bitrate"),
    [
        (FileKind.OPUS, 22_050, None),
        (FileKind.OPUS, 24_000, 5_999),
        (FileKind.OPUS, 24_000, 0),
        (FileKind.MP3, 10_000, None),
        (FileKind.MP3, 24_000, 320_001),
        (FileKind.WAV, 7_999, None),
        (FileKind.PCM, 48_001, None),
    ],
)
def test_what_a_kind_does_not_take_is_refused(kind: FileKind, rate_hz: int, bitrate: int | None) -> None:
    with pytest.raises(UnsupportedFormat):
        open_file_encoder(kind, rate_hz, bitrate)


@pytest.mark.parametrize("kind", [FileKind.MP3, FileKind.OPUS])
def test_the_bitrate_reaches_the_encoder(kind: FileKind) -> None:
    pcm, sizes = speechlike(48_000, 96_000), []
    for bitrate in (32_000, 64_000, 128_000):
        encoder = open_file_encoder(kind, 48_000, bitrate)
        sizes.append(len(encoder.encode(pcm) + encoder.finish()))
    assert sizes == [pytest.approx(bitrate / 8 * 2, rel=0.2) for bitrate in (32_000, 64_000, 128_000)]


def test_the_rate_of_a_file_is_the_next_that_its_kind_takes() -> None:
    assert file_rate_hz(FileKind.OPUS, 22_050) == 24_000
    assert file_rate_hz(FileKind.OPUS, 44_100) == 48_000
    assert file_rate_hz(FileKind.MP3, 22_050) == 22_050
    assert file_rate_hz(FileKind.MP3, 96_000) == 48_000
    assert file_rate_hz(FileKind.WAV, 22_050) == 22_050


@every_kind
def test_every_kind_has_a_media_type_and_an_extension_of_its_own(kind: FileKind) -> None:
    others = [codec for other, codec in FILES.items() if other is not kind]
    assert FILES[kind].extension not in {codec.extension for codec in others}
    assert FILES[kind].media_type not in {codec.media_type for codec in others}


def test_only_bare_samples_name_their_rate_in_the_content_type() -> None:
    assert content_type(FileKind.PCM, 24_000) == "audio/pcm; rate=24000"
    assert content_type(FileKind.MP3, 24_000) == "audio/mpeg"
