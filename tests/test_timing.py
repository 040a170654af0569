"""Words in a text, their places in the audio, and positions as a client counts them."""

from __future__ import annotations

import pytest

from voicewire.spans import WORD_CHARS_MAX, Span, word_spans
from voicewire.timing import Placer, Positions, clip, rescale, share, shift
from voicewire.types import Offsets, Word


def words_of(text: str, sure: bool = True) -> list[str]:
    return [text[span.start : span.stop] for span in word_spans(text) if span.sure is sure]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It costs $4.50, doesn't it?", ["It", "costs", "$4.50", "doesn't", "it"]),
        ("“Quoted” (really) ‘so’", ["Quoted", "really", "so"]),
        (
            "1,234.56 -$1,234.56 1.234,56 1\u202f234 1'234",
            ["1,234.56", "-$1,234.56", "1.234,56", "1\u202f234", "1'234"],
        ),
        ("a,b 1, 2 c:d 10:30", ["a", "b", "1", "2", "c", "d", "10:30"]),
        ("50% 5kg 20°C 3€ 3/4 m²", ["50%", "5kg", "20°C", "3€", "3/4", "m²"]),
        ("e-mail co\u2011op rock’n’roll l·l", ["e-mail", "co\u2011op", "rock’n’roll", "l·l"]),
        ("café cafe\u0301", ["café", "cafe\u0301"]),
        ("e.g. U.S.A. Mr. Smith's dogs'", ["e.g", "U.S.A", "Mr", "Smith's", "dogs"]),
        ("wait...what word—word", ["wait", "what", "word", "word"]),
        ("see http://example.com/a?b=c, me@x.org.", ["see", "http://example.com/a?b=c", "me@x.org"]),
        ("example.com/x?y=1 访问http://example.com。", ["example.com/x?y=1", "访", "问", "http://example.com"]),
        ("C++ C# R&D snake_case x=y^2 #tag @me", ["C++", "C#", "R&D", "snake_case", "x=y^2", "#tag", "@me"]),
        ("日本語。ありがとうラーメン食べる", ["日", "本", "語", "ありがとう", "ラーメン", "食", "べる"]),
        ("3月5日 안녕하세요 세계", ["3", "月", "5", "日", "안녕하세요", "세계"]),
        ("नमस्ते दुनिया, कैसे", ["नमस्ते", "दुनिया", "कैसे"]),
        ("สวัสดีครับ ผมชื่อ", ["สวัสดีครับ", "ผมชื่อ"]),
        ("مرحبا بالعالم، ١٬٢٣٤", ["مرحبا", "بالعالم", "١٬٢٣٤"]),
        ("¿Qué? ¡Hola!", ["Qué", "Hola"]),
        (" \n\t…—()", []),
    ],
)
def test_words_are_what_a_reader_calls_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_symbols_and_emoji_are_words_only_if_they_are_heard() -> None:
    text = "👍 ok 👨‍👩‍👧 🇩🇪 a & b = © ❤️"
    assert words_of(text, sure=False) == ["👍", "👨‍👩‍👧", "🇩🇪", "&", "=", "©", "❤️"]


def test_a_run_without_a_break_is_cut() -> None:
    spans = word_spans("a" * (2 * WORD_CHARS_MAX + 1))
    assert [span.stop - span.start for span in spans] == [WORD_CHARS_MAX, WORD_CHARS_MAX, 1]


def placed(text: str, events: list[tuple[int, int]], total: int) -> list[tuple[str, int, int]]:
    placer = Placer(word_spans(text))
    placer.sound(0)
    for position, sample in events:
        placer.word(position, sample)
    placer.finish(total)
    return [(text[word.start : word.stop], word.begins, word.ends) for word in placer.taken()]


def test_a_word_begins_with_its_first_event_and_ends_with_the_next_word() -> None:
    # What espeak says of this text: "$", "4.50" and its parts, and the "it" of "doesn't it".
    events = [(0, 0), (3, 34), (9, 128), (10, 191), (11, 245), (11, 313), (16, 507), (24, 600)]
    assert placed("It costs $4.50, doesn't it?", events, 633) == [
        ("It", 0, 34),
        ("costs", 34, 128),
        ("$4.50", 128, 507),
        ("doesn't", 507, 600),
        ("it", 600, 633),
    ]


def test_a_word_without_an_event_shares_the_time_of_the_one_before() -> None:
    assert placed("in the end", [(0, 0), (7, 500)], 900) == [("in", 0, 200), ("the", 200, 500), ("end", 500, 900)]
    assert placed("so in the", [(0, 100), (3, 200)], 700) == [("so", 100, 200), ("in", 200, 400), ("the", 400, 700)]


def test_words_that_begin_at_the_same_sample_share_what_follows() -> None:
    assert placed("a b c", [(0, 0), (2, 100), (4, 100)], 300) == [("a", 0, 100), ("b", 100, 200), ("c", 200, 300)]


