"""Properties of words and positions that hold for any text, however it comes."""

from __future__ import annotations

from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from voicewire.spans import WORD_CHARS_MAX, Span, word_spans
from voicewire.timing import Placer, Positions, clip, rescale, share, shift
from voicewire.types import Offsets, Word

ANY = st.characters()  # surrogates too: they come in JSON
MIXED = st.text(st.one_of(ANY, st.sampled_from("aB1 .,'-$%()“”\n日ひカनम\u0301👍\u200d中สم")), max_size=60)
ENCODINGS = {Offsets.UTF16: ("utf-16-le", 2), Offsets.UTF8: ("utf-8", 1)}


@given(MIXED)
def test_words_ascend_and_cover_every_letter_and_digit(text: str) -> None:
    spans = word_spans(text)
    assert all(0 <= span.start < span.stop <= len(text) for span in spans)
    assert all(span.stop - span.start <= WORD_CHARS_MAX for span in spans)
    assert all(before.stop <= after.start for before, after in pairwise(spans))
    covered = {at for span in spans if span.sure for at in range(span.start, span.stop)}
    assert {at for at, character in enumerate(text) if character.isalnum()} <= covered


@given(MIXED)
def test_words_have_no_space_at_their_edges_and_contain_something_spoken(text: str) -> None:
    for span in word_spans(text):
        word = text[span.start : span.stop]
        assert word.strip() == word
        assert not span.sure or any(character.isalnum() for character in word)


EVENTS = st.lists(st.tuples(st.sampled_from("wwsq"), st.integers(-2, 70), st.integers(0, 400)), max_size=40)


@given(MIXED, EVENTS, st.integers(0, 400), st.booleans())
def test_placed_words_are_exact_whatever_the_engine_says(
    text: str, events: list[tuple[str, int, int]], tail: int, ordered: bool
) -> None:
    placer, at = Placer(word_spans(text)), 0
    words: list[Word] = []
    for kind, position, step in events:
        at = at + step if ordered else step
        feed(placer, kind, position, at)
        done = placer.taken()
        assert all(placer.held is not None and word.ends <= placer.held for word in done) or not ordered
        words += done
    total = max([at, *(word.ends for word in words)]) + tail
    placer.finish(total)
    words += placer.taken()
    assert_exact(words, total)
    sure = [(span.start, span.stop) for span in word_spans(text) if span.sure]
    if tail >= len(sure) and ordered:
        assert set(sure) <= {word[:2] for word in words}


def feed(placer: Placer, kind: str, position: int, sample: int) -> None:
    if kind == "w":
        placer.word(position, sample)
    elif kind == "s":
        placer.sound(sample)
    else:
        placer.silence(sample)


def assert_exact(words: list[Word], total: int) -> None:
    assert all(0 <= word.begins < word.ends <= total for word in words)
    assert all(before.stop <= after.start and before.ends <= after.begins for before, after in pairwise(words))


GAPS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 500)), max_size=30)


def words_from(gaps: list[tuple[int, int]]) -> list[Word]:
    edges = list(accumulate(edge for gap in gaps for edge in gap))
    return [Word(2 * nth, 2 * nth + 1, edges[2 * nth], edges[2 * nth + 1]) for nth in range(len(gaps))]


@given(GAPS, st.sampled_from([8_000, 22_050, 24_000]), st.sampled_from([8_000, 16_000, 24_000, 48_000]))
def test_rescaled_words_stay_apart_and_close_to_their_time(gaps: list[tuple[int, int]], come: int, go: int) -> None:
    words = words_from(gaps)
    scaled = rescale(words, come, go)
    assert [word[:2] for word in scaled] == [word[:2] for word in words]
    assert_exact(list(scaled), scaled[-1].ends if scaled else 0)
    for word, moved in zip(words, scaled, strict=True):
        assert abs(moved.begins - word.begins * go / come) <= len(words) + 1


@given(GAPS, st.integers(-3_000, 3_000), st.integers(0, 4_000))
def test_moved_words_stay_exact(gaps: list[tuple[int, int]], by: int, total: int) -> None:
    moved = clip(shift(words_from(gaps), by), total)
    assert_exact(list(moved), total)


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(0, 1_000), st.integers(0, 2_000))
def test_shares_fill_the_time_without_a_gap(lengths: list[int], begins: int, samples: int) -> None:
    edges = [0, *accumulate(lengths)]
    words = share([Span(start, stop) for start, stop in pairwise(edges)], begins, begins + samples)
    assert len(words) == min(len(lengths), samples)
    assert all(before.ends == after.begins for before, after in pairwise(words))
    if words:
        assert (words[0].begins, words[-1].ends) == (begins, begins + samples)


@given(st.lists(MIXED, max_size=8), st.sampled_from(list(ENCODINGS)))
def test_positions_agree_with_the_encoder(pieces: list[str], unit: Offsets) -> None:
    encoding, size_bytes = ENCODINGS[unit]
    positions = Positions(unit)
    for piece in pieces:
        positions.push(piece)
    text = "".join(pieces)
    assert positions.length == len(text)
    units = [0, *accumulate(len(character.encode(encoding, "surrogatepass")) // size_bytes for character in text)]
    assert [positions.convert(at) for at in range(len(text) + 1)] == units
    assert [positions.invert(at) for at in units] == list(range(len(text) + 1))


@given(st.lists(MIXED, max_size=8))
def test_code_points_need_no_conversion(pieces: list[str]) -> None:
    positions = Positions(Offsets.CODEPOINT)
    for piece in pieces:
        positions.push(piece)
    assert all(positions.convert(at) == positions.invert(at) == at for at in range(positions.length + 1))
