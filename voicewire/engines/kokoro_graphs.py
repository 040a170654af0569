"""The vocoder on CUDA: captured once for every shape of a ladder, then replayed by a single call.

A pass is about 1,400 kernels, most of them short: launched one by one they keep a processor busy for longer than the
device. Shapes that are on no rung are run as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from voicewire.engines.kokoro_groups import rung
from voicewire.engines.kokoro_vocoder import Stretched, Vocoder

ROWS = (1, 2, 4, 8, 16, 32, 64)
FRAMES = (48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536)
WARM_RUNS = 2  # before a capture: libraries choose their algorithms and allocate

logger = logging.getLogger(__name__)


class Captured(NamedTuple):
    """A graph, and where it reads and writes."""

    graph: Any
    given: Stretched
    audio: Any


class Graphs:
    """A vocoder with a fixed set of shapes. What it returns is overwritten by its next call on the same stream."""

    def __init__(self, vocoder: Vocoder, widths: Stretched, rows_max: int, area_max: int) -> None:
        """`widths` is any one input: its tensors tell how many channels each has."""
        self._vocoder = vocoder
        self._widths = widths
        self._shapes = list(_shapes(rows_max, area_max))
        self._captured: dict[tuple[int, int], Captured] = {}  # at most one for each shape of the ladder
        self._flat: list[Any] = []

    def shape(self, rows: int, frames: int) -> tuple[int, int]:
        """Return the rows and frames to pad to."""
        padded = rung(ROWS, rows), rung(FRAMES, frames)
        return padded if padded in self._captured else (rows, frames)

    def warm(self) -> None:
        """Capture every shape, the largest first, so that smaller ones find its memory."""
        room = max(rows * frames for rows, frames in self._shapes)
        channels = (self._widths.melody.shape[2], self._widths.sounds.shape[2], self._vocoder.frame_samples)
        device = self._widths.melody.device
        self._flat = [torch.zeros(room * each, device=device) for each in channels]
        pool = torch.cuda.graph_pool_handle()
        for rows, frames in sorted(self._shapes, key=lambda shape: -shape[0] * shape[1]):
            try:
                self._captured[rows, frames] = self._capture(rows, frames, pool)
            except torch.OutOfMemoryError:
                logger.warning("no memory to capture %d rows of %d frames", rows, frames)
                torch.cuda.empty_cache()

    def __call__(self, given: Stretched, *, whole: bool) -> Any:
        captured = self._captured.get(tuple(given.melody.shape[:2]))
        if captured is None:
            return self._vocoder(given, whole=whole)
        for theirs, ours in zip(given, captured.given, strict=True):
            ours.copy_(theirs)
        captured.graph.replay()
        return captured.audio

    def _capture(self, rows: int, frames: int, pool: Any) -> Captured:
        given = self._views(rows, frames)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_RUNS):
                self._vocoder(given, whole=False)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            audio = self._vocoder(given, whole=False)
        return Captured(graph, given, audio)

    def _views(self, rows: int, frames: int) -> Stretched:
        """One memory holds the input of every shape: only one is in use at a time."""
        melody, sounds, noise = self._flat
        return Stretched(
            _view(melody, rows, frames, self._widths.melody.shape[2]),
            _view(sounds, rows, frames, self._widths.sounds.shape[2]),
            torch.full((rows,), frames, dtype=torch.long, device=melody.device),
            torch.zeros(rows, self._widths.style.shape[1], device=melody.device),
            _view(noise, rows, frames * self._vocoder.frame_samples),
        )


def _shapes(rows_max: int, area_max: int) -> Iterator[tuple[int, int]]:
    for rows in ROWS:
        if rows <= rung(ROWS, rows_max):
            yield from ((rows, frames) for frames in FRAMES if rows * frames <= area_max)


def _view(flat: Any, *shape: int) -> Any:
    size = 1
    for each in shape:
        size *= each
    return flat[:size].view(shape)
