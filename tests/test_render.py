from __future__ import annotations

import weakref
from collections.abc import Generator, Sequence
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicewire.codecs.base import open_decoder
from voicewire.engines.tone import open_engine
from voicewire.errors import EngineFailed
from voicewire.render import Encoders, render
from voicewire.types import Chunk, Codec, Format, Job, Model, Pcm, Slice, Utterance, Voice, Word

TEXT = "One two, three and a rather longer fourth."
PCM = Format(Codec.PCM_S16LE)
LIMIT = 40  # what may be left of a trimmed silence: below -58 dBFS


class Scripted:
    """A double: an engine that says what a test wrote down, since no real one can be made to err so."""

    model = Model("scripted", "Scripted", 24_000, "")

    def __init__(self, *chunks: Chunk) -> None:
        self._chunks = chunks
        self.taken = 0
        self.closed = 0

    def voices(self) -> Sequence[Voice]:
        return ()

    def synthesize(self, utterance: Utterance) -> Generator[Chunk, None, None]:  # noqa: ARG002  # the interface's name
        try:
            for chunk in self._chunks:
                self.taken += 1
                yield chunk
        finally:
            self.closed += 1

    def close(self) -> None: ...


def job(text: str = TEXT, format: Format = PCM, pause_ms: int = 200, speed: float = 1.0) -> Job:
    return Job(Utterance(text, "middle", speed=speed), format, pause_ms)


def joined(slices: Sequence[Slice]) -> tuple[list[bytes], tuple[Word, ...]]:
    assert [slice.last for slice in slices] == [False] * (len(slices) - 1) + [True]
    return [packet for slice in slices for packet in slice.packets], tuple(w for slice in slices for w in slice.words)


def heard(packets: Sequence[bytes]) -> Pcm:
    return np.frombuffer(b"".join(packets), np.int16)


def sound(ms: int, level: int = 8_000) -> Pcm:
    wave: Pcm = (level * np.sin(np.arange(24 * ms) * 0.2 + 1)).astype(np.int16)
    return wave


def quiet(ms: int) -> Pcm:
    return np.zeros(24 * ms, np.int16)


def checked(slices: Sequence[Slice], format: Format) -> tuple[Pcm, tuple[Word, ...]]:
    """Check what every block promises; return its audio (of PCM) and words."""
    packets, words = joined(slices)
    total = len(packets) * format.frame_samples
    for word in words:
        assert 0 <= word.begins < word.ends <= total
    for before, after in pairwise(words):
        assert before.stop <= after.start
        assert before.ends <= after.begins
    ends = accumulate(len(slice.packets) * format.frame_samples for slice in slices)
    known = 0
    for slice, end in zip(slices, ends, strict=True):
        known += len(slice.words)
        assert sum(word.begins < end for word in words) <= known, "a word comes with its audio or earlier"
        assert len(slice.packets) * format.frame_ms <= 1000 + format.frame_ms
    assert slices[-1].packets or not packets, "the last frame is known to be the last when it comes"
    if format.codec is Codec.PCM_S16LE and packets:
        assert not heard(packets[-1:]).any(), "a block ends with a frame of digital silence"
    return heard(packets) if format.codec is Codec.PCM_S16LE else np.empty(0, np.int16), words


def test_encoders_that_are_closed_keep_nothing() -> None:
    encoders = Encoders()
    with encoders.lease(22_050, Format()) as chain:
        gone = weakref.ref(chain)
    del chain
    assert gone() is not None
    encoders.close()
    assert gone() is None


@pytest.mark.parametrize("noise", [0, 20])
@pytest.mark.parametrize(("pause_ms", "speed"), [(0, 1.0), (200, 1.0), (200, 2.0), (1_450, 0.5)])
def test_silence_is_cut_to_an_onset_and_a_pause(noise: int, pause_ms: int, speed: float) -> None:
    pcm, _ = checked(list(render(open_engine(noise=noise), job(pause_ms=pause_ms, speed=speed), Encoders())), PCM)
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > LIMIT)
    assert 0 < loud[0] <= 10 * 24 + 24
    silence = len(pcm) - 1 - loud[-1]
    pause = max(pause_ms / speed * 24, PCM.frame_samples)
    assert pause - 24 <= silence < pause + PCM.frame_samples + 24


