"""The tone engine with the voices that a file names, as they are at the moment: a stand-in for one that clones."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from voicewire.engines import tone
from voicewire.types import Chunk, Model, Utterance, Voice


class ChangingTone:
    """See the module."""

    def __init__(self, path: str) -> None:
        self._tone = tone.open_engine()
        self._path = Path(path)
        self._ids = self._path.read_text().split()

    @property
    def model(self) -> Model:
        return self._tone.model

    def voices(self) -> Sequence[Voice]:
        return [voice for voice in self._tone.voices() if voice.id in self._ids]

    def look(self) -> bool:
        before, self._ids = self._ids, self._path.read_text().split()
        return self._ids != before

    def synthesize(self, utterance: Utterance) -> Generator[Chunk, None, None]:
        return self._tone.synthesize(utterance)

    def close(self) -> None:
        self._tone.close()


def open_engine(path: str) -> ChangingTone:
    """Open it."""
    return ChangingTone(path)
