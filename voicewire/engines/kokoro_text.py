"""From phonemes to passes through the model, and from its durations back to words: pure.

A G2P gives `Sound`s, each with the characters it stands for; `pieces` joins them with the words of the
text; `passes` cuts the pieces to what the model takes at once; `place` says when each word sounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from voicewire.spans import Span
from voicewire.timing import share
from voicewire.types import Word

PHONEMES_MAX = 510
"""What the model takes in one pass: 512 positions, less one token at each end."""

FRAME_SAMPLES = 600
"""What one unit of a predicted duration lasts, at 24 kHz: 25 ms."""

_LEAD_FRAMES = 3  # the voice is heard that much before its frames; the package corrects its own times alike

_ENDS = (".!?…", ";:", ",—")  # where a pass ends best, second best, third best
_EDGES = re.compile(r'(?P<before>[ ;:,.!?—…"()“”]*)(?P<core>.*?)(?P<after>[ ;:,.!?—…"()“”]*)')


class Sound(NamedTuple):
    """What the characters `[start, stop)` of the text sound like, and whether a space follows."""

    start: int
    stop: int
    phonemes: str
    space: bool = False


class Piece(NamedTuple):
    """Phonemes, and the words of the text that they speak: none for punctuation and spaces."""

    phonemes: str
    words: tuple[Span, ...] = ()


def pieces(sounds: Iterable[Sound], words: Sequence[Span], vocabulary: Iterable[str]) -> list[Piece]:
    """Join sounds and words that overlap; drop what the model has no symbol for, and doubled spaces."""
    known = frozenset(vocabulary)
    made: list[Piece] = []
    for group, spoken in _grouped(sounds, words):
        heard = "".join(symbol for symbol in group if symbol in known)
        for piece in _peeled(re.sub(" +", " ", heard), spoken):
            doubled = bool(made) and piece.phonemes[0] == made[-1].phonemes[-1] == " "
            phonemes = piece.phonemes[doubled:]
            if phonemes:
                made.append(Piece(phonemes, piece.words))
    return made


def _grouped(sounds: Iterable[Sound], words: Sequence[Span]) -> Iterator[tuple[str, tuple[Span, ...]]]:
    group, spoken, unread = "", list[Span](), 0
    for sound in sounds:
        if not spoken or spoken[-1].stop <= sound.start:  # it shares no word with the group
            yield group, tuple(spoken)
            group, spoken = "", []
        while unread < len(words) and words[unread].start < sound.stop:
            if words[unread].stop > sound.start:
                spoken.append(words[unread])
            unread += 1
        group += sound.phonemes + " " * sound.space
    yield group, tuple(spoken)


def _peeled(phonemes: str, words: tuple[Span, ...]) -> Iterator[Piece]:
    """Take the punctuation around a word off it: a pause is not part of a word."""
    found = _EDGES.fullmatch(phonemes)
    assert found is not None
    core = re.sub(r"[;:,.!?…]+ ?", " ", found["core"])  # "10:30" is read in one breath
    for part, spoken in ((found["before"], ()), (core, words), (found["after"], ())):
        if part:
            yield Piece(part, spoken)


def passes(pieces: Iterable[Piece], limit: int = PHONEMES_MAX) -> list[list[Piece]]:
    """Cut into passes of at most `limit` phonemes, at the best place in each one's second half.

    Nothing is left out but spaces at a cut. A single piece that is too long is cut inside.
    """
    made: list[list[Piece]] = []
    rest = [part for piece in pieces for part in _halved(piece, limit)]
    while rest:
        fitting = _fitting(rest, limit)
        cut = fitting if fitting == len(rest) else _best_cut(rest, fitting, limit)
        made.append(_trimmed(rest[:cut]))
        rest = rest[cut:]
    return [each for each in made if each]


def _halved(piece: Piece, limit: int) -> Iterator[Piece]:
    for at in range(0, len(piece.phonemes), limit):
        yield Piece(piece.phonemes[at : at + limit], piece.words)


def _fitting(pieces: list[Piece], limit: int) -> int:
    size = 0
    for count, piece in enumerate(pieces):
        size += len(piece.phonemes)
        if size > limit:
            return count
    return len(pieces)


def _best_cut(pieces: list[Piece], fitting: int, limit: int) -> int:
    size, ranks = 0, []
    for count, (piece, following) in enumerate(pairwise(pieces[: fitting + 1]), 1):
        size += len(piece.phonemes)
        if size * 2 >= limit and (not piece.words or piece.words != following.words):
            ranks.append((_rank(piece), -count))
    return -min(ranks)[1] if ranks else fitting


def _rank(piece: Piece) -> int:
    if piece.words:
        return len(_ENDS) + 1
    return next((rank for rank, marks in enumerate(_ENDS) if set(marks) & set(piece.phonemes)), len(_ENDS))


def _trimmed(pieces: list[Piece]) -> list[Piece]:
    pieces = [piece for piece in pieces if piece.phonemes]
    while pieces and pieces[0].phonemes.isspace():
        pieces.pop(0)
    while pieces and pieces[-1].phonemes.isspace():
        pieces.pop()
    return pieces


class Sounding(NamedTuple):
    """Words spoken together, and the samples `[begins, ends)` in which they are heard."""

    words: tuple[Span, ...]
    begins: int
    ends: int


def place(spoken: Sequence[Piece], durations: Sequence[int], offset: int) -> list[Sounding]:
    """Say when the words of one pass sound, in samples from `offset`.

    `durations` holds one count of frames for every phoneme, and one more at each end. Half of the space
    between two words belongs to each; punctuation belongs to none.
    """
    assert len(durations) == sum(len(piece.phonemes) for piece in spoken) + 2
    edges, at = [], 1
    for piece in spoken:
        edges.append((at, at + len(piece.phonemes)))
        at += len(piece.phonemes)
    sounding = []
    begins = origin(durations, offset)
    for nth, (piece, (first, last)) in enumerate(zip(spoken, edges, strict=True)):
        ends = begins + sum(durations[first:last]) * FRAME_SAMPLES
        if piece.words:
            before, after = _half(spoken, durations, edges, nth - 1), _half(spoken, durations, edges, nth + 1)
            sounding.append(Sounding(piece.words, begins - before, ends + after))
        begins = ends
    return sounding


def origin(durations: Sequence[int], offset: int) -> int:
    """The sample at which the first phoneme of a pass is heard."""
    return offset + (durations[0] - min(_LEAD_FRAMES, durations[0])) * FRAME_SAMPLES


def _half(spoken: Sequence[Piece], durations: Sequence[int], edges: list[tuple[int, int]], nth: int) -> int:
    between_words = 0 < nth < len(spoken) - 1 and spoken[nth - 1].words and spoken[nth + 1].words
    if not between_words or spoken[nth].phonemes != " ":
        return 0
    return durations[edges[nth][0]] * FRAME_SAMPLES // 2


def words_of(sounding: Iterable[Sounding]) -> list[Word]:
    """Give every word its own time: what a cut tore apart is joined, words spoken as one share."""
    joined: list[Sounding] = []
    for each in sounding:
        if joined and joined[-1].words == each.words:
            joined[-1] = joined[-1]._replace(ends=each.ends)
        else:
            joined.append(each)
    return [word for words, begins, ends in joined for word in share(words, begins, ends)]