def test_silences_inside_and_words_stay_with_the_sound() -> None:
    pcm, words = checked(list(render(open_engine(), job(), Encoders())), PCM)
    assert [TEXT[word.start : word.stop] for word in words] == [
        "One",
        "two",
        "three",
        "and",
        "a",
        "rather",
        "longer",
        "fourth",
    ]
    for word in words:
        assert np.abs(pcm[word.begins + 120 : word.ends - 120]).max() > 10_000
    for before, after in pairwise(words):
        assert after.begins - before.ends == 40 * 24
        assert not pcm[before.ends : after.begins].any()


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_words_are_where_they_were_at_any_rate(rate_hz: int) -> None:
    format = Format(Codec.PCM_S16LE, rate_hz, 40)
    _, there = checked(list(render(open_engine(), job(), Encoders())), PCM)
    _, here = checked(list(render(open_engine(), job(format=format), Encoders())), format)
    for plain, moved in zip(there, here, strict=True):
        assert plain[:2] == moved[:2]
        assert abs(moved.begins - plain.begins * rate_hz / 24_000) <= 1
        assert abs(moved.ends - plain.ends * rate_hz / 24_000) <= 1


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 48_000])
def test_the_cut_of_the_chunks_does_not_matter(rate_hz: int) -> None:
    pcm = np.concatenate((quiet(30), sound(200), quiet(90), sound(300), quiet(120)))
    made = []
    for size in (100, 24 * 60, len(pcm)):
        engine = Scripted(*[Chunk(pcm[at : at + size]) for at in range(0, len(pcm), size)])
        made.append(joined(list(render(engine, job(format=Format(Codec.OPUS, rate_hz)), Encoders()))))
    assert made[0] == made[1] == made[2]


def test_the_first_slice_does_not_wait_for_the_engine() -> None:
    chunks = [Chunk(sound(60)) for _ in range(20)]
    engine = Scripted(*chunks)
    slices = render(engine, job(), Encoders())
    assert len(next(slices).packets) == 3
    assert engine.taken == 1


def test_for_who_is_far_ahead_slices_are_long_from_the_first() -> None:
    soon, at_leisure = (
        [slice for slice in render(open_engine(), job(TEXT * 8), Encoders(), at_leisure=way) if slice.packets]
        for way in (False, True)
    )
    assert joined(soon) == joined(at_leisure)
    assert all(len(slice.packets) * 20 >= 750 for slice in at_leisure[:-1])
    assert len(at_leisure) < len(soon)


def test_slices_grow_to_the_length_asked_for() -> None:
    slices = [slice for slice in render(open_engine(), job(TEXT * 8), Encoders(), slice_ms=400) if slice.packets]
    lengths = [len(slice.packets) * 20 for slice in slices]
    assert lengths[0] <= 100
    assert all(length <= 400 for length in lengths)
    assert all(length >= 300 for length in lengths[6:-1])


def test_a_whole_block_in_one_chunk_leaves_in_slices() -> None:
    slices = render(Scripted(Chunk(sound(20_000))), job(), Encoders())
    assert len(next(slices).packets) * 20 <= 100
    checked([Slice([], (), False), *slices], PCM)


def test_others_may_go_first_behind_every_chunk() -> None:
    engine = Scripted(*[Chunk(sound(5)) for _ in range(200)])
    for steps, _ in enumerate(render(engine, job(), Encoders()), 1):
        assert engine.taken <= steps


@pytest.mark.parametrize("text", ["", "...", "\n"])
def test_text_without_sound_is_one_last_slice_without_packets(text: str) -> None:
    assert list(render(open_engine(), job(text), Encoders())) == [Slice([], (), True)]


def test_an_engine_that_yields_only_silence_is_a_block_without_packets() -> None:
    engine = Scripted(Chunk(quiet(60), (Word(0, 3, 0, 100),)), Chunk(quiet(60)))
    assert joined(list(render(engine, job(), Encoders()))) == ([], ())


def test_a_word_that_outlasts_its_sound_never_outlasts_the_block() -> None:
    words = (Word(0, 3, 0, 24 * 500), Word(4, 7, 24 * 500, 24 * 700), Word(8, 9, 24 * 700, 24 * 701))
    engine = Scripted(
        Chunk(sound(60), words[:1]), Chunk(quiet(440)), Chunk(quiet(200), words[1:2]), Chunk(quiet(9), words[2:])
    )
    slices = list(render(engine, job(pause_ms=0), Encoders()))
    assert len(checked(slices, PCM)[1]) == 3


def test_a_silence_seen_behind_a_word_is_not_part_of_it() -> None:
    engine = Scripted(Chunk(np.concatenate((sound(100), quiet(500))), (Word(0, 3, 0, 24 * 600),)))
    pcm, words = checked(list(render(engine, job(pause_ms=100), Encoders())), PCM)
    assert words[0].ends == 24 * 100
    assert len(pcm) == 24 * 200


