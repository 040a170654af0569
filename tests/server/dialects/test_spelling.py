"""What words are joined from: every mark of the text goes with one of them, however the text and the words come."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voicewire.server.dialects.spelling import Spelling

Spans = list[tuple[int, int]]

LETTERS = st.sampled_from(["Yes", "no", "été", "世界", "3.14", "doesn't", "4"])
MARKS = st.sampled_from(
    ["!", "?", ";", ":", "—", "-", "…", "«", "»", '"', "(", ")", "#", "*", "**", "“", "”", "¿", "😀"]
)
SPACES = st.sampled_from([" ", " ", "  ", "\n", "\n\n", "\xa0", "\u202f", "\t"])
TOKENS = st.builds("{}{}{}".format, MARKS | st.just(""), LETTERS, MARKS | st.just("")) | MARKS
TEXTS = st.lists(st.tuples(TOKENS, SPACES), max_size=12).map(lambda pairs: "".join(map("".join, pairs)))


def spans(text: str) -> Spans:
    """Where the words stand, as engines tell it: what has letters, without the marks around it, and some symbols."""
    return [found.span() for found in re.finditer(r"\w(?:\S*\w)?|(?<!\S)😀(?!\S)", text)]


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        (
            "Bonjour ! Ça va ? Oui : très bien ; merci.",
            ["Bonjour !", "Ça", "va ?", "Oui :", "très", "bien ;", "merci."],
        ),
        ("« Bonjour », dit-il.", ["« Bonjour »,", "dit-il."]),
        ("Yes — of course - not.", ["Yes —", "of", "course -", "not."]),
        ('He said "hi" (twice) … and left.', ["He", "said", '"hi"', "(twice) …", "and", "left."]),
        ("- one\n- two\n\n# Title\n**bold** text", ["- one", "- two", "# Title", "**bold**", "text"]),
        ("Hola. ¿ Qué ?\n—", ["Hola.", "¿ Qué ?\n—"]),
    ],
)
def test_a_mark_alone_goes_to_its_neighbour(text: str, spelt: list[str]) -> None:
    spelling = Spelling()
    spelling.push(text)
    spelling.ended = True
    assert spelling.words(spans(text)) == spelt
    assert spelling.rest() == ""


def test_a_mark_that_comes_late_goes_with_the_next_word_or_is_left() -> None:
    spelling = Spelling()
    spelling.push("Bonjour")
    assert spelling.words([(0, 7)]) == ["Bonjour"]
    spelling.push(" ! Ça")
    assert spelling.words([(10, 12)]) == ["! Ça"]
    spelling.push(" ?")
    assert (spelling.rest(), spelling.rest()) == ("?", "")


def test_what_nobody_spoke_stays_away() -> None:
    text = 'Hello — <break time="1s" /> there.'
    spelling = Spelling()
    spelling.push(text)
    assert spelling.words([(0, 5), (28, 33)]) == ["Hello —", "there."]
    spelling.push(' <break time="1s" />')
    assert spelling.rest() == ""


def test_a_symbol_that_is_a_word_of_its_own_is_given_once() -> None:
    text = "One & two 👍 up* 😀"
    spelling = Spelling()
    spelling.push(text)
    spelling.ended = True
    spoken = [(0, 3), (4, 5), (6, 9), (10, 11), (12, 14), (14, 15)]
    assert [spelling.words([span])[0] for span in spoken] == ["One", "&", "two", "👍", "up*", ""]
    assert spelling.rest() == "😀"


@given(TEXTS, st.data())
@example("Yes\n—\n", None)
def test_words_of_a_whole_text_join_to_it(text: str, data: st.DataObject | None) -> None:
    spelling = Spelling()
    spelling.push(text)
    spelling.ended = True
    told = [word for batch in batches(spans(text), data) for word in spelling.words(batch)]
    assert [*" ".join(told).split(), *spelling.rest().split()] == text.split()
    assert_found(told, text)


@given(TEXTS, st.data())
def test_words_of_a_text_that_comes_in_pieces_lose_no_mark(text: str, data: st.DataObject) -> None:
    spelling, told = Spelling(), list[str]()
    for batch in batches(spans(text), data):
        reach = data.draw(st.integers(batch[-1][1], len(text)))
        spelling.push(text[len(spelling.text) : reach])
        told += spelling.words(batch)
    spelling.push(text[len(spelling.text) :])
    assert re.sub(r"\s", "", "".join([*told, spelling.rest()])) == re.sub(r"\s", "", text)
    assert_found(told, text)


def batches(spans: Spans, data: st.DataObject | None) -> Iterator[Spans]:
    while spans:
        size = data.draw(st.integers(1, len(spans))) if data else len(spans)
        yield spans[:size]
        spans = spans[size:]


def assert_found(told: list[str], text: str) -> None:
    """As LiveKit's plugin looks for words, each behind the one before."""
    at = 0
    for word in told:
        assert word
        at = text.index(word, at) + len(word)
