"""Samples of voices, and the recorded consent of whoever is heard in them: without it no voice is made of a sample.

A sample is a sound file; its consent stands beside it, in `NAME.consent.json`: who agreed, when, the text that was
read, and the SHA-256 of the sound file. Both are read anew for every use, so that taking the file away ends the voice.
What was made before is bound to the consent, too: `Sample.mark` goes with the voice to whoever keeps its sound.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from voicewire.types import Voice

KINDS = (".wav", ".flac", ".mp3", ".ogg")
CONSENT = ".consent.json"
SAMPLE_BYTES_MAX = 64 << 20
CONSENT_BYTES_MAX = 64 << 10
VOICES_MAX = 1_000
AHEAD = dt.timedelta(days=1)  # clocks and time zones differ


class Refused(Exception):
    """A sample that must not be spoken with; the message names it and says why."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path.name}: {problem}")


class Consent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is recorded: `who` is heard and agreed, `when` (ISO 8601), reading `text` in the file of this `sha256`."""

    who: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"\S")]
    when: str
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=5_000, pattern=r"\S")]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    name: Annotated[str, msgspec.Meta(max_length=100)] = ""
    language: Annotated[str, msgspec.Meta(max_length=35)] = ""
    gender: Annotated[str, msgspec.Meta(pattern="^(female|male)?$")] = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """A sound file whose consent was found in order when it was opened."""

    path: Path
    consent: Consent

    @property
    def id(self) -> str:
        return self.path.stem

    def voice(self, model: str, language: str) -> Voice:
        """The voice that can be made of it."""
        consent = self.consent
        name, spoken = consent.name or self.id, consent.language or language
        return Voice(self.id, name, model, spoken, consent.gender, "A cloned voice.", self.mark(model))

    def mark(self, model: str) -> str:
        """What tells this consent, for this model, from every other, and says nothing of whoever gave it."""
        return hashlib.sha256(msgspec.msgpack.encode((model, self.id, self.consent))).hexdigest()[:32]

    @contextlib.contextmanager
    def verified(self) -> Iterator[Path]:
        """A copy of exactly the bytes that were agreed to, for as long as the context lasts; raises `Refused`."""
        if read_consent(self.path) != self.consent:
            raise Refused(self.path, "its consent has changed")
        data = _agreed(self.path, self.consent)
        with tempfile.TemporaryDirectory(prefix="voicewire-sample-") as folder:
            copy = Path(folder) / f"sample{self.path.suffix}"
            copy.write_bytes(data)
            yield copy

    def require(self) -> None:
        """Raise `Refused` unless consent and sound file are what they were."""
        if read_consent(self.path) != self.consent:
            raise Refused(self.path, "its consent has changed")
        _agreed(self.path, self.consent)


def open_samples(folder: Path) -> tuple[list[Sample], list[Refused]]:
    """Return the samples of `folder` that may be spoken with, by name, and why the others may not."""
    allowed, refused = [], []
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in KINDS)[:VOICES_MAX]:
        try:
            consent = read_consent(path)
            _agreed(path, consent)
        except Refused as error:
            refused.append(error)
        else:
            allowed.append(Sample(path, consent))
    return allowed, refused


def read_consent(path: Path) -> Consent:
    """Return what is recorded for the sample at `path`; raises `Refused` when that is nothing, or not enough."""
    beside = path.with_suffix(CONSENT)
    try:
        data = _read(beside, CONSENT_BYTES_MAX)
    except OSError as error:
        raise Refused(path, f"it has no consent that can be read, {beside.name}") from error
    try:
        consent = msgspec.json.decode(data, type=Consent)
        when = dt.datetime.fromisoformat(consent.when)
    except (msgspec.DecodeError, ValueError) as error:
        raise Refused(path, f"{beside.name}: {error}") from error
    now = dt.datetime.now(when.tzinfo)
    if when > now + AHEAD:
        raise Refused(path, f"{beside.name}: it was not agreed to yet")
    return consent


def record(path: Path, *, who: str, when: str, text: str) -> Path:
    """Write down that `who` agreed to the use of the sample at `path`; return where."""
    consent = Consent(who, when, text, hashlib.sha256(_read(path, SAMPLE_BYTES_MAX)).hexdigest())
    beside = path.with_suffix(CONSENT)
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(consent)))
    return beside


def state_of(folder: Path) -> frozenset[tuple[str, int, int, int]]:
    """What is another once a sample or a consent in `folder` is, and quicker to learn than what they say."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(_stamp(entry) for entry in entries if entry.name.lower().endswith((*KINDS, CONSENT)))
    except OSError:
        return frozenset()


def _stamp(entry: os.DirEntry[str]) -> tuple[str, int, int, int]:
    try:
        found = entry.stat()
    except OSError:  # it goes just now, or is a link to nothing
        return entry.name, 0, 0, 0
    return entry.name, found.st_ino, found.st_size, max(found.st_mtime_ns, found.st_ctime_ns)


def _agreed(path: Path, consent: Consent) -> bytes:
    try:
        data = _read(path, SAMPLE_BYTES_MAX)
    except OSError as error:
        raise Refused(path, error.strerror or "it cannot be read") from error
    if hashlib.sha256(data).hexdigest() != consent.sha256:
        raise Refused(path, "it is not the recording that was agreed to")
    return data


def _read(path: Path, size_max: int) -> bytes:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > size_max:
            raise OSError(f"larger than {size_max} bytes")
        return file.read(size_max)
