"""Text on a terminal: what may be written there, how wide it is, and one line that is rewritten in place."""

from __future__ import annotations

import os
import unicodedata
from typing import TextIO

CLEAR = "\r\x1b[K"
MARK = "\x1b[7m"  # reverse video: legible in every colour scheme
USUAL_COLUMNS = 80  # of a terminal that does not say
PLAIN = "\x1b[0m"


def printable(text: str) -> str:
    """Return `text` without what a terminal would obey: control characters become spaces, marks of direction go."""
    return "".join(_printable(character) for character in text)


def _printable(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Cc", "Zl", "Zp"}:
        return " "
    if category == "Cs":
        return "\ufffd"
    return "" if category == "Cf" and character != "\u200d" else character


def columns_of(out: TextIO) -> int:
    """Return how many columns the terminal has that `out` writes to, whatever the program's other outputs are."""
    try:
        return os.get_terminal_size(out.fileno()).columns or USUAL_COLUMNS
    except OSError:
        return USUAL_COLUMNS


def width(text: str) -> int:
    """Return how many columns `text` takes."""
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Cf", "Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def marked_line(text: str, start: int, stop: int, columns: int) -> str:
    """Return as much of `text` around `[start, stop)`, which is marked, as fits into `columns`."""
    word = printable(text[start:stop])
    room = max(0, columns - width(word))
    before = _fit_end(text[max(0, start - room) : start], room // 2)
    after = fit_begin(text[stop : stop + room], room - width(before))
    return f"{before}{MARK}{word}{PLAIN}{after}"


def fit_begin(text: str, columns: int) -> str:
    """Return as much of the beginning of `text` as fits into `columns`, printable."""
    text = printable(text)
    while width(text) > columns:
        text = text[: max(0, len(text) - max(1, (width(text) - columns) // 2))]
    return text


def _fit_end(text: str, columns: int) -> str:
    text = printable(text)
    while width(text) > columns:
        text = text[max(1, (width(text) - columns) // 2) :]
    return text
