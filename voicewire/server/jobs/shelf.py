"""The folder of what jobs make: samples and words while they are made, then the file and its words."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
import numpy as np

from voicewire.codecs.base import FILES, FileKind, open_file_encoder
from voicewire.server.jobs.records import Manner
from voicewire.timing import Positions

ENCODED_AT_ONCE = 1 << 20  # bytes of samples
SAMPLE_BYTES = 2
SPOOLED = ("pcm", "marks")
STRAY_S = 3_600.0  # a folder without a job is not swept before: its row may be about to be there

Mark = tuple[int, int, int, int]  # code points [start, stop), samples [begins, ends)


class Made(NamedTuple):
    """A file that is in place."""

    samples: int
    size_bytes: int
    sha256: str


class Spool:
    """What is spoken of a text so far: its samples, and its words, a line each. Every method blocks."""

    def __init__(self, folder: Path, number: int, samples: int, words_bytes: int) -> None:
        """Open it behind what is known to be kept; where that is not here, at its beginning."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._number = number
        self._pcm, self._words = (_open(folder / f"{number}.{suffix}") for suffix in SPOOLED)
        kept = (samples * SAMPLE_BYTES, words_bytes)
        self.whole = all(_size(file) >= size for file, size in zip(self._files, kept, strict=True))
        for file, size in zip(self._files, kept if self.whole else (0, 0), strict=True):
            file.truncate(size)
            file.seek(size)

    @property
    def _files(self) -> tuple[BinaryIO, BinaryIO]:
        return self._pcm, self._words

    @property
    def samples(self) -> int:
        return self._pcm.tell() // SAMPLE_BYTES

    @property
    def words_bytes(self) -> int:
        return self._words.tell()

    def write(self, pcm: bytes, marks: list[Mark]) -> None:
        """Append samples and words."""
        self._pcm.write(pcm)
        self._words.writelines(msgspec.json.encode(mark) + b"\n" for mark in marks)

    def sync(self) -> None:
        """Return when what was written outlives the machine's power."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        for file in self._files:
            file.close()

    def finish(self, manner: Manner, text: str) -> Made:
        """Make the file and the words of what was written."""
        samples = self.samples
        words = self._finished_words(manner, text, samples)
        size_bytes, sha256 = self._encode(manner)
        _replace(words_path(self._folder, self._number), words)
        return Made(samples, size_bytes, sha256)

    def drop(self) -> None:
        """Remove it: its file is known."""
        self.close()
        for suffix in SPOOLED:
            (self._folder / f"{self._number}.{suffix}").unlink(missing_ok=True)

    def _finished_words(self, manner: Manner, text: str, samples: int) -> bytes:
        positions = Positions(manner.offsets)
        positions.push(text)
        at, rate_hz = positions.convert, manner.rate_hz
        self._words.seek(0)
        marks = (msgspec.json.decode(line, type=Mark) for line in self._words)
        words = [(at(a), at(b), begins * 1000 // rate_hz, ends * 1000 // rate_hz) for a, b, begins, ends in marks]
        return msgspec.json.encode({"words": words, "audio_ms": samples * 1000 // rate_hz, "complete": True})

    def _encode(self, manner: Manner) -> tuple[int, str]:
        encoder = open_file_encoder(manner.format, manner.rate_hz, manner.bitrate)
        path = audio_path(self._folder, self._number, manner.format)
        with _replacing(path) as file:
            for pcm in self._pieces():
                file.write(encoder.encode(np.frombuffer(pcm, dtype="<i2")))
            file.write(encoder.finish())
            for position, data in encoder.corrections:
                file.seek(position)
                file.write(data)
        with path.open("rb") as made:
            return path.stat().st_size, hashlib.file_digest(made, "sha256").hexdigest()

    def _pieces(self) -> Iterator[bytes]:
        self._pcm.seek(0)
        while piece := self._pcm.read(ENCODED_AT_ONCE):
            yield piece


class Shelf:
    """The folder of all jobs. Every method blocks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self) -> None:
        """Make the folder, and see that it can be written. Raises `OSError`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._folder):
            pass

    def open(self, job: str, number: int, samples: int, words_bytes: int) -> Spool:
        """Go on with a text behind what is kept of it."""
        return Spool(self._folder / job, number, samples, words_bytes)

    def audio(self, job: str, number: int, kind: FileKind) -> Path:
        return audio_path(self._folder / job, number, kind)

    def words(self, job: str, number: int) -> bytes | None:
        """Return the words of a text that is spoken, as JSON; None where they are not here."""
        with contextlib.suppress(FileNotFoundError):
            return words_path(self._folder / job, number).read_bytes()
        return None

    def drop(self, job: str) -> None:
        """Remove all of a job."""
        shutil.rmtree(self._folder / job, ignore_errors=True)

    def drop_text(self, job: str, number: int) -> None:
        """Remove all of one text of a job."""
        for path in (self._folder / job).glob(f"{number}.*"):
            path.unlink(missing_ok=True)

    def strays(self) -> list[str]:
        """The jobs that have had a folder for a while."""
        before = time.time() - STRAY_S
        with contextlib.suppress(FileNotFoundError):
            return [each.name for each in self._folder.iterdir() if each.stat().st_mtime < before]
        return []


def audio_path(folder: Path, number: int, kind: FileKind) -> Path:
    return folder / f"{number}.audio.{FILES[kind].extension}"


def words_path(folder: Path, number: int) -> Path:
    return folder / f"{number}.words.json"


def _open(path: Path) -> BinaryIO:
    path.touch()
    return path.open("r+b")


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that is there as a whole, or not at all."""
    unfinished = path.with_name(f"{path.name}.part")
    with unfinished.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _replace(path: Path, data: bytes) -> None:
    with _replacing(path) as file:
        file.write(data)
