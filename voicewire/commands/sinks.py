"""Where the audio goes; here, into a file."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import BinaryIO, Protocol

from voicewire.codecs.base import FILES, FileEncoder, FileKind, file_rate_hz, open_file_encoder
from voicewire.commands.problems import Exit, Problem
from voicewire.types import Pcm

RATE_HZ = 24_000
ALIASES = {".oga": FileKind.OPUS, ".ogg": FileKind.OPUS}


class Sink(Protocol):
    """Takes PCM and says how much of it has been heard. `paced`: it takes it no faster than it is heard."""

    paced: bool

    async def write(self, pcm: Pcm) -> None:
        """Take samples. Raises `Problem` when they cannot be kept or played."""
        ...

    def heard_ms(self) -> float | None:
        """How far the listener is, by now; None where nobody listens."""
        ...

    async def finish(self) -> None:
        """Keep what was written, or wait until it has been heard."""
        ...

    async def discard(self) -> None:
        """Stop at once: a player falls silent, a file that is not whole is removed. What follows has no effect."""
        ...


def file_kind(path: Path) -> FileKind:
    """Return the kind of file that a name asks for. Raises `Problem` for an ending that nobody knows."""
    kinds = {f".{codec.extension}": kind for kind, codec in FILES.items() if not codec.bare} | ALIASES
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise Problem(Exit.USAGE, f"{path}: the name must end in {', '.join(sorted(kinds))}")
    return kind


class FileSink:
    """A file that appears under its name when it is whole."""

    paced = False

    def __init__(self, path: Path, rate_hz: int) -> None:
        self._path = path
        self._encoder: FileEncoder = open_file_encoder(file_kind(path), rate_hz)
        try:
            self._part, self._file = _open_beside(path)
        except OSError as error:
            raise _not_written(path, error) from error

    async def write(self, pcm: Pcm) -> None:
        try:
            self._file.write(self._encoder.encode(pcm))
        except OSError as error:
            raise _not_written(self._path, error) from error

    def heard_ms(self) -> float | None:
        return None

    async def finish(self) -> None:
        try:
            self._file.write(self._encoder.finish())
            for offset, data in self._encoder.corrections if self._part else ():
                self._file.seek(offset)
                self._file.write(data)
            self._file.close()
            if self._part:
                self._part.replace(self._path)
        except OSError as error:
            raise _not_written(self._path, error) from error

    async def discard(self) -> None:
        with contextlib.suppress(OSError):  # a full disk, which has been reported
            self._file.close()
        if self._part:
            self._part.unlink(missing_ok=True)


def _open_beside(path: Path) -> tuple[Path | None, BinaryIO]:
    if path.exists() and not path.is_file():  # a device or a pipe cannot be replaced
        return None, path.open("wb")
    part = path.with_name(f".{path.name}.part")
    return part, part.open("wb")


def _not_written(path: Path, error: OSError) -> Problem:
    return Problem(Exit.OUTPUT, f"{path}: {error.strerror or error}")


def audio_rate_hz(output: Path | None) -> int:
    """Return the rate to ask the server for: one that the file takes as it is."""
    return file_rate_hz(file_kind(output), RATE_HZ) if output else RATE_HZ
