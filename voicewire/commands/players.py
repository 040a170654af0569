"""Playing aloud, with whatever program on this machine can."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from voicewire.commands.problems import Exit, Problem
from voicewire.commands.sinks import FileSink, Sink
from voicewire.types import Pcm

ENDS_S = 2.0  # how long a player that was told to stop, or hears no more, may take


class Player(NamedTuple):
    """A program that plays. `arguments` may have `{rate}`; `file` says that it takes a WAV file, not a stream."""

    program: str
    arguments: tuple[str, ...]
    file: bool = False

    def command(self, rate_hz: int) -> list[str]:
        return [self.program, *(argument.format(rate=rate_hz) for argument in self.arguments)]


PLAYERS = (
    Player("pw-play", ("--raw", "--format=s16", "--rate={rate}", "--channels=1", "-")),
    Player("paplay", ("--raw", "--format=s16le", "--rate={rate}", "--channels=1")),
    Player("aplay", ("-q", "-t", "raw", "-f", "S16_LE", "-r", "{rate}", "-c", "1", "-")),
    Player("afplay", (), file=True),
    Player("ffplay", ("-nodisp", "-autoexit", "-loglevel", "error", "-f", "s16le", "-ar", "{rate}", "-i", "-")),
    Player("play", ("-q", "-t", "raw", "-e", "signed", "-b", "16", "-c", "1", "-r", "{rate}", "-")),
)


def find_player(which: Callable[[str], str | None] = shutil.which) -> Player | None:
    """Return the first player that is installed."""
    return next((player for player in PLAYERS if which(player.program)), None)


async def open_player(player: Player, rate_hz: int) -> Sink:
    """Start `player`. Raises `Problem` when it cannot be started."""
    if player.file:
        return FilePlayer(player, rate_hz)
    return StreamPlayer(player.program, await _start(player.command(rate_hz), asyncio.subprocess.PIPE), rate_hz)


class PlayClock:
    """Where a listener is, judged by how much a player was given and when; it plays at once and without a rest."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._given_s = 0.0
        self._ends_s = 0.0

    def give(self, duration_s: float) -> None:
        """The player got more; after a gap it goes on now."""
        self._ends_s = max(self._ends_s, self._clock()) + duration_s
        self._given_s += duration_s

    def heard_ms(self) -> float:
        return max(0.0, self._given_s - max(0.0, self._ends_s - self._clock())) * 1000


class StreamPlayer:
    """A program that plays raw PCM from its standard input."""

    paced = True

    def __init__(self, name: str, process: asyncio.subprocess.Process, rate_hz: int) -> None:
        assert process.stdin
        self._name = name
        self._process = process
        self._stdin = process.stdin
        self._rate_hz = rate_hz
        self._clock = PlayClock()
        self._stopped = False

    async def write(self, pcm: Pcm) -> None:
        if self._stopped:
            return
        try:
            self._stdin.write(pcm.astype("<i2", copy=False).tobytes())
            self._clock.give(len(pcm) / self._rate_hz)
            await self._stdin.drain()
        except OSError:
            await self._check()

    def heard_ms(self) -> float:
        return self._clock.heard_ms()

    async def finish(self) -> None:
        self._stdin.close()
        if await self._process.wait():
            await self._check()

    async def discard(self) -> None:
        self._stopped = True
        await _stop(self._process)

    async def _check(self) -> None:
        if not self._stopped:
            raise await _failed(self._name, self._process)


class FilePlayer:
    """A program that plays a file, so that everything is collected before the first sound."""

    paced = False

    def __init__(self, player: Player, rate_hz: int) -> None:
        self._player = player
        self._rate_hz = rate_hz
        self._samples = 0
        self._clock = PlayClock()
        self._folder = tempfile.TemporaryDirectory(prefix="voicewire-")
        self._path = Path(self._folder.name) / "speech.wav"
        self._file = FileSink(self._path, rate_hz)
        self._process: asyncio.subprocess.Process | None = None
        self._stopped = False

    async def write(self, pcm: Pcm) -> None:
        if self._stopped:
            return
        self._samples += len(pcm)
        await self._file.write(pcm)

    def heard_ms(self) -> float:
        return self._clock.heard_ms()

    async def finish(self) -> None:
        if self._stopped:
            return
        await self._file.finish()
        command = [*self._player.command(self._rate_hz), str(self._path)]
        self._process = await _start(command, asyncio.subprocess.DEVNULL)
        self._clock.give(self._samples / self._rate_hz)
        if await self._process.wait() and not self._stopped:
            raise await _failed(self._player.program, self._process)

    async def discard(self) -> None:
        self._stopped = True
        if self._process:
            await _stop(self._process)
        await self._file.discard()
        self._folder.cleanup()


async def _start(command: list[str], stdin: int) -> asyncio.subprocess.Process:
    try:
        # A session of its own: the terminal's Ctrl-C is for us, who then say what was heard.
        return await asyncio.create_subprocess_exec(
            *command, stdin=stdin, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise Problem(Exit.OUTPUT, f"{command[0]} cannot be started: {error.strerror}") from error


async def _failed(name: str, process: asyncio.subprocess.Process) -> Problem:
    if not await _ended(process):
        await _stop(process)
    assert process.stderr
    said = (await process.stderr.read(2_000)).decode("utf-8", "replace").strip().splitlines()
    return Problem(Exit.OUTPUT, f"{name} does not play: {said[-1] if said else f'exit status {process.returncode}'}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        # Not `process.terminate`: it polls, and may take the exit status from asyncio, which then logs a complaint.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
        await _ended(process)


async def _ended(process: asyncio.subprocess.Process) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), ENDS_S)
    return process.returncode is not None
