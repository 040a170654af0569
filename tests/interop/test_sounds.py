"""The measure of what clients heard: it takes a text for itself, and nothing else for it."""

from __future__ import annotations

from base64 import b64encode

import numpy as np
import pytest

from tests.interop.sounds import Own, Samples, Sound, assert_says, assert_timed, bare, file, floats
from voicewire.codecs.base import FileKind, open_file_encoder
from voicewire.engines.espeak import open_engine
from voicewire.types import Utterance

TEXT, OTHER = "It costs $4.50, doesn't it? Yes.", "It costs five euros, is it? No."
RATE_HZ = 22_050
WORDS = [(0, 2, 0, 150), (3, 8, 150, 600)]
TIMED = [("It", 0.0, 0.15), ("costs", 0.15, 0.6)]


def _spoken(text: str) -> Sound:
    engine = open_engine(lanes=1)
    try:
        chunks = list(engine.synthesize(Utterance(text, "en-us")))
    finally:
        engine.close()
    return Sound(floats(np.concatenate([chunk.pcm for chunk in chunks])), RATE_HZ)


@pytest.fixture(scope="module")
def ours() -> Own:
    return Own(_spoken(TEXT), TEXT, [])


def _noise(like: Samples) -> Samples:
    return np.random.default_rng(0).uniform(-0.15, 0.15, len(like)).astype(np.float32)


def _swapped(like: Samples) -> Samples:
    return floats((like * 32_767).astype(np.int16).byteswap())


def test_a_text_is_taken_for_itself(ours: Own) -> None:
    assert_says(ours.sound, ours)
    assert_says(_spoken(TEXT), ours)


@pytest.mark.parametrize(
    "spoil",
    [
        _noise,
        np.zeros_like,
        _swapped,
        lambda like: like * 0.5,
        lambda like: like[: len(like) // 2],
        lambda like: np.repeat(like, 2),
        lambda like: like[::-1],
        lambda like: np.roll(like, RATE_HZ // 2),
        lambda like: np.resize(_spoken(OTHER).samples, len(like)),
    ],
    ids=[
        "noise",
        "silence",
        "bytes swapped",
        "half as loud",
        "half of it",
        "slow",
        "backwards",
        "late",
        "another text",
    ],
)
def test_nothing_else_is(spoil: object, ours: Own) -> None:
    with pytest.raises(AssertionError):
        assert_says(Sound(spoil(ours.sound.samples), RATE_HZ), ours)  # type: ignore[operator]  # one of those above


def test_noise_is_no_speech_even_where_ours_is_the_same(ours: Own) -> None:
    noise = Sound(_noise(ours.sound.samples), RATE_HZ)
    with pytest.raises(AssertionError, match="no speech"):
        assert_says(noise, Own(noise, TEXT, []))


@pytest.mark.parametrize("kind", ["mp3", "opus", "aac", "flac", "wav"])
def test_a_file_is_of_its_kind_alone(kind: str, ours: Own) -> None:
    encoder = open_file_encoder(FileKind(kind), 24_000 if kind == "opus" else RATE_HZ, None)
    pcm = (ours.sound.samples * 32_768).astype(np.int16)
    handed = b64encode(encoder.encode(pcm) + encoder.finish()).decode()
    assert file(handed, kind).samples.any()
    for other in {"mp3", "opus", "aac", "flac", "wav"} - {kind}:
        with pytest.raises(AssertionError):
            file(handed, other)
    with pytest.raises(AssertionError):
        assert_says(bare(handed, RATE_HZ), ours)


@pytest.mark.parametrize(
    "heard",
    [
        [("It", 0.0, 0.15), ("cost", 0.15, 0.6)],
        [("It", 9.9, 9.9), ("costs", 9.9, 9.9)],
        [("It", 0.15, 0.6), ("costs", 0.0, 0.15)],
        [("It", 0.0, 0.0), ("costs", 0.0, 0.0)],
        [("It", 0.0, 0.15), ("costs", 0.4, 0.6)],
        [("It", 0.0, 0.15), ("costs", 0.15, 0.9)],
        [("It", 0.0, 0.15)],
        [],
    ],
)
def test_times_are_those_of_the_words(heard: list[tuple[str, float, float]], ours: Own) -> None:
    told = Own(ours.sound, "It costs", WORDS)
    assert_timed(TIMED, ours.sound, told, " ")
    with pytest.raises(AssertionError):
        assert_timed(heard, ours.sound, told, " ")
