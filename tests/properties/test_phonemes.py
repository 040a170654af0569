"""Properties of phonemes that hold for any engine, however its audio is cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.test_render import Scripted, job, joined, quiet, sound
from voicewire.engines.espeak_phonemes import Sounds
from voicewire.engines.kokoro_phonemes import phonemes_of
from voicewire.engines.kokoro_telling import Telling
from voicewire.engines.kokoro_text import FRAME_SAMPLES, Piece, place
from voicewire.engines.ticket import Ticket
from voicewire.render import Encoders, render
from voicewire.spans import Span
from voicewire.types import Chunk, Codec, Format, Phoneme, Slice, Word


def assert_exact(phonemes: list[Phoneme], total: int) -> None:
    assert all(0 <= phoneme.begins < phoneme.ends <= total for phoneme in phonemes)
    assert all(before.ends <= after.begins for before, after in pairwise(phonemes))


@st.composite
def chunks_of_a_talker(draw: st.DrawFn) -> list[Chunk]:
    """Sounds and silences with words and phonemes anywhere, cut anywhere; phonemes need not be inside of words."""
    parts = draw(st.lists(st.tuples(st.integers(1, 90), st.booleans()), min_size=1, max_size=12))
    pcm = np.concatenate([sound(ms) if loud else quiet(ms) for ms, loud in parts])
    words_at, sounds_at, cuts = (sorted(draw(st.sets(st.integers(0, len(pcm)), max_size=14))) for _ in range(3))
    words = [Word(2 * nth, 2 * nth + 1, *edge) for nth, edge in enumerate(pairwise(words_at))]
    phonemes = [Phoneme(str(nth), *edge) for nth, edge in enumerate(pairwise(sounds_at))]
    return [
        Chunk(
            pcm[a:b],
            tuple(word for word in words if a <= word.begins < b),
            tuple(phoneme for phoneme in phonemes if a <= phoneme.begins < b),
        )
        for a, b in pairwise(sorted({0, *cuts, len(pcm)}))
    ]


@given(
    chunks=chunks_of_a_talker(),
    rate_hz=st.sampled_from([8_000, 16_000, 24_000, 44_100, 48_000]),
    frame_ms=st.sampled_from([10, 20, 100]),
    pause_ms=st.integers(0, 300),
)
def test_phonemes_of_any_engine_are_exact_and_change_nothing_else(
    chunks: list[Chunk], rate_hz: int, frame_ms: int, pause_ms: int
) -> None:
    format = Format(Codec.PCM_S16LE, rate_hz, frame_ms)
    asked = job(format=format, pause_ms=pause_ms)
    slices = list(render(Scripted(*chunks), asked, Encoders()))
    without = [chunk._replace(phonemes=()) for chunk in chunks]
    packets, words = joined(slices)
    assert (packets, words) == joined(list(render(Scripted(*without), asked, Encoders())))
    phonemes = [phoneme for slice in slices for phoneme in slice.phonemes]
    assert_exact(phonemes, len(packets) * format.frame_samples)
    spoken = [phoneme.symbol for chunk in chunks for phoneme in chunk.phonemes]
    assert [phoneme.symbol for phoneme in phonemes] == spoken[: len(phonemes)]
    known = made = 0
    for slice in slices:
        made, known = made + len(slice.packets) * format.frame_samples, known + len(slice.phonemes)
        assert sum(phoneme.begins < made for phoneme in phonemes) <= known, "a phoneme comes with its audio or earlier"


EVENTS = st.lists(
    st.tuples(st.sampled_from(["", "h", "ˈoʊ", "ʲ", "(en)", "stop", "ˈɔːɹ"]), st.integers(-50, 400)), max_size=40
)


@given(EVENTS)
def test_sounds_are_exact_whatever_espeak_says(events: list[tuple[str, int]]) -> None:
    sounds, at, latest = Sounds(), 0, 0
    told: list[Phoneme] = []
    for name, step in events:
        at = max(0, at + step)
        latest = max(latest, at)
        if name == "stop":
            sounds.stop(at)
        else:
            sounds.sound(name.encode(), at)
        told += sounds.taken()
        assert sounds.held is None or all(phoneme.ends <= sounds.held for phoneme in told)
    sounds.stop(latest + 1)
    told += sounds.taken()
    assert_exact(told, latest + 1)
    assert not any(mark in phoneme.symbol for phoneme in told for mark in "ˈ(")


PIECES = st.lists(
    st.sampled_from([" ", ", ", "hˈAlO", "ʧˌɪːə̃", "mɑ↓", "ˈ", "a b"]).map(
        lambda sounds: Piece(sounds, (Span(0, 1),) if sounds.strip(" ,") else ())
    ),
    min_size=1,
    max_size=12,
)


@given(PIECES, st.data())
def test_phonemes_of_a_pass_lie_inside_of_its_words(spoken: list[Piece], data: st.DataObject) -> None:
    size = sum(len(piece.phonemes) for piece in spoken) + 2
    durations = data.draw(st.lists(st.integers(1, 9), min_size=size, max_size=size))
    phonemes = list(phonemes_of(spoken, durations, 7))
    assert_exact(phonemes, 7 + sum(durations) * FRAME_SAMPLES)
    words = place(spoken, durations, 7)
    assert all(any(word.begins <= each.begins and each.ends <= word.ends for word in words) for each in phonemes)
    assert all(any(map(str.isalpha, phoneme.symbol)) for phoneme in phonemes)


def test_stress_and_length_belong_to_their_phonemes() -> None:
    spoken = [Piece("hˈAː", (Span(0, 3),)), Piece(" "), Piece("ʧ", (Span(4, 6),))]
    durations = [3, 1, 2, 4, 1, 5, 2, 9]
    frame = FRAME_SAMPLES
    assert list(phonemes_of(spoken, durations, 0)) == [
        ("h", 0, frame),
        ("eɪː", frame, 8 * frame),
        ("tʃ", 13 * frame, 15 * frame),
    ]


class Nobody:
    def slice(self, s: Slice) -> None: ...

    def failed(self, error: object) -> None: ...


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.data())
def test_a_second_attempt_says_no_phoneme_twice(lengths: list[int], data: st.DataObject) -> None:
    slices = [
        Slice([b"x"], (), at == len(lengths) - 1, (Phoneme(str(at), 100 * at, 100 * at + length),))
        for at, length in enumerate(lengths)
    ]
    ticket = Ticket(1, job(), 0.0, Nobody())
    ticket.attempts = 1
    got = [ticket.unseen(slice) for slice in slices[: data.draw(st.integers(0, len(slices)))]]
    ticket.attempts, ticket.passed = 2, 0
    got += [ticket.unseen(slice) for slice in slices]
    assert [phoneme for slice in got for phoneme in slice.phonemes] == [slice.phonemes[0] for slice in slices]


@given(st.lists(PIECES, min_size=1, max_size=4), st.booleans(), st.data())
def test_chunks_of_a_telling_hold_the_phonemes_that_begin_in_them(
    cut: list[list[Piece]], phonemes: bool, data: st.DataObject
) -> None:
    telling = Telling(cut, [], 1.0, 0, phonemes=phonemes)
    at, told, words = 0, list[Phoneme](), list[Word]()
    for spoken in cut:
        size = sum(len(piece.phonemes) for piece in spoken) + 2
        durations = data.draw(st.lists(st.integers(1, 30), min_size=size, max_size=size))
        for chunk in telling.hear(np.ones(sum(durations) * FRAME_SAMPLES, np.int16), durations):
            assert all(at <= phoneme.begins < at + len(chunk.pcm) for phoneme in chunk.phonemes)
            at += len(chunk.pcm)
            told, words = [*told, *chunk.phonemes], [*words, *chunk.words]
    assert_exact(told, at)
    assert bool(told) == (phonemes and any(map(_heard, cut)))


def _heard(spoken: list[Piece]) -> bool:
    return any(symbol.isalpha() and symbol not in "ˈˌː" for piece in spoken if piece.words for symbol in piece.phonemes)
