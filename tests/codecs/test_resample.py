"""The resampler: its length, its repeatability, its sound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codecs.speechlike import cut, speechlike
from voicewire.codecs.resample import Resampler, position, resampled
from voicewire.types import Pcm

RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 44_100, 48_000)
any_rate = st.sampled_from(RATES_HZ)
any_cuts = st.lists(st.integers(0, 3_000), min_size=1, max_size=8).filter(any)


def convert(resampler: Resampler, *pieces: Pcm) -> Pcm:
    return np.concatenate([*map(resampler.push, pieces), resampler.flush()])


def tone(frequency_hz: float, rate_hz: int) -> Pcm:
    return (10_000 * np.sin(2 * np.pi * frequency_hz * np.arange(rate_hz) / rate_hz)).astype(np.int16)


@settings(deadline=None)
@given(in_hz=any_rate, out_hz=any_rate, samples=st.integers(0, 6_000), cuts=any_cuts)
def test_the_cut_does_not_matter_and_the_length_is_exact(
    in_hz: int, out_hz: int, samples: int, cuts: list[int]
) -> None:
    pcm = speechlike(in_hz, samples)
    whole = convert(Resampler(in_hz, out_hz), pcm)
    assert whole.size == resampled(samples, in_hz, out_hz)
    assert np.array_equal(convert(Resampler(in_hz, out_hz), *cut(pcm, cuts)), whole)


@settings(deadline=None)
@given(in_hz=any_rate, out_hz=any_rate, samples=st.integers(0, 2_000))
def test_short_pieces_in_a_row_come_out_as_with_a_new_resampler(in_hz: int, out_hz: int, samples: int) -> None:
    used, pcm = Resampler(in_hz, out_hz), speechlike(in_hz, samples)
    convert(used, speechlike(in_hz, 777))
    assert np.array_equal(convert(used, pcm), convert(Resampler(in_hz, out_hz), pcm))


def test_reset_forgets() -> None:
    used, pcm = Resampler(22_050, 24_000), speechlike(22_050, 4_410)
    used.push(speechlike(22_050, 9_999))
    used.reset()
    assert np.array_equal(convert(used, pcm), convert(Resampler(22_050, 24_000), pcm))


def test_the_same_rate_hands_on_the_same_array() -> None:
    pcm = speechlike(24_000, 480)
    assert Resampler(24_000, 24_000).push(pcm) is pcm


@pytest.mark.parametrize(("in_hz", "out_hz"), [(22_050, 24_000), (24_000, 48_000), (24_000, 8_000), (22_050, 8_000)])
def test_a_tone_stays_that_tone_in_place(in_hz: int, out_hz: int) -> None:
    heard = convert(Resampler(in_hz, out_hz), tone(1_000, in_hz)).astype(int)
    middle = slice(out_hz // 10, -out_hz // 10)
    assert np.max(np.abs(heard - tone(1_000, out_hz))[middle]) <= 4


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    heard = convert(Resampler(24_000, 8_000), tone(5_000, 24_000))[800:-800]
    assert np.max(np.abs(heard)) <= 2


def test_silence_stays_silence() -> None:
    assert not convert(Resampler(22_050, 24_000), np.zeros(22_050, np.int16)).any()


def test_loud_input_is_clipped_and_never_wraps() -> None:
    square = np.where(np.arange(22_050) % 100 < 50, 32_767, -32_768).astype(np.int16)
    heard = convert(Resampler(22_050, 24_000), square).astype(int)
    assert np.min(heard[10:40]) > 25_000
    assert np.max(heard) == 32_767


def test_the_first_sixty_milliseconds_give_a_frame() -> None:
    """So that sound starts with the engine's first chunk: one Opus frame of 20 ms is ready."""
    assert Resampler(22_050, 24_000).push(speechlike(22_050, 1_323)).size >= 480


@settings(deadline=None)
@given(samples=st.integers(0, 10**9), in_hz=any_rate, out_hz=any_rate)
def test_positions_ascend_and_end_at_the_end(samples: int, in_hz: int, out_hz: int) -> None:
    here, there = position(samples, in_hz, out_hz), position(samples + 1, in_hz, out_hz)
    assert here <= there
    assert here == resampled(samples, in_hz, out_hz)
    assert abs(here * in_hz - samples * out_hz) * 2 <= in_hz
