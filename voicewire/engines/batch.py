"""Several utterances that a `BatchEngine` speaks together, each taken by itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence

import numpy as np

from voicewire.engines.base import BatchEngine, BatchPart
from voicewire.errors import VoicewireError
from voicewire.types import Chunk, Utterance

ALIKE = 2  # how many times as long as another an utterance of the same batch may be


def choose(sizes: Sequence[int], rows_max: int) -> list[int]:
    """Which of the utterances that wait, earliest deadline first, make a batch: the first, and what is like it."""
    first = max(1, sizes[0])
    alike = [nth for nth, size in enumerate(sizes) if first <= max(1, size) * ALIKE and size <= first * ALIKE]
    return alike[: max(1, rows_max)]


class Batch:
    """A pass of an engine, under way. Whoever takes a row that is not there yet lets the engine go on.

    What is made for one row while another was asked for waits here: at most the audio of the whole batch.
    """

    def __init__(self, engine: BatchEngine, utterances: Sequence[Utterance]) -> None:
        self._dropped: set[int] = set()
        self._open = set(range(len(utterances)))
        self._waiting: list[deque[BatchPart]] = [deque() for _ in utterances]
        self._parts = engine.synthesize_batch(utterances, self._dropped)

    def row(self, nth: int) -> Generator[Chunk, None, None]:
        """The chunks of an utterance, as `Engine.synthesize` gives them.

        A chunk without samples marks a step of the engine that brought nothing for this row.
        """
        while True:
            while self._waiting[nth]:
                part = self._waiting[nth].popleft()
                if part is None:
                    return
                if isinstance(part, VoicewireError):
                    raise part
                yield part
            self._step()
            if not self._waiting[nth]:
                yield Chunk(np.zeros(0, np.int16))

    def drop(self, nth: int) -> None:
        """Nobody wants this row any more; nothing happens when it has ended."""
        self._dropped.add(nth)
        self._waiting[nth].clear()
        self._open.discard(nth)
        if not self._open:
            self._parts.close()

    def _step(self) -> None:
        assert self._open, "every row of a batch ends with None or an error"
        try:
            nth, part = next(self._parts)
        except VoicewireError as error:
            for each in self._open:
                self._waiting[each].append(error)
            self._open.clear()
            return
        if nth in self._dropped:
            return
        self._waiting[nth].append(part)
        if not isinstance(part, Chunk):
            self._open.discard(nth)