def test_an_event_for_no_word_or_an_earlier_one_is_passed_over() -> None:
    assert placed("a, b", [(0, 0), (1, 50), (2, 60), (3, 100), (0, 150)], 200) == [("a", 0, 100), ("b", 100, 200)]


def test_a_symbol_is_placed_where_it_has_an_event_and_left_out_where_not() -> None:
    assert placed("a & b", [(0, 0), (2, 100), (4, 200)], 300) == [("a", 0, 100), ("&", 100, 200), ("b", 200, 300)]
    assert placed("a & b", [(0, 0), (4, 200)], 300) == [("a", 0, 200), ("b", 200, 300)]


def test_text_without_any_event_is_spread_over_the_audio() -> None:
    assert placed("ab cd", [], 100) == [("ab", 0, 50), ("cd", 50, 100)]
    assert placed("ab cd", [], 0) == []


def test_silence_belongs_to_no_word() -> None:
    text = "well, then"
    placer = Placer(word_spans(text))
    placer.word(0, 0)
    placer.sound(12)  # a word that begins in silence begins where it is heard
    placer.silence(400)
    placer.silence(450)
    placer.word(6, 600)
    placer.sound(640)
    placer.silence(900)
    placer.finish(1000)
    assert placer.taken() == (Word(0, 4, 12, 400), Word(6, 10, 640, 900))


def test_a_pause_inside_a_word_is_part_of_it() -> None:
    placer = Placer([Span(0, 6)])
    placer.word(0, 0)
    placer.sound(0)
    placer.silence(100)
    placer.sound(150)
    placer.finish(300)
    assert placer.taken() == (Word(0, 6, 0, 300),)


def test_audio_is_held_from_the_word_whose_end_is_open() -> None:
    placer = Placer(word_spans("one two"))
    assert placer.held is None
    placer.word(0, 10)
    assert placer.held == 10
    assert placer.taken() == ()
    placer.word(4, 90)
    assert placer.held == 90
    assert placer.taken() == (Word(0, 3, 10, 90),)
    placer.finish(200)
    assert placer.held is None
    assert placer.taken() == (Word(4, 7, 90, 200),)


def test_share_gives_every_word_a_sample_as_long_as_there_are_any() -> None:
    spans = [Span(0, 100), Span(101, 102), Span(103, 104)]
    assert share(spans, 5, 8) == [Word(0, 100, 5, 6), Word(101, 102, 6, 7), Word(103, 104, 7, 8)]
    assert share(spans, 5, 7) == [Word(0, 100, 5, 6), Word(101, 102, 6, 7)]
    assert share(spans, 5, 5) == []


def test_shift_cuts_at_the_beginning_and_drops_what_is_before_it() -> None:
    words = (Word(0, 1, 0, 10), Word(2, 3, 15, 30), Word(4, 5, 40, 50))
    assert shift(words, -20) == (Word(2, 3, 0, 10), Word(4, 5, 20, 30))
    assert shift(words, 5) == (Word(0, 1, 5, 15), Word(2, 3, 20, 35), Word(4, 5, 45, 55))


def test_rescale_keeps_words_apart_and_none_empty() -> None:
    words = (Word(0, 1, 0, 2), Word(2, 3, 2, 3), Word(4, 5, 24_000, 48_000))
    assert rescale(words, 24_000, 8_000) == (Word(0, 1, 0, 1), Word(2, 3, 1, 2), Word(4, 5, 8_000, 16_000))
    assert rescale(words, 24_000, 48_000)[-1] == Word(4, 5, 48_000, 96_000)


def test_clip_cuts_at_the_end_and_drops_what_is_behind_it() -> None:
    words = (Word(0, 1, 0, 10), Word(2, 3, 15, 30), Word(4, 5, 40, 50))
    assert clip(words, 20) == (Word(0, 1, 0, 10), Word(2, 3, 15, 20))


@pytest.mark.parametrize(
    ("unit", "units"),
    [(Offsets.CODEPOINT, [0, 1, 2, 3, 4, 5]), (Offsets.UTF16, [0, 1, 2, 4, 5, 6]), (Offsets.UTF8, [0, 1, 3, 7, 8, 11])],
)
def test_positions_count_as_the_client_counts(unit: Offsets, units: list[int]) -> None:
    positions = Positions(unit)
    for piece in ("aé", "👍", "", "b日"):
        positions.push(piece)
    assert positions.length == 5
    assert [positions.convert(at) for at in range(6)] == units
    assert [positions.invert(at) for at in units] == [0, 1, 2, 3, 4, 5]


def test_a_position_inside_a_character_is_that_character() -> None:
    positions = Positions(Offsets.UTF8)
    positions.push("a👍b")
    assert [positions.invert(at) for at in (1, 2, 4, 5)] == [1, 1, 1, 2]
    assert positions.invert(99) == 3
    assert positions.invert(-1) == 0
