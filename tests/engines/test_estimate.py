"""Estimated words lie between the pauses of what is heard; stretched speech keeps its pitch."""

from __future__ import annotations

import numpy as np
import pytest

from tests.contracts.engine_contract import check_words, named
from tests.engines.upstream_server import said
from voicewire.engines.estimate import estimate_words, stretches
from voicewire.engines.stretch import stretch
from voicewire.types import Pcm, Word

RATE_HZ = 24_000


def spoken(*phrases: str, pause_ms: int = 400) -> tuple[str, Pcm, list[Word]]:
    """Phrases with pauses between, as one text, its audio, and where its words truly are."""
    text, pcm, words = "", np.zeros(RATE_HZ // 5, np.int16), []
    for phrase in phrases:
        chunks = said(phrase)
        words += [
            Word(word.start + len(text), word.stop + len(text), word.begins + len(pcm), word.ends + len(pcm))
            for chunk in chunks
            for word in chunk.words
        ]
        text += phrase + " "
        pcm = np.concatenate([pcm, *(chunk.pcm for chunk in chunks), np.zeros(pause_ms * RATE_HZ // 1000, np.int16)])
    return text.rstrip(), pcm, words


def worst_ms(estimated: tuple[Word, ...], true: list[Word]) -> float:
    return max(abs(a.begins - b.begins) for a, b in zip(estimated, true, strict=True)) * 1000 / RATE_HZ


@pytest.mark.parametrize("pause_ms", [150, 400, 3_000])
def test_pauses_are_where_punctuation_is(pause_ms: int) -> None:
    text, pcm, true = spoken("Well,", "this is a longer phrase;", "and,", "that is all there is.", pause_ms=pause_ms)
    estimated = estimate_words(text, pcm, RATE_HZ)
    check_words(text, estimated, len(pcm))
    assert named(text, estimated) == named(text, true)
    assert worst_ms(estimated, true) < 250


def test_more_pauses_than_punctuation_join_at_the_shortest() -> None:
    first, one, _ = spoken("One two", pause_ms=150)
    second, two, _ = spoken("three,", pause_ms=600)
    third, three, _ = spoken("four.")
    estimated = estimate_words(f"{first} {second} {third}", np.concatenate((one, two, three)), RATE_HZ)
    [*_, last] = estimated
    assert last.begins == pytest.approx(len(one) + len(two) + RATE_HZ // 5, abs=RATE_HZ // 20)


def test_fewer_pauses_than_punctuation_share_it_all() -> None:
    text, pcm, true = spoken("One, two, three, four.")
    estimated = estimate_words(text, pcm, RATE_HZ)
    check_words(text, estimated, len(pcm))
    assert worst_ms(estimated, true) < 250


def test_nothing_heard_and_nothing_said_have_no_words() -> None:
    silence = np.zeros(RATE_HZ, np.int16)
    assert estimate_words("One two.", silence, RATE_HZ) == ()
    assert estimate_words("One two.", silence[:0], RATE_HZ) == ()
    assert estimate_words("…", said("One.")[0].pcm, RATE_HZ) == ()
    assert stretches(np.full(7, 32_000, np.int16), RATE_HZ) == [(0, 7)]


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.25, 2.0])
def test_a_stretched_tone_keeps_its_pitch_and_loudness(speed: float) -> None:
    tone = (10_000 * np.sin(2 * np.pi * 220 * np.arange(2 * RATE_HZ) / RATE_HZ)).astype(np.int16)
    other = stretch(tone, speed, RATE_HZ)
    assert len(other) == round(len(tone) / speed)
    spectrum = np.abs(np.fft.rfft(other * np.hanning(len(other))))
    assert np.argmax(spectrum) * RATE_HZ / len(other) == pytest.approx(220, abs=3)
    middle = other[len(other) // 4 : -len(other) // 4].astype(float)
    assert np.sqrt((middle**2).mean()) == pytest.approx(10_000 / np.sqrt(2), rel=0.05)


def test_one_speed_changes_nothing_and_little_is_no_trouble() -> None:
    pcm = np.arange(50, dtype=np.int16)
    assert stretch(pcm, 1.0, RATE_HZ) is pcm
    assert len(stretch(pcm, 2.0, RATE_HZ)) == 25
    assert len(stretch(pcm[:0], 2.0, RATE_HZ)) == 0
    assert np.abs(stretch(np.full(RATE_HZ, 32_767, np.int16), 0.5, RATE_HZ)).max() <= 32_767
