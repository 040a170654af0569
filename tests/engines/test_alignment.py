"""Times of characters become words, however an upstream cuts audio and times, and whatever it makes up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.engine_contract import checked, named
from voicewire.engines.alignment import Alignment, Character
from voicewire.types import Chunk

RATE_HZ = 1_000
TEXT = "It's “two” words — or 3.50, isn't it?"
TRUE = ["It's", "two", "words", "or", "3.50", "isn't", "it"]

Message = tuple[int, list[Character]]  # samples, characters


def characters(text: str, each_s: float = 0.05) -> list[Character]:
    return [Character(letter, nth * each_s, (nth + 1) * each_s) for nth, letter in enumerate(text)]


def run(text: str, messages: Sequence[Message]) -> list[Chunk]:
    alignment = Alignment(text, RATE_HZ)
    chunks = [alignment.push(np.ones(samples, np.int16), said) for samples, said in messages]
    return [chunk for chunk in [*chunks, alignment.finish()] if chunk]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 700), st.integers(0, 9)), max_size=30))
def test_words_do_not_depend_on_how_a_stream_is_cut(cuts: list[tuple[int, int]]) -> None:
    """Characters come with their audio, or before it."""
    said, audio, passed, told, messages = characters(TEXT), len(TEXT) * 50, 0, 0, []
    for samples, ahead in [*cuts, (audio, 0)]:
        until = min(passed + samples, audio)
        count = max(told, -(-until // 50) + ahead)
        messages.append((until - passed, said[told:count]))
        passed, told = until, count
    spoken = checked(TEXT, run(TEXT, messages))
    assert len(spoken.pcm) == audio
    assert spoken.words == checked(TEXT, run(TEXT, [(audio, said)])).words


def test_times_are_those_of_the_first_and_last_character() -> None:
    spoken = checked(TEXT, run(TEXT, [(len(TEXT) * 50, characters(TEXT))]))
    assert named(TEXT, spoken.words) == TRUE
    assert [(word.begins, word.ends) for word in spoken.words] == [
        (word.start * 50, word.stop * 50) for word in spoken.words
    ]


def test_audio_waits_for_a_word_that_has_begun_and_for_no_other() -> None:
    alignment = Alignment("one two", RATE_HZ)
    said = characters("one two")
    first = alignment.push(np.ones(250, np.int16), said[:5])
    assert first
    assert (len(first.pcm), len(first.words)) == (200, 1), "up to where `two` begins"
    second = alignment.push(np.ones(100, np.int16), said[5:])
    assert second
    assert (len(second.pcm), second.words[0].ends) == (150, 350)
    assert alignment.finish() is None


@settings(max_examples=50)
@given(
    st.text(alphabet="ab 1.\u00e9中", max_size=20),
    st.lists(
        st.tuples(
            st.integers(0, 300),
            st.lists(st.builds(Character, st.text(max_size=2), st.floats(), st.floats()), max_size=6),
        ),
        max_size=8,
    ),
)
def test_nonsense_breaks_no_promise(text: str, messages: list[Message]) -> None:
    spoken = checked(text, run(text, messages))
    assert len(spoken.pcm) == sum(samples for samples, _ in messages)


def test_characters_that_are_not_of_the_text_are_passed_over() -> None:
    said = characters("<break>one twoo")
    spoken = checked("one two", run("one two", [(750, said)]))
    assert named("one two", spoken.words) == ["one", "two"]
