import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicewire.commands.terminal import MARK, PLAIN, marked_line, printable, width

TEXT = "The quick brown fox jumps over the lazy dog."


def _plain(line: str) -> str:
    return line.replace(MARK, "").replace(PLAIN, "")


def test_what_a_terminal_would_obey_is_not_written() -> None:
    assert printable("a\x1b[2Jb\x07c\nd\u202ee\u2028f") == "a [2Jb c de f"
    assert printable("\ud800") == "\ufffd"


@pytest.mark.parametrize(("text", "columns"), [("", 0), ("abc", 3), ("日本", 4), ("e\u0301", 1), ("👍", 2)])
def test_width_counts_columns(text: str, columns: int) -> None:
    assert width(text) == columns


def test_a_short_text_is_shown_whole() -> None:
    line = marked_line(TEXT, 4, 9, 80)
    assert _plain(line) == TEXT
    assert f"{MARK}quick{PLAIN}" in line


def test_of_a_long_text_the_surroundings_of_the_word_are_shown() -> None:
    line = marked_line("x" * 500 + " here " + "y" * 500, 501, 505, 40)
    assert re.fullmatch(r"x+ here y+", _plain(line))
    assert width(_plain(line)) == 40


@given(st.text(max_size=120), st.integers(0, 120), st.integers(0, 20), st.integers(20, 90))
def test_the_line_always_fits_and_holds_the_word(text: str, start: int, size: int, columns: int) -> None:
    start = min(start, len(text))
    word = printable(text[start : start + size])
    line = marked_line(text, start, start + size, columns)
    assert f"{MARK}{word}{PLAIN}" in line
    assert width(_plain(line)) <= max(columns, width(word))
