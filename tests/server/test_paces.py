"""How long a text is expected to sound: by what is read out, and by nobody else's text."""

from __future__ import annotations

import pytest

from voicewire.auth.principal import Principal
from voicewire.blocks import Splitter
from voicewire.server.paces import MEMORY_LETTERS, PACES_MAX, UNIT_MS, Paces, weight
from voicewire.server.spoken import Spoken
from voicewire.types import Block

LETTERS = "These are quite ordinary words."


def spoken(tenant: str, voice: str = "vera") -> Spoken:
    return Spoken(Principal("k", tenant, frozenset(), "key"), "s.1", "tone", voice)


def block(text: str) -> Block:
    splitter = Splitter()
    return (splitter.push(text) + splitter.end())[0]


def test_digits_and_wide_characters_weigh_what_is_said_of_them() -> None:
    assert weight("abc") == 3
    assert weight("") == 1
    assert weight("1234") == 7 * weight("abcd")
    assert weight("$5") > weight("a5")
    assert weight("你好") == 3 * weight("ab")


def test_speed_shortens_what_is_expected() -> None:
    paces = Paces()
    assert paces.estimate_ms(spoken("t"), block(LETTERS), 2.0) == pytest.approx(
        paces.estimate_ms(spoken("t"), block(LETTERS), 1.0) / 2, abs=1
    )


def test_a_voice_is_learnt_within_bounds() -> None:
    paces, slow = Paces(), spoken("t")
    for _ in range(500):
        paces.learn(slow, block(LETTERS), 1_000_000, 1.0)
    assert paces.estimate_ms(slow, block(LETTERS), 1.0) == pytest.approx(2 * UNIT_MS * len(LETTERS), abs=2)


def test_words_by_themselves_say_little_about_a_story() -> None:
    paces, mine, story = Paces(), spoken("t"), Block(0, LETTERS * 100, LETTERS * 100, 0)
    before = paces.estimate_ms(mine, story, 1.0)
    for _ in range(30):
        paces.learn(mine, block("a"), 500, 1.0)
    assert before < paces.estimate_ms(mine, story, 1.0) < 1.2 * before
    paces.learn(mine, story, before * 8 // 10, 1.0)
    assert paces.estimate_ms(mine, story, 1.0) == pytest.approx(before * 0.83, rel=0.03)


def test_what_is_long_ago_is_forgotten() -> None:
    paces, mine, story = Paces(), spoken("t"), Block(0, LETTERS * 10, LETTERS * 10, 0)
    before = paces.estimate_ms(mine, story, 1.0)
    for factor in (1.9, 0.6):
        for _ in range(5 * MEMORY_LETTERS // len(story.spoken)):
            paces.learn(mine, story, int(factor * before), 1.0)
        assert paces.estimate_ms(mine, story, 1.0) == pytest.approx(factor * before, rel=0.05)


def test_what_one_tenant_says_moves_no_other() -> None:
    paces = Paces()
    before = paces.estimate_ms(spoken("mine"), block(LETTERS), 1.0)
    paces.learn(spoken("other"), block(LETTERS), 100_000, 1.0)
    assert paces.estimate_ms(spoken("mine"), block(LETTERS), 1.0) == before


def test_only_so_many_are_remembered() -> None:
    paces = Paces()
    for number in range(PACES_MAX + 1):
        paces.learn(spoken(f"t_{number}"), block(LETTERS), 100_000, 1.0)
    first_guess = int(UNIT_MS * len(LETTERS))
    assert paces.estimate_ms(spoken("t_0"), block(LETTERS), 1.0) == first_guess
    assert paces.estimate_ms(spoken(f"t_{PACES_MAX}"), block(LETTERS), 1.0) > first_guess
