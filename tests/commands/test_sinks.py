import asyncio
import os
import stat
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from voicewire.commands import sinks
from voicewire.commands.problems import Exit, Problem
from voicewire.commands.sinks import (
    PLAYERS,
    FileSink,
    PlayClock,
    Player,
    audio_rate_hz,
    find_player,
    open_player,
)
from voicewire.types import Pcm

RATE_HZ = 24_000


def _sine(seconds: float) -> Pcm:
    at = np.arange(int(RATE_HZ * seconds)) / RATE_HZ
    return (np.sin(2 * np.pi * 440 * at) * 12_000).astype(np.int16)


def _program(folder: Path, name: str, source: str) -> Player:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(source)}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return Player(str(path), ("{rate}",))


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
    with pytest.raises(Problem, match=r"must end in \.flac, \.mp3, .*\.wav") as problem:
        audio_rate_hz(Path(name))
    assert problem.value.exit is Exit.USAGE


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.opus", "a.ogg"])
def test_every_file_takes_the_rate_that_is_asked_for(name: str) -> None:
    assert audio_rate_hz(Path(name)) == RATE_HZ


def test_the_first_player_that_is_installed_is_taken() -> None:
    assert find_player(lambda program: program if program in {"play", "aplay"} else None) is PLAYERS[2]
    assert find_player(lambda _: None) is None


def test_every_player_is_told_the_rate_or_reads_it() -> None:
    for player in PLAYERS:
        assert player.file or any(str(RATE_HZ) in argument for argument in player.command(RATE_HZ))


async def test_a_player_gets_every_sample(tmp_path: Path) -> None:
    player = _program(
        tmp_path, "player", f"""
        import pathlib, sys
        pathlib.Path({str(tmp_path / "heard")!r}).write_bytes(sys.stdin.buffer.read())
        """,
    )  # fmt: skip
    sink = await open_player(player, RATE_HZ)
    await sink.write(_sine(0.5))
    await sink.finish()
    await sink.discard()
    assert (tmp_path / "heard").read_bytes() == _sine(0.5).tobytes()


async def test_a_player_for_files_gets_a_file_and_leaves_none(tmp_path: Path) -> None:
    player = _program(
        tmp_path, "player", f"""
        import pathlib, sys
        pathlib.Path({str(tmp_path / "heard")!r}).write_bytes(pathlib.Path(sys.argv[-1]).read_bytes())
        pathlib.Path({str(tmp_path / "where")!r}).write_text(sys.argv[-1])
        """,
    )._replace(file=True)  # fmt: skip
    sink = await open_player(player, RATE_HZ)
    assert not sink.paced
    await sink.write(_sine(0.5))
    assert sink.heard_ms() == 0
    await sink.finish()
    await sink.discard()
    assert (tmp_path / "heard").read_bytes()[44:] == _sine(0.5).tobytes()
    assert not Path((tmp_path / "where").read_text()).exists()


async def test_a_player_that_fails_is_a_problem_in_its_own_words(tmp_path: Path) -> None:
    player = _program(tmp_path, "player", "import sys; sys.exit('no sound card')")
    sink = await open_player(player, RATE_HZ)
    with pytest.raises(Problem, match="does not play: no sound card") as problem:
        await sink.finish()
    assert problem.value.exit is Exit.OUTPUT


async def test_a_player_that_stops_listening_is_a_problem(tmp_path: Path) -> None:
    player = _program(tmp_path, "player", "import sys; sys.stdin.close()")
    sink = await open_player(player, RATE_HZ)
    with pytest.raises(Problem, match="exit status 0"):
        await _write_on(sink)


async def _write_on(sink: sinks.Sink) -> None:
    for _ in range(100):
        await sink.write(_sine(0.5))


async def test_a_player_that_is_stopped_is_silent_and_no_problem(tmp_path: Path) -> None:
    player = _program(tmp_path, "player", "import time; time.sleep(60)")
    sink = await open_player(player, RATE_HZ)
    await sink.write(_sine(0.5))
    await sink.discard()
    await sink.write(_sine(0.5))
    await sink.finish()


async def test_a_player_that_does_not_want_to_stop_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "ENDS_S", 0.2)
    player = _program(
        tmp_path, "player", f"""
        import pathlib, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pathlib.Path({str(tmp_path / "ready")!r}).touch()
        time.sleep(60)
        """,
    )  # fmt: skip
    sink = await open_player(player, RATE_HZ)
    while not (tmp_path / "ready").exists():
        await asyncio.sleep(0.005)
    await sink.discard()


async def test_a_player_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="cannot be started"):
        await open_player(Player(str(tmp_path / "nothing"), ()), RATE_HZ)


def test_the_clock_of_a_player_follows_what_it_was_given() -> None:
    now_s = 50.0
    clock = PlayClock(lambda: now_s)
    assert clock.heard_ms() == 0
    clock.give(1.0)
    clock.give(1.0)
    assert clock.heard_ms() == 0
    now_s += 0.5
    assert clock.heard_ms() == pytest.approx(500)
    now_s += 10
    assert clock.heard_ms() == pytest.approx(2_000)
    clock.give(1.0)
    now_s += 0.25
    assert clock.heard_ms() == pytest.approx(2_250)
