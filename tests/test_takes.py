"""A take, encoded again, is the block that was heard at first, in its format and in any other."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from voicewire.engines.base import Engine
from voicewire.engines.espeak import open_engine as open_espeak
from voicewire.engines.tone import open_engine as open_tone
from voicewire.render import Encoders, render, slices_of
from voicewire.takes import SAMPLES_MAX, Recorder, replay
from voicewire.types import Chunk, Codec, Format, Job, Pcm, Phoneme, Slice, Utterance, Word

TEXT = "Number one, was it not? It was number two; and then, after all, the third."
FORMATS = [
    Format(),
    Format(rate_hz=48_000, frame_ms=60, bitrate=64_000),
    Format(Codec.PCM_S16LE),
    Format(Codec.PCM_S16LE, 22_050),
    Format(Codec.PCM_F32LE, 16_000),
    Format(Codec.MULAW, 8_000),
    Format(Codec.ALAW, 8_000, 5),
]


@pytest.fixture(scope="module", params=["espeak", "tone"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine: Engine = open_espeak() if request.param == "espeak" else open_tone()
    yield engine
    engine.close()


def heard(slices: Sequence[Slice]) -> list[Slice]:
    return [slice for slice in slices if slice.packets or slice.words or slice.last]


def job_of(engine: Engine, format: Format, pause_ms: int = 300, speed: float = 1.3) -> Job:
    voice = engine.model.default_voice
    return Job(Utterance(TEXT, voice, "en", speed, 7, engine.model.phonemes), format, pause_ms)


def test_one_take_gives_every_form_as_the_engine_would(engine: Engine) -> None:
    spoken = [*engine.synthesize(job_of(engine, FORMATS[0]).utterance)]  # espeak never says the same samples twice
    recording, encoders = recorded(spoken, engine.model.rate_hz), Encoders()
    for format in FORMATS:
        for pause_ms in (0, 300):
            job = job_of(engine, format, pause_ms)
            first = [*render(engine, job, Encoders(), chunks=(chunk for chunk in spoken))]
            rate_hz, chunks = replay(recording)
            again = [*slices_of(chunks, rate_hz, job, encoders)]
            assert heard(again) == heard(first)  # packets, words and phonemes, cut alike
            assert sum(len(slice.words) for slice in again) == len(TEXT.split())


def recorded(chunks: list[Chunk], rate_hz: int = 22_050) -> bytes:
    recorder = Recorder(rate_hz)
    assert [*recorder.hear(each for each in chunks)] == chunks
    return recorder.recording()


def noise(samples: int) -> Pcm:
    return np.random.default_rng(samples).integers(-(1 << 15), 1 << 15, samples).astype(np.int16)


def test_every_sample_word_and_phoneme_comes_back_in_its_chunk() -> None:
    rng = random.Random(3)
    chunks = [
        Chunk(
            noise(rng.choice([1, 7, 480, 20_000])),
            tuple(Word(at, at + 1, 10 * at, 10 * at + 5) for at in range(rng.randrange(3))),
            tuple(Phoneme("ø", at, at + 1) for at in range(rng.randrange(3))),
        )
        for _ in range(50)
    ]
    rate_hz, again = replay(recorded(chunks))
    assert rate_hz == 22_050
    for chunk, other in zip(chunks, again, strict=True):
        assert other.pcm.dtype == np.int16
        assert np.array_equal(chunk.pcm, other.pcm)
        assert chunk[1:] == other[1:]


def test_an_engine_that_says_nothing_or_waits_leaves_a_take() -> None:
    waits, nothing = Chunk(noise(0)), replay(recorded([]))
    assert [*nothing[1]] == []
    assert [len(chunk.pcm) for chunk in replay(recorded([waits, Chunk(noise(9)), waits]))[1]] == [9]


def test_what_is_too_long_is_not_recorded() -> None:
    second = noise(50_000)
    assert len(recorded([Chunk(second)] * 30)) > SAMPLES_MAX * 2
    assert recorded([Chunk(second)] * 31) == b""


@pytest.mark.parametrize("broken", [b"", b"\x93\x01\x90", b"\x93\xcd\x56\x22\x91\x93\x05\x90\x90\xc4\x00"])
def test_what_is_no_recording_is_refused(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        replay(broken)


def test_flac_that_is_none_is_refused() -> None:
    data = recorded([Chunk(noise(500))])
    with pytest.raises(ValueError, match=r"."):
        replay(data.replace(b"fLaC", b"fLaX"))
