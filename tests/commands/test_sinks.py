import os
import stat
from pathlib import Path

import numpy as np
import pytest

from voicewire.commands.problems import Exit, Problem
from voicewire.commands.sinks import FileSink, audio_rate_hz
from voicewire.types import Pcm

RATE_HZ = 24_000


def _sine(seconds: float) -> Pcm:
    at = np.arange(int(RATE_HZ * seconds)) / RATE_HZ
    return (np.sin(2 * np.pi * 440 * at) * 12_000).astype(np.int16)


@pytest.mark.parametrize("name", ["speech.wav", "speech.flac", "SPEECH.WAV"])
async def test_a_lossless_file_holds_every_sample(tmp_path: Path, name: str) -> None:
    import soundfile

    sink = FileSink(tmp_path / name, RATE_HZ)
    pcm = _sine(0.5)
    for piece in np.array_split(pcm, 7):
        await sink.write(piece)
    await sink.finish()
    samples, rate_hz = soundfile.read(tmp_path / name, dtype="int16")
    assert rate_hz == RATE_HZ
    assert np.array_equal(samples, pcm)


@pytest.mark.parametrize("name", ["speech.mp3", "speech.opus", "speech.ogg"])
async def test_a_compressed_file_is_as_long_and_as_loud(tmp_path: Path, name: str) -> None:
    import av

    sink = FileSink(tmp_path / name, RATE_HZ)
    await sink.write(_sine(1.0))
    await sink.finish()
    with av.open(tmp_path / name) as container:
        frames = [frame.to_ndarray().ravel() for frame in container.decode(audio=0)]
        rate_hz = container.streams.audio[0].rate
    samples = np.concatenate(frames)
    assert abs(len(samples) / rate_hz - 1.0) < 0.1
    middle = samples[rate_hz // 4 : rate_hz // 2].astype(np.float64)
    scale = 1.0 if samples.dtype.kind == "f" else np.iinfo(np.int16).max
    assert np.abs(middle / scale).max() == pytest.approx(12_000 / 32_767, rel=0.1)


async def test_a_file_that_is_not_finished_never_appears(tmp_path: Path) -> None:
    (tmp_path / "speech.wav").write_bytes(b"what was here before")
    sink = FileSink(tmp_path / "speech.wav", RATE_HZ)
    await sink.write(_sine(0.1))
    await sink.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["speech.wav"]
    assert (tmp_path / "speech.wav").read_bytes() == b"what was here before"


async def test_to_discard_what_is_finished_keeps_it(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "speech.wav", RATE_HZ)
    await sink.finish()
    await sink.discard()
    assert (tmp_path / "speech.wav").exists()


async def test_a_pipe_with_an_ending_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = FileSink(path, RATE_HZ)
    await sink.write(_sine(0.01))
    await sink.finish()
    assert os.read(reader, 4) == b"RIFF"
    assert stat.S_ISFIFO(path.stat().st_mode)
    os.close(reader)


def test_a_folder_that_is_not_there_is_a_problem_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"missing/speech\.wav: No such file") as problem:
        FileSink(tmp_path / "missing" / "speech.wav", RATE_HZ)
    assert problem.value.exit is Exit.OUTPUT


@pytest.mark.parametrize("name", ["speech", "speech.txt", "speech.wav.bak", ".wav"])
def test_an_ending_that_nobody_knows_is_a_problem(name: str) -> None:
    with pytest.raises(Problem, match=r"must end in \.aac, \.flac, \.mp3, .*\.wav") as problem:
        audio_rate_hz(Path(name))
    assert problem.value.exit is Exit.USAGE


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.opus", "a.ogg"])
def test_every_file_takes_the_rate_that_is_asked_for(name: str) -> None:
    assert audio_rate_hz(Path(name)) == RATE_HZ
