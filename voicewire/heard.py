"""Which part of the text had been heard at a sample: a log of every word and block laid."""

from __future__ import annotations

from array import array
from bisect import bisect_right

from voicewire.timeline import Run
from voicewire.types import Block


class Heard:
    """16 bytes for a word or block. Samples are of the context's audio, positions code points of its text."""

    __slots__ = ("_before", "_begins", "_stops")

    def __init__(self, before: int = 0) -> None:
        self._before = before  # what was heard before anything in here
        self._begins = array("Q")  # the first sample of each word or block …
        self._stops = array("Q")  # … and the position in the text that is heard with it

    def add(self, run: Run) -> None:
        """Take what a run lays down; runs come in order."""
        if run.first:
            self._begins.append(run.begins)
            self._stops.append(run.start)
        for word in run.words:
            if not self._begins or word.begins >= self._begins[-1]:  # else it was made again, for a resume
                self._begins.append(word.begins)
                self._stops.append(word.stop)

    def until(self, played: int) -> int:
        """The position behind the last word begun before sample `played`."""
        index = bisect_right(self._begins, played - 1) if played else 0
        return self._stops[index - 1] if index else self._before if played else 0


def unheard(runs: list[Run], blocks: list[Block], settled: int) -> int:
    """The position in the text before which all was said before the first of `runs`; `settled` blocks were laid."""
    if runs:
        return runs[0].start
    return blocks[settled].start if settled < len(blocks) else blocks[-1].stop if blocks else 0