def test_the_end_of_a_block_does_not_depend_on_a_failure_before_it() -> None:
    encoders, format = Encoders(), Format(Codec.OPUS, 48_000)
    fresh = joined(list(render(open_engine(), job(format=format), Encoders())))
    with pytest.raises(EngineFailed):
        list(render(open_engine(fail_on="rather"), job(format=format), encoders))
    closed = render(open_engine(), job(format=format), encoders)
    next(closed)
    closed.close()
    for _ in range(2):
        assert joined(list(render(open_engine(), job(format=format), encoders))) == fresh


def test_closing_a_block_closes_the_engines_generator() -> None:
    engine = Scripted(Chunk(sound(60)), Chunk(sound(60)))
    slices = render(engine, job(), Encoders())
    next(slices)
    slices.close()
    assert engine.closed == 1


def test_two_blocks_of_one_format_can_be_open_at_once() -> None:
    encoders = Encoders()
    alone = joined(list(render(open_engine(), job(format=Format()), encoders)))
    both = [render(open_engine(), job(format=Format()), encoders) for _ in range(2)]
    slices: list[list[Slice]] = [[], []]
    for pair in zip(*both, strict=True):
        for kept, slice in zip(slices, pair, strict=True):
            kept.append(slice)
    assert joined(slices[0]) == joined(slices[1]) == alone


def test_no_more_than_the_bound_of_encoders_is_kept() -> None:
    encoders = Encoders(keep=2)
    for frame_ms in (5, 10, 20, 40):
        list(render(Scripted(Chunk(sound(20))), job(format=Format(frame_ms=frame_ms)), encoders))
    assert len(encoders._resting) == 2


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 48_000])
def test_the_seam_between_two_blocks_is_silent_in_one_decoder(rate_hz: int) -> None:
    format = Format(Codec.OPUS, rate_hz)
    packets, _ = joined(list(render(open_engine(), job(format=format, pause_ms=0), Encoders())))
    decoder = open_decoder(format)
    pcm = np.concatenate([decoder.decode(packet) for packet in packets * 2]).astype(np.int32)
    seam, ms = len(packets) * format.frame_samples, rate_hz // 1000
    assert np.abs(pcm[seam - format.frame_samples // 2 : seam]).max() <= LIMIT
    assert np.abs(np.diff(pcm[seam - ms : seam + ms])).max() <= LIMIT, "no click"
    assert np.abs(pcm[:seam] - pcm[seam:]).max() <= LIMIT, "the second block sounds as the first"


@st.composite
def chunks_of_a_talker(draw: st.DrawFn) -> list[Chunk]:
    """Sounds and silences with words anywhere, cut anywhere, as `Chunk` allows."""
    parts = draw(st.lists(st.tuples(st.integers(1, 90), st.booleans()), min_size=1, max_size=12))
    pcm = np.concatenate([sound(ms) if loud else quiet(ms) for ms, loud in parts])
    edges = sorted(draw(st.sets(st.integers(0, len(pcm)), max_size=12)))
    words = [Word(2 * nth, 2 * nth + 1, a, b) for nth, (a, b) in enumerate(pairwise(edges)) if draw(st.booleans())]
    cuts = [0, *sorted(draw(st.sets(st.integers(1, len(pcm) - 1), max_size=6))), len(pcm)] if len(pcm) > 1 else [0, 1]
    return [Chunk(pcm[a:b], tuple(word for word in words if a <= word.begins < b)) for a, b in pairwise(cuts)]


@given(
    chunks=chunks_of_a_talker(),
    format=st.builds(
        Format,
        st.just(Codec.PCM_S16LE),
        st.sampled_from([8_000, 16_000, 24_000, 44_100, 48_000]),
        st.sampled_from([10, 20, 60, 100]),
    ),
    pause_ms=st.integers(0, 500),
    speed=st.sampled_from([0.5, 1.0, 1.7]),
)
def test_words_of_any_engine_stay_exact(chunks: list[Chunk], format: Format, pause_ms: int, speed: float) -> None:
    slices = list(render(Scripted(*chunks), job(format=format, pause_ms=pause_ms, speed=speed), Encoders()))
    _, words = checked(slices, format)
    spoken = [word for chunk in chunks for word in chunk.words]
    if any(slice.packets for slice in slices):
        assert [word[:2] for word in words] == [word[:2] for word in spoken]
