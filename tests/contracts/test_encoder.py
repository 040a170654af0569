"""What every live encoder owes its callers, checked over every codec, rate and frame."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codecs.speechlike import cut, snr_db, speechlike
from voicewire.codecs.base import open_decoder, open_encoder
from voicewire.types import OPUS_FRAMES_MS, OPUS_RATES_HZ, Codec, Format, Pcm

FORMATS = [
    *(Format(Codec.OPUS, rate_hz, frame_ms) for rate_hz in OPUS_RATES_HZ for frame_ms in OPUS_FRAMES_MS),
    *(
        Format(codec, rate_hz, 20)
        for codec in (Codec.PCM_S16LE, Codec.PCM_F32LE)
        for rate_hz in (8_000, 22_050, 48_000)
    ),
    *(Format(codec, 8_000, frame_ms) for codec in (Codec.MULAW, Codec.ALAW) for frame_ms in (5, 20, 100)),
]
SNR_DB = {Codec.OPUS: 20.0, Codec.PCM_S16LE: 120.0, Codec.PCM_F32LE: 120.0, Codec.MULAW: 37.0, Codec.ALAW: 37.0}

every_format = pytest.mark.parametrize("format", FORMATS, ids=lambda f: f"{f.codec}-{f.rate_hz}-{f.frame_ms}ms")
any_format = st.sampled_from(FORMATS)
any_cuts = st.lists(st.integers(0, 3_000), min_size=1, max_size=8).filter(any)


def encode(format: Format, *blocks: Pcm) -> list[list[bytes]]:
    """Encode blocks one after the other with one encoder."""
    encoder = open_encoder(format)
    return [encoder.encode(block) + encoder.flush() for block in blocks]


def decode(format: Format, frames: list[bytes]) -> list[Pcm]:
    decoder = open_decoder(format)
    return [decoder.decode(frame) for frame in frames]


def with_pause(pcm: Pcm, format: Format) -> Pcm:
    """As the renderer ends a block: in whole frames, the last of them silent."""
    silence = -pcm.size % format.frame_samples + format.frame_samples
    return np.pad(pcm, (0, silence))


@every_format
def test_what_is_decoded_is_what_was_encoded(format: Format) -> None:
    pcm = speechlike(format.rate_hz, format.rate_hz)
    lag = open_encoder(format).lookahead_samples
    heard = np.concatenate(decode(format, encode(format, pcm)[0]))
    assert snr_db(pcm[: pcm.size - lag], heard[lag:]) >= SNR_DB[format.codec]


@settings(deadline=None)
@given(format=any_format, samples=st.integers(0, 5_000), cuts=any_cuts)
def test_every_frame_has_its_samples_and_all_samples_have_a_frame(
    format: Format, samples: int, cuts: list[int]
) -> None:
    encoder = open_encoder(format)
    taken = 0
    frames: list[bytes] = []
    for piece in cut(speechlike(format.rate_hz, samples), cuts):
        frames += encoder.encode(piece)
        taken += piece.size
        assert len(frames) == taken // format.frame_samples
    frames += encoder.flush()
    assert [pcm.size for pcm in decode(format, frames)] == [format.frame_samples] * -(-samples // format.frame_samples)


@settings(deadline=None)
@given(format=any_format, samples=st.integers(0, 5_000), cuts=any_cuts)
def test_the_cut_of_the_input_does_not_matter(format: Format, samples: int, cuts: list[int]) -> None:
    pcm = speechlike(format.rate_hz, samples)
    encoder = open_encoder(format)
    frames = [frame for piece in cut(pcm, cuts) for frame in encoder.encode(piece)] + encoder.flush()
    assert frames == encode(format, pcm)[0]


@every_format
def test_the_caller_may_write_over_its_array(format: Format) -> None:
    pcm = speechlike(format.rate_hz, format.frame_samples + 7)
    encoder, scratch = open_encoder(format), pcm.copy()
    frames = encoder.encode(scratch)
    scratch[:] = 0
    assert frames + encoder.flush() == encode(format, pcm)[0]


@every_format
def test_an_array_with_gaps_is_read_as_its_samples(format: Format) -> None:
    pcm = speechlike(format.rate_hz, 2 * format.frame_samples)
    assert encode(format, np.repeat(pcm, 2)[::2]) == encode(format, pcm)


@every_format
def test_flush_makes_the_encoder_as_new(format: Format) -> None:
    loud = np.random.default_rng(3).integers(-30_000, 30_000, format.rate_hz // 3).astype(np.int16)
    pcm = speechlike(format.rate_hz, format.rate_hz // 4)
    assert encode(format, loud, pcm)[1] == encode(format, pcm)[0]


@every_format
def test_flush_with_nothing_left_gives_nothing(format: Format) -> None:
    encoder = open_encoder(format)
    assert encoder.flush() == []
    encoder.encode(speechlike(format.rate_hz, format.frame_samples))
    assert encoder.flush() == []


@every_format
def test_one_decoder_may_run_on_across_blocks(format: Format) -> None:
    """The second block sounds as with a decoder of its own: no swell, no click at the seam."""
    speech = speechlike(format.rate_hz, format.rate_hz)
    first, second = with_pause(speech, format), with_pause(speech[format.rate_hz // 10 :], format)
    blocks = encode(format, first, second)
    running = np.concatenate(decode(format, blocks[0] + blocks[1]))[first.size :]
    alone = np.concatenate(decode(format, blocks[1]))
    assert np.max(np.abs(running.astype(int) - alone)) <= 128  # of 32,768: what still rings of the first block, -48 dB


@every_format
def test_blocks_apart_sound_like_one_piece(format: Format) -> None:
    speech = speechlike(format.rate_hz, format.rate_hz)
    first, second = with_pause(speech, format), with_pause(speech, format)
    whole = np.concatenate((first, second))
    lag = open_encoder(format).lookahead_samples
    apart = np.concatenate(decode(format, list(chain.from_iterable(encode(format, first, second)))))
    joined = np.concatenate(decode(format, encode(format, whole)[0]))
    onset = slice(first.size, first.size + format.rate_hz // 5)
    assert snr_db(whole[onset], apart[lag:][onset]) >= snr_db(whole[onset], joined[lag:][onset]) - 2
    seam = slice(first.size - format.frame_samples // 2, first.size)
    assert np.max(np.abs(apart[lag:][seam])) <= np.max(np.abs(joined[lag:][seam])) + 64
