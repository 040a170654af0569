"""Whether a full stop ends a sentence: the one mark that also shortens words and numbers things."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import sentencex

from voicewire.punctuation import CLOSERS, OPENERS, SPACED_ENDERS, WIDE_ENDERS

# What sentencex does not know: words whose full stop does not end a sentence.
_TITLES: Final = frozenset({"Mr", "Mrs", "Ms", "Dr", "Prof", "St"})
_ABBREVIATIONS: Final = {
    "en": frozenset({"vol", "vols", "Vol", "approx", "Eq", "Eqs", "ch", "Ch", "chap", "incl", "Mgr"}),
    "fr": frozenset({"M", "Mme", "Mlle", "Mgr", "Me", "Pr", "Ste", "Vve", "vol", "chap", "env", "av", "apr"}),
    "de": frozenset({"Hr", "Fr", "Abs", "Art", "gegr", "geb", "verh"}),
    "es": frozenset({"Sra", "Srta", "Dra", "Ud", "Uds", "pág", "núm"}),
    "ru": frozenset({"г", "ул", "см", "рис", "им", "стр", "проф", "акад"}),
}
# What sentencex takes for an abbreviation though it mostly is a word.
_WORDS: Final = {"en": frozenset({"no", "art", "man", "sun", "mar", "min"})}
# Languages that write an ordinal as a number and a full stop.
_ORDINALS: Final = frozenset({"cs", "da", "de", "et", "fi", "hr", "hu", "is", "lv", "nb", "nn", "no", "sk", "sl", "sr"})

_DOTTED: Final = re.compile(r"(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,3}")
_NUMBERING: Final = re.compile(r"\d{1,3}(?:\.\d{1,3})*|[^\W\d_]|[ivx]{1,5}|[IVX]{1,5}")
_LONGEST_WORD: Final = 32
_LONGEST_ABBREVIATION: Final = {"en": 7}


class FullStop:
    """Judges full stops in one language."""

    def __init__(self, language: str) -> None:
        code = language.partition("-")[0].lower()
        self._language = code if code.isascii() and code.isalpha() else "en"
        self._longest = _LONGEST_ABBREVIATION.get(self._language, _LONGEST_WORD)
        self._words = _WORDS.get(self._language, frozenset())

    def ends(self, text: str, at: int, following: str, *, complete: bool) -> bool | None:
        """Whether the full stop at `at` ends a sentence of `text`; None where only all of the next word decides.

        `following` is the word behind the stop, without opening
        marks, empty where there is none; it may still grow if it is not `complete`.
        """
        word = _word_before(text, at)
        if not word or len(word) > self._longest:
            return True
        numbering, ends = _by_itself(self._language, word)
        if numbering and _begins_sentence(text[:at], word):
            return False
        return self._behind_abbreviation(word, following, complete) if ends is None else ends

    def _behind_abbreviation(self, word: str, following: str, complete: bool) -> bool | None:
        first = following[:1]
        if word in self._words:
            return not first.isdecimal()
        if not first.isalpha() or first.islower():
            return False
        return _splits(self._language, word, following) if complete else None


@lru_cache(maxsize=8_192)  # words come again, and the answer depends on nothing else
def _by_itself(language: str, word: str) -> tuple[bool, bool | None]:
    """Whether `word` may number something, and whether a full stop behind it ends a sentence; None where it depends."""
    if not word.isprintable():
        return False, True
    return _NUMBERING.fullmatch(word) is not None, _ends_behind(language, word)


def _ends_behind(language: str, word: str) -> bool | None:
    if word.isdecimal():
        return not (len(word) <= 2 and language in _ORDINALS)
    if word in _TITLES or word in _ABBREVIATIONS.get(language, ()):
        return False
    if _splits(language, word, "Xq"):
        return not (_DOTTED.fullmatch(word) or (len(word) == 1 and word.isupper()))
    return None


@lru_cache(maxsize=8_192)  # words come again, and the answer depends on nothing else
def _splits(language: str, word: str, following: str) -> bool:
    return len(sentencex.segment(language, f"{word}. {following} x")) > 1


def _word_before(text: str, at: int) -> str:
    """The word before `at` without its opening marks; empty behind white space."""
    words = text[max(0, at - _LONGEST_WORD) : at].rsplit(None, 1)
    return "" if not words or text[at - 1].isspace() else words[-1].lstrip(OPENERS)


def _begins_sentence(before: str, word: str) -> bool:
    ahead = before[: -len(word)].rstrip(" \t" + CLOSERS)
    return not ahead or ahead[-1] in "\n" + SPACED_ENDERS + WIDE_ENDERS
