"""What the words of a text are: pure, for every engine and every script."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from typing import NamedTuple

WORD_CHARS_MAX = 128
"""A longer run without a break is cut, so that no text can make one word hold back minutes of audio."""


class Span(NamedTuple):
    """A word in a text, `[start, stop)` in code points.

    `sure`: it has letters or digits and is always spoken. Otherwise it is a symbol or an emoji, and
    only an engine's event tells that it was.
    """

    start: int
    stop: int
    sure: bool = True


def word_spans(text: str) -> list[Span]:
    """Find the words of `text`, ascending, without the quotes, brackets and punctuation around them.

    Numbers keep sign, currency, separators, per cent and unit ("-$1,234.56", "50%", "5kg"); "doesn't",
    "e-mail", "U.S.A", addresses and URLs are one word each; every Han character is one, as is every run of
    hiragana or katakana. Scripts without spaces (Thai, Khmer) go from space to space.
    """
    spans: list[Span] = []
    for found in _WORD.finditer(_kinds(text)):
        (start, stop), sure = found.span(), found.lastgroup == "sure"
        while stop - start > WORD_CHARS_MAX:
            spans.append(Span(start, start + WORD_CHARS_MAX, sure))
            start += WORD_CHARS_MAX
        spans.append(Span(start, stop, sure))
    return spans


def _kinds(text: str) -> str:
    return text.translate(_ascii_kinds()) if text.isascii() else "".join(map(_kind, text))


@cache
def _ascii_kinds() -> dict[int, str]:
    return {code: _kind(chr(code)) for code in range(128)}


# Kinds, one letter a character, so that one regular expression reads every script: L letter, M what
# belongs to the character before it, N digit, G what groups digits, H Han, J hiragana, K katakana, P their
# long mark, S symbol, E emoji, ';' other punctuation, ' ' space. ASCII punctuation stands for itself and
# for its relatives.
_RELATIVES = {
    "’": "'", "ʼ": "'", "·": "'", "‐": "-", "‑": "-", "−": "-", "٫": ".", "٬": ",", "．": ".", "，": ";",
    "\u00a0": "G", "\u202f": "G",  # group digits in French; a space between anything else
    "°": "%", "‰": "%", "٪": "%", "％": "%", "º": "L", "\u00ad": "M", "\u200c": "M", "\u200d": "M", "ー": "P",
    "ｰ": "P", "々": "H", "〇": "H", '"': ";", "(": ";", ")": ";", "[": ";", "]": ";", "{": ";", "}": ";",
}  # fmt: skip
_SCRIPTS = (
    (0x3041, 0x309F, "J"), (0x30A1, 0x30FF, "K"), (0x31F0, 0x31FF, "K"), (0x3400, 0x4DBF, "H"),
    (0x4E00, 0x9FFF, "H"), (0xF900, 0xFAFF, "H"), (0xFF66, 0xFF9F, "K"), (0x20000, 0x3FFFF, "H"),
)  # fmt: skip
_CATEGORIES = {"L": "L", "M": "M", "N": "N", "S": "S", "Z": " ", "C": " ", "P": ";"}


@lru_cache(maxsize=4096)
def _kind(character: str) -> str:
    if character in _RELATIVES:
        return _RELATIVES[character]
    category = unicodedata.category(character)
    if category == "Sc":
        return "$"
    if character.isascii() and category[0] in "PS":
        return character
    if category[0] in "LN":
        code = ord(character)
        return next((kind for first, last, kind in _SCRIPTS if first <= code <= last), category[0])
    if category == "So" or 0x1F3FB <= ord(character) <= 0x1F3FF:
        return "E"
    return "M" if 0xE0020 <= ord(character) <= 0xE007F else _CATEGORIES[category[0]]


_PART = "[LN][LNM]*"
_JOINT = r"(?:[.'_@/&+=^-]|%(?=[LN])|(?<=N)[,:G](?=N))"
_URL = r"[LNM.'_@/&+=^%?#:,~*!$-]*[LNM/]"
_WORD = re.compile(
    rf"(?P<sure>L+://[LN](?:{_URL})?"
    rf"|(?:(?<![LNM])[-+])?[$#@]?{_PART}(?:{_JOINT}{_PART})*(?:[/?](?=[LN]){_URL}|[%$]+|\+\+|#)?"
    r"|HM*|J[JMP]*|K[KMP]*|P+)"
    r"|(?P<heard>E[EM]*|[$S%&+=<>@#*^~|/\\_-]M*)"
)
