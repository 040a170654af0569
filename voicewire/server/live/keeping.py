"""What the journal must be told of one context: what is new, what is confirmed, what may go."""

from __future__ import annotations

import time
from collections import deque

import msgspec

from voicewire.context import Context
from voicewire.server.live.journal import Entry, Kept
from voicewire.timeline import Run

ENCODE = msgspec.msgpack.Encoder().encode


class Keeper:
    """Follows one context. `window` is how many samples behind the last one sent are kept, at most `bytes_max`."""

    __slots__ = ("_bytes_max", "_context", "_gone", "_held", "_planned", "_pushed", "_sending", "_state", "_window")

    def __init__(self, context: Context, window: int, bytes_max: int, kept: Kept | None = None) -> None:
        self._context = context
        self._window = window
        self._bytes_max = bytes_max
        self._planned = kept is not None
        self._state = b""  # as confirmed
        self._sending: Entry | None = None
        self._held: deque[tuple[int, int]] = deque()  # of each run in the journal: its end in samples, its bytes
        self._gone = kept.gone if kept else 0  # runs that were let go
        self._pushed = self._gone + len(kept.runs if kept else ())  # runs that are in the journal, or were
        for run in kept.runs if kept else ():
            self._hold(run, sum(map(len, run.packets)))

    def entry(self, *, everything: bool) -> Entry | None:
        """Return what the journal lacks, with what was not confirmed; None when it has all."""
        context = self._context
        changes = context.drain_changes()
        state = ENCODE(context.state(time.monotonic(), time.time()))
        sending = self._sending
        if not (everything or sending or changes.blocks or changes.runs or state != self._state):
            return None
        if sending is None:
            sending = self._sending = Entry(context.plan.channel, pushed=self._pushed)
        if not self._planned:
            sending.plan = ENCODE(context.plan)
        sending.state = state
        sending.blocks += map(ENCODE, changes.blocks)
        for run in changes.runs:
            data = ENCODE(run)
            sending.runs.append(data)
            self._hold(run, len(data))
        self._release()
        if self._gone > sending.pushed:  # while Redis was away: nobody can ask for those any more
            del sending.runs[: self._gone - sending.pushed]
            sending.pushed = self._gone
        sending.gone = self._gone
        return sending

    def written(self) -> None:
        """The last entry is in the journal."""
        if self._sending is not None:
            self._planned = True
            self._state = self._sending.state
            self._pushed = self._sending.pushed + len(self._sending.runs)
            self._sending = None

    def _hold(self, run: Run, size: int) -> None:
        end = run.pts + len(run.packets) * self._context.plan.format.frame_samples
        self._held.append((end, size))

    def _release(self) -> None:
        """Let go the oldest runs that nobody can ask for again."""
        sent = self._context.sent
        behind = sum(size for end, size in self._held if end <= sent)
        while self._held:
            end, size = self._held[0]
            if end > sent or (end > sent - self._window and behind <= self._bytes_max):
                break
            self._held.popleft()
            behind -= size
            self._gone += 1
