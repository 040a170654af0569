"""English phonemes for Kokoro: misaki's lexicons, told parts of speech by a small set of rules.

misaki reads parts of speech from a spaCy model that no package registry carries; without any it spells
"a" as a letter and does not know money. The rules know the closed classes and the word before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from voicewire.engines.kokoro_text import Sound

SPACY_MODEL = "en_core_web_sm"
"""Used when it is installed; it tells more heteronyms apart ("a live record", "they live to record")."""

# misaki raises what Python happens to raise on numbers and symbols that it was not made for.
MISAKI_FAILS = (ArithmeticError, AssertionError, AttributeError, LookupError, StopIteration, TypeError, ValueError)

_CLOSED = {
    tag: frozenset(words.split())
    for tag, words in {
        "DT": "a an the this these those every each another no",
        "PRP$": "my your his her its our their",
        "PRP": "i you he she it we they",
        "MD": "will would can could shall should may might must 'll 'd ca wo",
        "TO": "to",
        "IN": "in of on at for from with into onto",
        "VBD": "used",
        ",": ",",
        ".": ". ! ? … ...",
        ":": ": ; — – --",
        "-LRB-": "( [ {",
        "-RRB-": ") ] }",
        "``": "“ «",
        "''": "” »",
        "$": "$ £ €",
    }.items()
}
_AFTER = {"DT": "NN", "PRP$": "NN", "TO": "VB", "MD": "VB", "PRP": "VBP", "VBZ": "VBN"}
_PERFECT = frozenset({"have", "has", "had", "'ve"})
_TRANSPARENT = frozenset({"not", "n't", "n’t", "never", "also"})


def tags(tokens: Sequence[str], spaced: Sequence[bool]) -> list[str]:
    """Tag tokens in the manner of the Penn Treebank; "" where no rule knows.

    `spaced` says which tokens are followed by a space: a hyphen inside a word is no dash.
    """
    found: list[str] = []
    before, quoted = "", False
    for nth, word in enumerate(map(str.lower, tokens)):
        dash = word == "-" and nth > 0 and spaced[nth - 1]
        tag = ":" if dash else ("``", "''")[quoted] if word == '"' else _tag(word, before)
        quoted ^= word == '"'
        found.append(tag)
        if word not in _TRANSPARENT:
            before = "VBZ" if word in _PERFECT else tag
    return found


def _tag(word: str, before: str) -> str:
    if re.fullmatch(r"[\d.,]*\d", word):
        return "CD"
    closed = next((tag for tag, words in _CLOSED.items() if word in words), "")
    return closed or (_AFTER.get(before, "") if word.isalpha() else "")


class English:
    """Reads English text, American or British; the first sentence loads the lexicon (half a second)."""

    def __init__(self, *, british: bool) -> None:
        from misaki import en, espeak

        self._fallback = espeak.EspeakFallback(british=british)
        # G2P's own constructor fetches the spaCy model.
        self._g2p = en.G2P.__new__(en.G2P)
        self._g2p.version = None
        self._g2p.british = british
        self._g2p.nlp = _tagger()
        self._g2p.lexicon = en.Lexicon(british)
        self._g2p.fallback = self._fallback
        self._g2p.unk = ""
        self._token = en.MToken

    def read(self, text: str) -> list[Sound]:
        """Return the sounds of `text`, which is compact: see `kokoro_g2p.compact`."""
        try:
            # misaki's own preprocessing reads Markdown links as orders; a text of strangers gives none.
            _, tokens = self._g2p(text, preprocess=None)
            return list(_located(text, tokens))
        except MISAKI_FAILS:
            return [self._spelt(text, found) for found in re.finditer(r"\S+", text)]

    def _spelt(self, text: str, found: re.Match[str]) -> Sound:
        phonemes, _ = self._fallback(self._token(text=found[0], tag="", whitespace=""))
        return Sound(found.start(), found.end(), phonemes or "", text[found.end() : found.end() + 1] == " ")


def _located(text: str, tokens: Sequence[Any]) -> Iterator[Sound]:
    """Find misaki's tokens in the text again: it hands over what they say, not where they stood."""
    at = 0
    for token in tokens:
        places = []
        for character in token.text.strip():
            at = text.index(character, at) + 1  # misaki leaves characters out, but never adds one
            places.append(at)
        if places:
            yield Sound(places[0] - 1, at, token.phonemes or "", bool(token.whitespace))


def _tagger() -> Callable[[str], Any]:
    import spacy

    if spacy.util.is_package(SPACY_MODEL):
        model: Callable[[str], Any] = spacy.load(SPACY_MODEL, enable=["tok2vec", "tagger"])
        return model
    blank = spacy.blank("en")

    def tagged(text: str) -> Any:
        tokens = blank(text)
        names = tags([token.text for token in tokens], [bool(token.whitespace_) for token in tokens])
        for token, name in zip(tokens, names, strict=True):
            token.tag_ = name
        return tokens

    return tagged
