"""Ogg Opus files: pages as RFC 3533 wants them, and exactly the samples put in."""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codecs.decoding import by_ffmpeg, by_sndfile
from tests.codecs.speechlike import snr_db, speechlike
from voicewire.codecs.ogg import OggOpusFile
from voicewire.types import OPUS_RATES_HZ, Pcm

NOISE_RATE_HZ = 48_000


class Page(NamedTuple):
    flags: int
    granule: int
    sequence: int
    lacing: bytes


def ogg(pcm: Pcm, rate_hz: int, bitrate: int = 32_000) -> bytes:
    file = OggOpusFile(rate_hz, bitrate)
    return file.encode(pcm) + file.finish()


def pages(data: bytes) -> list[Page]:
    found = []
    at = 0
    while at < len(data):
        capture, flags, granule, sequence, count = struct.unpack_from("<4sxBQ4xI4xB", data, at)
        assert capture == b"OggS"
        lacing = data[at + 27 : at + 27 + count]
        found.append(Page(flags, granule, sequence, lacing))
        at += 27 + count + sum(lacing)
    assert at == len(data)
    return found


@settings(deadline=None)
@given(rate_hz=st.sampled_from(OPUS_RATES_HZ), samples=st.integers(1, 60_000))
def test_it_decodes_to_exactly_the_samples(rate_hz: int, samples: int) -> None:
    data = ogg(speechlike(rate_hz, samples), rate_hz)
    assert by_ffmpeg(data).pcm.size == samples * 48_000 // rate_hz
    assert by_sndfile(data).pcm.size == samples * by_sndfile(data).rate_hz // rate_hz


@pytest.mark.parametrize("rate_hz", OPUS_RATES_HZ)
def test_what_is_heard_lies_where_it_was(rate_hz: int) -> None:
    pcm = speechlike(rate_hz, rate_hz)
    heard = by_sndfile(ogg(pcm, rate_hz))  # libsndfile checks every page's checksum
    assert heard.rate_hz == rate_hz
    assert snr_db(pcm, heard.pcm) > 20


def test_pages_grow_and_are_numbered_and_the_last_one_says_so() -> None:
    found = pages(ogg(speechlike(24_000, 24_000 * 5), 24_000))
    assert [page.sequence for page in found] == list(range(len(found)))
    assert [page.flags for page in found] == [2, 0] + [0] * (len(found) - 3) + [4]
    packets = [sum(value < 255 for value in page.lacing) for page in found[2:]]
    assert packets[:7] == [1, 2, 4, 8, 16, 32, 50]
    assert max(packets) == 50
    granules = [page.granule for page in found]
    assert granules == sorted(granules)
    assert granules[-1] == 120 + 5 * 48_000


def test_packets_too_large_for_a_page_of_fifty_are_spread() -> None:
    noise = np.random.default_rng(5).integers(-32_768, 32_768, 4 * NOISE_RATE_HZ).astype(np.int16)
    data = ogg(noise, NOISE_RATE_HZ, 256_000)
    assert max(len(page.lacing) for page in pages(data)) <= 255
    assert max(sum(page.lacing) for page in pages(data)) > 50 * 255
    assert by_sndfile(data).pcm.size == noise.size


def test_every_number_of_samples_around_a_frame_is_kept() -> None:
    for samples in (0, 1, 419, 420, 421, 479, 480, 481, 899, 900, 901):
        assert by_ffmpeg(ogg(speechlike(24_000, samples), 24_000)).pcm.size == 2 * samples
