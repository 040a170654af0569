"""Text to the phonemes of Kokoro, in each of its languages, without losing sight of the characters.

English has a lexicon (`kokoro_english`); Spanish, French, Hindi, Italian and Portuguese are read by
espeak-ng, Japanese and Mandarin by misaki, clause by clause, and aligned with their words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import NamedTuple, Protocol

from voicewire.engines.kokoro_align import align
from voicewire.engines.kokoro_english import MISAKI_FAILS, English
from voicewire.engines.kokoro_quiet import quiet
from voicewire.engines.kokoro_text import Sound
from voicewire.errors import BadRequest
from voicewire.spans import Span, word_spans

RUN_CHARS_MAX = 48
"""A longer run without a space is read in parts: espeak-ng drops what is beyond about 160 bytes of a word."""

_SPELT = re.compile(r"\d{13,}")  # read digit by digit, as no one says quadrillions

_ESPEAK = {"e": "es", "f": "fr-fr", "h": "hi", "i": "it", "p": "pt-br"}
_NEEDS = {
    "j": ("fugashi", "jaconv", "mojimoji", "unidic_lite"),
    "z": ("cn2an", "jieba", "pypinyin"),
}


def missing_packages(letter: str) -> list[str]:
    """Name the packages that the language of this letter needs and that are not installed."""
    return [name.replace("_", "-") for name in _NEEDS.get(letter, ()) if find_spec(name) is None]


class Reader(Protocol):
    """Turns compact text of one language into sounds."""

    def read(self, text: str) -> list[Sound]: ...


class Readers:
    """The readers of all languages, each opened when first needed. Not thread-safe: espeak-ng is not."""

    def __init__(self) -> None:
        self._open: dict[str, Reader] = {}  # at most one for each language

    def read(self, letter: str, text: str) -> list[Sound]:
        """Return the sounds of `text` in the language of this letter; spans count its code points.

        Raises `BadRequest` when packages for the language are missing.
        """
        dense = compact(text)
        sounds = self._reader(letter).read(dense.text) if dense.text else []
        return [
            Sound(dense.origin[sound.start], dense.origin[sound.stop - 1] + 1, *sound[2:])
            for sound in sounds
            if sound.stop > sound.start
        ]

    def _reader(self, letter: str) -> Reader:
        if letter not in self._open:
            if missing := missing_packages(letter):
                problem = f"voices with {letter!r} need packages that are not installed: {', '.join(missing)}"
                raise BadRequest("bad_message", problem=problem)
            with quiet():
                self._open[letter] = self._opened(letter)
        return self._open[letter]

    def _opened(self, letter: str) -> Reader:
        if letter in "ab":
            return English(british=letter == "b")
        if letter == "j":
            return Clauses(*_japanese(), self._english, _HAN + _KANA)
        if letter == "z":
            return Clauses(*_mandarin(), self._english, _HAN)
        return Clauses(_espeak(_ESPEAK[letter]), _words, self._english)

    def _english(self) -> Reader:
        return self._reader("a")


class Compact(NamedTuple):
    """Text as a G2P likes it, and where each of its characters comes from."""

    text: str
    origin: list[int]


_HAN = "\u2e80-\u2fff\u3005\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_VARIANTS = re.compile("[\u2460-\u24ff\ufb00-\ufb06\uff00-\uffef]")  # enclosed, ligatures, full and half width
_CLUSTER = re.compile(r"\s+|\S[\u0300-\u036f]*", re.DOTALL)


def compact(text: str) -> Compact:
    """Make white space single spaces, compose accents, drop what cannot be seen, break endless runs."""
    dense, origin, run = list[str](), list[int](), 0
    spelt = {at for number in _SPELT.finditer(text) for at in range(number.start() + 1, number.end())}
    for found in _CLUSTER.finditer(text):
        shown = _shown(found[0])
        run = 0 if shown == " " or shown >= "\u2e80" else run + 1
        if run > RUN_CHARS_MAX or found.start() in spelt:
            shown, run = " " + shown, 1
        if shown == " " and (not dense or dense[-1] == " "):
            continue
        dense += shown
        origin += [found.start()] * len(shown)
    if dense and dense[-1] == " ":
        dense.pop()
        origin.pop()
    return Compact("".join(dense), origin)


def _shown(cluster: str) -> str:
    if cluster.isspace():
        return " "
    category = unicodedata.category(cluster[0])
    if category in {"Cc", "Cf", "Cs", "Co"} and cluster[0] not in "\u200c\u200d":
        return ""
    if category == "Nd":
        return str(unicodedata.digit(cluster[0]))
    return unicodedata.normalize("NFKC" if _VARIANTS.match(cluster) else "NFC", cluster)


Segment = tuple[int, int]


class Clauses:
    """Reads clause by clause with `phonemes`, and finds the parts that `segments` names in the outcome.

    `other` opens the reader of what cannot be read here: words in another script than that of the
    characters in `native`, where these are given, and clauses of which nothing is heard.
    """

    def __init__(
        self,
        phonemes: Callable[[str], str],
        segments: Callable[[str], list[Segment]],
        other: Callable[[], Reader],
        native: str = "",
    ) -> None:
        self._phonemes = phonemes
        self._segments = segments
        self._other = other
        self._native = re.compile(f"[{native}]" if native else "")

    def read(self, text: str) -> list[Sound]:
        sounds, at = list[Sound](), 0
        for words in self._clauses(text):
            start, stop = words[0].start, words[-1].stop
            sounds.append(Sound(at, start, _pause(text[at:start])))
            sounds += self._clause(text[start:stop], start)
            at = stop
        return [*sounds, Sound(at, len(text), _pause(text[at:]))]

    def _clauses(self, text: str) -> Iterator[list[Span]]:
        words = [span for span in word_spans(text) if text[span.start : span.stop] not in {"-", "_"}]
        firsts = [nth for nth, (before, word) in enumerate(pairwise(words), 1) if self._parts(text, before, word)]
        for first, last in pairwise([0, *firsts, len(words)]):
            if last > first:
                yield words[first:last]

    def _parts(self, text: str, before: Span, word: Span) -> bool:
        if _pause(text[before.stop : word.start]).strip():
            return True
        return self._foreign(text[before.start : before.stop]) != self._foreign(text[word.start : word.stop])

    def _foreign(self, text: str) -> bool:
        first = next(filter(str.isalnum, text), "")
        return first.isalpha() and self._native.match(first) is None

    def _clause(self, text: str, offset: int) -> Iterator[Sound]:
        sounds = [] if self._foreign(text) else self._aligned(text)
        if not sounds:
            sounds = self._other().read(text)
        for start, stop, phonemes, space in sounds:
            yield Sound(start + offset, stop + offset, phonemes, space)

    def _aligned(self, text: str) -> list[Sound]:
        segments = self._segments(text)
        alone = [self._heard(text[start:stop]) for start, stop in segments]
        sounds: list[Sound] = []
        silent = 0  # where a segment without phonemes of its own began; it is spoken with the next one
        for (start, stop), part in zip(segments, align(self._heard(text) or " ".join(alone), alone), strict=True):
            if part.strip():
                sounds.append(Sound(min(silent, start), stop, part))
            elif sounds:
                sounds[-1] = sounds[-1]._replace(stop=stop, phonemes=sounds[-1].phonemes + part)
            silent = stop if sounds else 0
        return sounds

    def _heard(self, text: str) -> str:
        try:
            heard = self._phonemes(text)
        except MISAKI_FAILS:
            return ""
        # The model knows accents as symbols of their own; only this one belongs to its letter.
        return re.sub(" +", " ", unicodedata.normalize("NFD", heard).replace("c\u0327", "ç")).strip()


_MARKS = str.maketrans(
    dict.fromkeys("。．।॥", ". ")
    | dict.fromkeys("、，،", ", ")
    | dict.fromkeys("«「『《〈【", " “")
    | dict.fromkeys("»」』》〉】", "” ")
    | {
        "！": "! ",
        "？": "? ",
        "：": ": ",
        "；": "; ",
        "（": " (",
        "）": ") ",
        "–": "—",
        "・": " ",
        "～": "—",
        "〜": "—",
    }
)


def _pause(gap: str) -> str:
    """Return what the model reads for the text between two words: marks that it knows, and spaces."""
    marks = re.sub(r"(?<= )-(?= )", "—", gap).replace("...", "…").translate(_MARKS)
    return "".join(mark for mark in marks if mark in ' ;:,.!?—…"()“”')


def _words(text: str) -> list[Segment]:
    return [(span.start, span.stop) for span in word_spans(text)]


def _found(text: str, parts: Sequence[str]) -> list[Segment]:
    segments, at = list[Segment](), 0
    for part in filter(str.strip, parts):
        start = text.find(part, at)
        if start >= 0:
            at = start + len(part)
            segments.append((start, at))
    return segments or [(0, len(text))]


def _espeak(language: str) -> Callable[[str], str]:
    from misaki.espeak import EspeakG2P
    from phonemizer.backend import EspeakBackend
    from phonemizer.logger import get_logger

    g2p = EspeakG2P(language)
    # Its own backend takes the commas and points inside numbers for punctuation, and reads "1.234" as two.
    # A clause has no punctuation around its words; a private character is one that no clause contains.
    g2p.backend = EspeakBackend(
        language,
        punctuation_marks="\ue000",
        preserve_punctuation=True,
        with_stress=True,
        tie="^",
        language_switch="remove-flags",
        logger=get_logger(verbosity="quiet"),
    )
    return lambda text: str(g2p(text)[0])


def _mandarin() -> tuple[Callable[[str], str], Callable[[str], list[Segment]]]:
    import jieba
    from misaki.zh import ZHG2P

    jieba.setLogLevel("WARNING")
    g2p = ZHG2P()
    return lambda text: str(g2p(text)[0]), lambda text: _found(text, jieba.lcut(text))


def _japanese() -> tuple[Callable[[str], str], Callable[[str], list[Segment]]]:
    # misaki.ja wants pyopenjtalk, which has to be compiled; what it reads with by default does not.
    from misaki.cutlet import Cutlet

    cutlet = Cutlet()

    def phonemes(text: str) -> str:
        return str(cutlet(re.sub(r"(?<=\d)[.．](?=\d)", "点", text))[0])

    def segments(text: str) -> list[Segment]:
        return _found(text, [str(word.surface) for word in cutlet.tagger(text)])

    return phonemes, segments
