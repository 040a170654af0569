"""The first step of a job, gone through for nobody, while the job itself is on its way.

A worker that has waited for a while finds nothing of what it needs in the processor's caches: its first step takes
twice as long then. Meanwhile the gateway reads a message and cuts its first block: that is the time to fetch it all.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from voicewire.engines.base import Engine
from voicewire.engines.handoff import Decoder, Made, Submit, serialize
from voicewire.render import Encoders, render
from voicewire.types import Chunk, Format, Job, Utterance, Word

SOUND_MS = 10  # less than a frame, so that none has to be encoded
LEVEL = 1 << 13
WARM_TEXT = "Hello."


class Rehearsal:
    """For a worker with one engine; the engine itself has no part in it."""

    def __init__(self, engine: Engine, encoders: Encoders) -> None:
        self._engine, self._encoders = engine, encoders
        self._decoder = Decoder()
        job = Job(Utterance(WARM_TEXT, engine.model.default_voice), Format(), 0)
        self._message = serialize(Submit(0, job, 0.0))
        self._sound = np.full(SOUND_MS * engine.model.rate_hz // 1000, LEVEL, np.int16)

    def run(self) -> None:
        """Take a message, render what stands for the engine's first sound, and say what came of it, to nobody."""
        for message in self._decoder.push(self._message):
            assert isinstance(message, Submit)
            slices = render(self._engine, message.job, self._encoders, chunks=self._chunks())
            serialize(Made(message.id, next(slices)))
            slices.close()

    def _chunks(self) -> Generator[Chunk, None, None]:
        yield Chunk(self._sound, (Word(0, len(WARM_TEXT), 0, len(self._sound)),))
