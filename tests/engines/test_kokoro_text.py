"""Phonemes, pieces, passes and durations of the Kokoro engine: pure, so they run without torch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.contracts.engine_contract import check_words
from voicewire.engines.kokoro_align import align
from voicewire.engines.kokoro_english import tags
from voicewire.engines.kokoro_g2p import RUN_CHARS_MAX, Clauses, Reader, compact
from voicewire.engines.kokoro_text import (
    FRAME_SAMPLES,
    Piece,
    Sound,
    Sounding,
    passes,
    pieces,
    place,
    words_of,
)
from voicewire.spans import Span, word_spans
from voicewire.types import Word

SYMBOLS = "abcdefghijklmnopqrstuvwxyz ,.!?—"
HELLO, WORLD = (Span(0, 5),), (Span(6, 11),)


def test_sounds_of_one_word_are_one_piece() -> None:
    sounds = [Sound(0, 1, "", False), Sound(1, 5, "for dolaz", True), Sound(6, 9, "now"), Sound(9, 10, ".")]
    made = pieces(sounds, word_spans("$4.50 now."), SYMBOLS)
    assert made == [
        Piece("for dolaz", (Span(0, 5),)),
        Piece(" "),
        Piece("now", (Span(6, 9),)),
        Piece("."),
    ]


def test_a_sound_of_several_words_is_one_piece() -> None:
    assert pieces([Sound(0, 5, "dəla")], word_spans("de la"), "dəla") == [Piece("dəla", (Span(0, 2), Span(3, 5)))]


def test_punctuation_inside_a_sound_is_taken_off_the_word() -> None:
    made = pieces([Sound(0, 5, '"helo!"', True)], [*HELLO], SYMBOLS + '"')
    assert made == [Piece('"'), Piece("helo", HELLO), Piece('!" ')]


def test_symbols_that_the_model_lacks_are_not_counted() -> None:
    assert pieces([Sound(0, 5, "h❓e")], [*HELLO], SYMBOLS) == [Piece("he", HELLO)]
    assert pieces([Sound(0, 5, "❓")], [*HELLO], SYMBOLS) == []


PIECES = st.lists(
    st.one_of(
        st.sampled_from([Piece(" "), Piece(", "), Piece(". "), Piece("—")]),
        st.text("abcdef", min_size=1, max_size=30).map(lambda text: Piece(text, (Span(0, 1),))),
    ),
    max_size=60,
)


def numbered(made: list[Piece]) -> list[Piece]:
    return [Piece(each.phonemes, (Span(nth, nth + 1),) if each.words else ()) for nth, each in enumerate(made)]


@given(PIECES, st.integers(1, 40))
def test_passes_keep_every_phoneme_and_their_bound(made: list[Piece], limit: int) -> None:
    made = numbered(made)
    cut = passes(made, limit)
    heard = "".join(piece.phonemes for each in cut for piece in each)
    assert heard.replace(" ", "") == "".join(piece.phonemes for piece in made).replace(" ", "")
    assert all(0 < sum(len(piece.phonemes) for piece in each) <= limit for each in cut)
    assert {piece.words for each in cut for piece in each} >= {piece.words for piece in made if piece.words}


def test_a_pass_ends_at_a_sentence_rather_than_at_a_word() -> None:
    made = numbered([Piece("aaaa", HELLO), Piece(". "), Piece("bb", HELLO), Piece(" "), Piece("cc", HELLO)])
    assert ["".join(piece.phonemes for piece in each) for each in passes(made, 9)] == ["aaaa. ", "bb cc"]


def test_a_word_is_cut_only_when_it_alone_is_too_long() -> None:
    made = numbered([Piece("aaa", HELLO), Piece(" "), Piece("b" * 12, HELLO)])
    cut = passes(made, 10)
    assert [sum(len(piece.phonemes) for piece in each) for each in cut] == [3, 10, 2]


def test_place_gives_half_a_space_to_each_word_and_punctuation_to_none() -> None:
    spoken = [Piece("ab", HELLO), Piece(" "), Piece("c", WORLD), Piece(", "), Piece("d", (Span(12, 13),))]
    placed = place(spoken, [10, 1, 2, 4, 5, 6, 7, 8, 9], offset=1200)
    origin = 1200 + 7 * FRAME_SAMPLES
    assert placed == [
        Sounding(HELLO, origin, origin + 5 * FRAME_SAMPLES),
        Sounding(WORLD, origin + 5 * FRAME_SAMPLES, origin + 12 * FRAME_SAMPLES),
        Sounding((Span(12, 13),), origin + 25 * FRAME_SAMPLES, origin + 33 * FRAME_SAMPLES),
    ]


def test_words_spoken_together_share_and_what_was_cut_is_joined() -> None:
    assert words_of([Sounding((*HELLO, *WORLD), 0, 1000)]) == [Word(0, 5, 0, 500), Word(6, 11, 500, 1000)]
    assert words_of([Sounding(HELLO, 0, 600), Sounding(HELLO, 900, 1200)]) == [Word(0, 5, 0, 1200)]


@given(PIECES, st.integers(1, 40))
def test_words_ascend_whatever_the_durations(made: list[Piece], limit: int) -> None:
    made = numbered(made)
    sounding, at = [], 0
    for each in passes(made, limit):
        size = sum(len(piece.phonemes) for piece in each)
        durations = [1 + (nth * 7 + size) % 5 for nth in range(size + 2)]
        sounding += place(each, durations, at)
        at += sum(durations) * FRAME_SAMPLES
    check_words("x" * len(made), words_of(sounding), at)


def test_align_follows_spaces_where_they_agree() -> None:
    assert align("lez ɑ̃fɑ̃z ɔ̃", ["le", "ɑ̃fɑ̃", "ɔ̃"]) == ["lez ", "ɑ̃fɑ̃z ", "ɔ̃"]
    assert align("veint trwa ɑ̃", ["veint trwa", "ɑ̃"]) == ["veint trwa ", "ɑ̃"]


def test_align_finds_what_was_bound_together() -> None:
    assert align("ʌvðə mˈæn", ["ʌv", "ðə", "mˈæn"]) == ["ʌv", "ðə ", "mˈæn"]
    assert align("tˈen aˈm in", ["tˈen", "aˈm in"]) == ["tˈen ", "aˈm in"]


@given(st.text("ab ", max_size=40), st.lists(st.text("ab ", max_size=10), min_size=1, max_size=8))
def test_align_loses_nothing(clause: str, alone: list[str]) -> None:
    parts = align(clause, alone)
    assert len(parts) == len(alone)
    assert "".join(parts) == clause


@given(st.text(max_size=200))
def test_compact_text_knows_where_it_comes_from(text: str) -> None:
    dense = compact(text)
    assert len(dense.origin) == len(dense.text)
    assert dense.origin == sorted(dense.origin)
    assert all(0 <= at < len(text) for at in dense.origin)
    assert dense.text == dense.text.strip()
    assert "  " not in dense.text


def test_compact_text_is_composed_and_without_what_cannot_be_seen() -> None:
    assert compact(" cafe\u0301\n\t so\u00adft ") == ("café soft", [1, 2, 3, 4, 6, 9, 10, 12, 13])
    assert compact("１２ ٣ ﬁ ％").text == "12 3 fi %"
    assert compact("\0\ud800\u200b").text == ""


def test_endless_runs_are_broken_and_long_numbers_spelt() -> None:
    assert max(map(len, compact("x" * 500).text.split())) == RUN_CHARS_MAX
    assert compact("1234567890123").text == " ".join("1234567890123")
    assert compact("123456789012").text == "123456789012"
    assert compact("漢" * 500).text == "漢" * 500


def no_other() -> Reader:
    raise AssertionError("not needed here")


def test_what_a_language_cannot_read_is_read_by_another() -> None:
    class Other:
        def read(self, text: str) -> list[Sound]:
            return [Sound(0, len(text), text.lower())]

    native = Clauses(lambda text: text * 2, lambda text: [(0, len(text))], Other, "漢字")
    assert [(*sound,) for sound in native.read("漢ABC字") if sound.phonemes] == [
        (0, 1, "漢漢", False),
        (1, 4, "abc", False),
        (4, 5, "字字", False),
    ]
    mute = Clauses(lambda _: "", lambda text: [(0, len(text))], Other)
    assert [sound.phonemes for sound in mute.read("Ab")] == ["", "ab", ""]


def test_clauses_are_read_whole_and_their_words_found() -> None:
    read: list[str] = []

    def phonemes(text: str) -> str:
        read.append(text)
        return text.lower().replace("de la", "dela")

    clauses = Clauses(phonemes, lambda text: [(span.start, span.stop) for span in word_spans(text)], no_other)
    text = "El de la 4,50 — Sí."
    made = pieces(clauses.read(text), word_spans(text), SYMBOLS + "í450")
    assert [(each.phonemes, [text[word.start : word.stop] for word in each.words]) for each in made] == [
        ("el", ["El"]),
        (" ", []),
        ("de", ["de"]),
        ("la", ["la"]),
        (" ", []),
        ("4 50", ["4,50"]),
        (" — ", []),
        ("si", ["Sí"]),
        (".", []),
    ]
    assert read == ["El", "de", "la", "4,50", "El de la 4,50", "Sí", "Sí"]


def tagged(text: str) -> str:
    tokens = text.split()
    return " ".join(tag or "?" for tag in tags(tokens, [True] * len(tokens)))


def test_tags_know_money_articles_dashes_and_the_word_before() -> None:
    assert tagged("I paid $ 4.50 for a coffee") == "PRP VBP $ CD IN DT NN"
    assert tagged("to record the record") == "TO VB DT NN"
    assert tagged("have not read it") == "? VBN VBN PRP"
    assert tagged('" Yes " — no') == "`` ? '' : DT"
    assert tags(["e", "-", "mail"], [False, False, False])[1] == ""
    assert tags(["a", "-", "b"], [True, True, False])[1] == ":"
