import asyncio
import stat
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from voicewire.commands import players
from voicewire.commands.players import PLAYERS, PlayClock, Player, find_player, open_player
from voicewire.commands.problems import Exit, Problem
from voicewire.commands.sinks import Sink
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


async def _write_on(sink: Sink) -> None:
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
    monkeypatch.setattr(players, "ENDS_S", 0.2)
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
