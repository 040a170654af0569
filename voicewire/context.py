"""One utterance of a session: text in, wire messages out, a little ahead of the listener.

A pure state machine: time is an argument, and what must be done outside is returned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from msgspec import UNSET

from voicewire import frames
from voicewire.errors import Gone
from voicewire.heard import Heard, unheard
from voicewire.intake import Intake
from voicewire.plan import Changes, Plan, State
from voicewire.playhead import Playhead
from voicewire.tab import Tab
from voicewire.timeline import Making, Run, Timeline, joined
from voicewire.types import Block, Slice

Wire = tuple[int, bytes]
"""A WebSocket message: its opcode and its payload."""

FRAMES_AT_ONCE = 50  # so that no listener holds the loop …
BYTES_AT_ONCE = 32 * 1024  # … nor is given more than its connection may have waiting
UNSEEN_S = 10  # of audio beyond the lead: no journal is so far behind
LEAD_FRAMES_MIN = 2  # the one that is heard, and the next: with less nothing would ever be due
UNBUNDLED_FRAMES = 10  # the first frames of a context are not held back to fill a bundle


class Context:
    """See the module. `now` is the monotonic time in seconds."""

    __slots__ = (
        "_announced", "_behind", "_bundle", "_first_audio_ms", "_frame", "_group", "_heard", "_intake", "_lead",
        "_playhead", "_prefetch", "_sent", "_sent_frames", "_stirred", "_taken", "balance_ms", "changes", "final",
        "frames_at_once", "over", "plan", "settled", "tab", "timeline",
    )  # fmt: skip

    def __init__(self, plan: Plan, intake: Intake | None = None) -> None:
        self.plan = plan
        rate_hz, self._frame = plan.format.rate_hz, plan.format.frame_samples
        self.timeline = Timeline(self._frame, rate_hz, plan.speed)
        self.changes = Changes([], [])
        self.frames_at_once = max(1, min(FRAMES_AT_ONCE, BYTES_AT_ONCE // plan.format.frame_bytes))
        self.over = False  # done, cancelled or failed: nothing of it may be sent any more
        self.final = b""  # the message that ended it early, for a listener who lost it
        self.tab = Tab(self._frame, rate_hz)
        self.settled = True  # False: a ledger must be told what it cost before it is done
        self.balance_ms: int | None = None  # what is left then
        self._intake = intake or Intake(plan)
        self._stirred = True  # something happened after which blocks may be wanted
        self._playhead = Playhead(rate_hz)
        self._lead = max(plan.lead_ms * rate_hz // 1000, LEAD_FRAMES_MIN * self._frame)
        within = min(self._lead // self._frame, self.frames_at_once)  # no more is sent at once, so none is waited for
        self._bundle, self._group = min(plan.format.bundle, within), min(plan.group_frames, within)
        self._prefetch = plan.prefetch_ms * rate_hz // 1000
        self._sent = 0  # samples handed over, on the timeline
        self._sent_frames = 0
        self._first_audio_ms: int | None = None
        self._taken = 0  # frames taken of the first run in `timeline.ready` …
        self._announced = False  # … and whether its words were
        self._behind = False  # the listener has frames that were lost here and are made again
        self._heard = Heard()

    # text in

    def text(self, text: str, now: float) -> None:
        """Append text; raises `BadRequest("text_too_long")`."""
        self._add(self._intake.text(text, now))

    def flush(self) -> None:
        """Speak what is buffered."""
        self._add(self._intake.flush())

    def end(self) -> None:
        """No more text comes. Ending twice is as good as once."""
        self._add(self._intake.end())

    def _add(self, blocks: list[Block]) -> None:
        self._stirred = True
        for block in blocks:
            self.timeline.add(block)
            self.changes.blocks.append(block)

    # making

    def wanted(self, now: float) -> list[Making]:
        """The blocks to make now. A parked context wants none."""
        if self.over or self._playhead.paused:
            return []
        if now >= self._intake.hurry_at:
            self._add(self._intake.hurry(now))
        if not self.timeline.pieces or (self.timeline.ready and not self._stirred):
            return []
        self._stirred = False
        heard = self._playhead.heard(now, self._sent)
        wanted: list[Making] = []
        while asked := self.timeline.wanted(now, heard, self._lead + self._prefetch):
            for making in asked:
                if making.block.silent:
                    self.rendered(making.index, Slice([], (), True), cached=False)
                else:
                    wanted.append(making)
        return wanted

    def dues(self, now: float) -> Iterator[tuple[int, float]]:
        """The blocks that are being made, and when the listener runs dry; infinity: not while they pause."""
        dues = self.timeline.dues(now, self._playhead.heard(now, self._sent))
        return ((index, math.inf if self._playhead.paused else due) for index, due in dues)

    def rendered(self, index: int, slice: Slice, *, cached: bool) -> None:
        """A slice of block `index` was made."""
        if not self.over:
            self._lay(self.timeline.lay(index, slice, cached=cached))

    def _lay(self, runs: list[Run]) -> None:
        self._stirred = True
        for run in runs:
            self.changes.runs.append(run)
            self._heard.add(run)
            self.tab.laid(run)
        if self._behind:
            self._catch_up()

    # sending

    def take(self, now: float, frames_max: int) -> list[Wire]:
        """The messages that are due, at most `frames_max` frames of audio in them."""
        out: list[Wire] = []
        ready = self.timeline.ready
        if self.over:
            return out
        if ready and not self._playhead.paused:
            self._take_audio(out, now, frames_max)
        if self.settled and self.handed_over:
            out.append((frames.TEXT_OPCODE, frames.serialize(self._finish())))
        return out

    def _take_audio(self, out: list[Wire], now: float, frames_max: int) -> None:
        ready, room = self.timeline.ready, self._room(now)
        while ready:
            run = ready[0]
            size = len(run.packets)
            if left := size - self._taken:
                count = self._count(left, room, frames_max)
                if not count:
                    return
                if not self._announced:
                    self._announce(run, out)
                out += [(frames.BINARY_OPCODE, audio) for audio in self._audio(run, count, now)]
                room -= count
                frames_max -= count
            elif not self._announced:
                self._announce(run, out)
            if self._taken == size:
                ready.popleft()
                self._taken, self._announced, self._stirred = 0, False, True

    def _room(self, now: float) -> int:
        """Frames that may be sent now, being within the lead."""
        room = (self._playhead.heard(now, self._sent) + self._lead - self._sent) // self._frame
        return room if self._sent_frames else max(room, 1)

    def _count(self, left: int, room: int, frames_max: int) -> int:
        """Frames of a run to send now, whole bundles as far as may be; none while one could still be filled."""
        within = min(left, room, frames_max)
        if within >= self._bundle:
            return within // self._bundle * self._bundle
        full = min(left, self._bundle)
        if full <= within:
            return full
        if room < full and room <= frames_max and self._sent_frames >= UNBUNDLED_FRAMES:
            return 0
        return max(0, min(room, frames_max))

    def _announce(self, run: Run, out: list[Wire]) -> None:
        plan, at, ms = self.plan, self._intake.at, self.plan.format.ms
        self._announced = True
        if run.first:
            span = (at(run.start), at(run.stop))
            block = frames.BlockStart(plan.name, run.block, span, ms(run.begins), run.cached, run.audio or UNSET)
            out.append((frames.TEXT_OPCODE, frames.serialize(block)))
        if plan.words and run.words:
            words = [(at(word.start), at(word.stop), ms(word.begins), ms(word.ends)) for word in run.words]
            out.append((frames.TEXT_OPCODE, frames.serialize(frames.Words(plan.name, run.block, words))))
        if plan.phonemes and run.phonemes:
            phonemes = [(symbol, ms(begins), ms(ends)) for symbol, begins, ends in run.phonemes]
            out.append((frames.TEXT_OPCODE, frames.serialize(frames.Phonemes(plan.name, run.block, phonemes))))

    def _audio(self, run: Run, count: int, now: float) -> list[bytes]:
        """The messages that hand over the next `count` frames of a run."""
        taken, last = self._taken, 0
        self._taken = end = taken + count
        if end == len(run.packets) and run.last and self._complete and len(self.timeline.ready) == 1:
            last = frames.LAST_OF_CONTEXT
        if self._first_audio_ms is None:
            self._first_audio_ms = max(0, int((now - self._intake.asked_at) * 1000))
        if not self._sent_frames:
            self._playhead.start(now)
        self._sent_frames += count
        self._sent = run.pts + end * self._frame
        self.tab.hand_over(self._sent)
        first = frames.FIRST_OF_BLOCK if run.first and not taken else 0
        seq, pts = run.seq + taken, run.pts + taken * self._frame
        return frames.pack_each(
            self.plan.channel, first, last, seq, pts, run.packets[taken:end], self._frame, self._bundle
        )

    @property
    def _complete(self) -> bool:
        """Whether all text came and all of it was made."""
        return self._intake.ended and not self.timeline.pieces

    @property
    def handed_over(self) -> bool:
        """Whether all of it was sent, and only `done` is left to say."""
        return self._complete and not self.timeline.ready and not self.over

    def _finish(self) -> frames.Done:
        self.over = True
        ms = self.plan.format.ms
        audio_ms = ms(self._sent)
        return frames.Done(
            self.plan.name,
            audio_ms,
            self.timeline.blocks,
            self.tab.spent(),
            ms(self.tab.cached),
            self.balance_ms,
            self._first_audio_ms,
        )

    def due_at(self, now: float) -> float:
        """When to call `wanted` and `take` again if nothing else happens; infinity: only an event can help."""
        if self.over or self._playhead.paused:
            return math.inf
        ready = self.timeline.ready
        if not ready:
            return min(self._intake.hurry_at, self._wanted_at(now))
        count = self._group if self._sent_frames >= UNBUNDLED_FRAMES else 1
        if len(ready) == 1:
            count = min(count, len(ready[0].packets) - self._taken)
        return self._playhead.reach(self._sent + count * self._frame - self._lead, now)

    def _wanted_at(self, now: float) -> float:
        if not self.timeline.pieces or self.timeline.pieces[0].asked:
            return math.inf
        return self._playhead.reach(self.timeline.made - self._lead - self._prefetch, now)

    # the listener

    def playhead(self, played_ms: float, paused: bool, now: float) -> None:
        """The listener says where they are."""
        self._stirred = True
        self._playhead.report(self._samples(played_ms), paused, now)

    @property
    def sent(self) -> int:
        """Samples handed over."""
        return self._sent

    @property
    def handed_over_ms(self) -> int:
        """Milliseconds handed over since the context was opened or continued here."""
        return self.plan.format.ms(self.tab.handed - self.tab.before)

    @property
    def first_audio_ms(self) -> int | None:
        """From the first text to the first audio; None before that, and where it was handed over elsewhere."""
        return None if self.tab.before else self._first_audio_ms

    @property
    def parked(self) -> bool:
        return self._playhead.paused

    def _samples(self, ms: float) -> int:
        return min(int(ms * self.plan.format.rate_hz / 1000), self._sent)

    def cancel(self, played_ms: float | None) -> frames.Cancelled:
        """Stop, and say what was heard. Without `played_ms`, what was sent counts as heard."""
        played = self._sent if played_ms is None else self._samples(played_ms)
        self.over = True
        at, ms = self._intake.at, self.plan.format.ms
        to_the_end = self._complete and played >= self.timeline.made
        heard = at(self._intake.chars if to_the_end else self._heard.until(played))
        everything = self._intake.accepted
        cost = self.tab.spent()
        self.tab.stop(played)
        billed = self.tab.spent()
        return frames.Cancelled(
            self.plan.name, ms(played), (0, heard), (heard, everything), billed, cost - billed, None
        )

    def making(self) -> list[int]:
        """The blocks that were asked for and are not laid whole."""
        return [piece.index for piece in self.timeline.pieces if piece.asked]

    # continuing elsewhere

    @property
    def accepted(self) -> int:
        """How much text arrived, in the client's unit."""
        return self._intake.accepted

    @classmethod
    def restore(
        cls, plan: Plan, state: State, blocks: list[Block], runs: list[Run], received: int, now: float, wall_s: float
    ) -> Context:
        """Continue a context behind frame `received` (-1: none came); raises `Gone` when that would leave a hole.

        `wall_s` is the time of day: meanwhile the listener went on hearing what they had.
        """
        context = cls(plan, Intake.restore(plan, state, blocks, now))
        context.final, context.over = state.final, bool(state.final)
        context._heard = Heard(unheard(runs, blocks, state.settled))
        context._first_audio_ms = state.first_audio_ms
        context.tab.restore(state.tab, (received + 1) * context._frame)
        if not context.over:
            context._restore_audio(state, blocks, runs, received + 1)
        meanwhile = 0 if state.paused else max(0, int((wall_s - state.heard_at) * plan.format.rate_hz))
        context._playhead.report(min(context._sent, state.heard + meanwhile), state.paused, now)
        return context

    def _restore_audio(self, state: State, blocks: list[Block], runs: list[Run], frames_received: int) -> None:
        timeline = self.timeline
        if len(blocks) != state.blocks or not joined(runs, state.seq):
            raise Gone
        for block in blocks:
            timeline.add(block)
        for _ in range(state.settled):
            timeline.pieces.popleft()
        timeline.seq, timeline.made = state.seq, state.made
        if timeline.pieces:
            head = timeline.pieces[0]
            head.begins, head.skip, head.frames = state.begins, state.skip, state.skip
        if (runs[0].seq if runs else state.seq) > frames_received:
            raise Gone
        unknown = frames_received - state.seq  # of what came, so many frames no journal saw
        if unknown > (0 if self._complete else (self._lead + UNSEEN_S * self.plan.format.rate_hz) // self._frame):
            raise Gone
        self._sent_frames, self._sent = frames_received, frames_received * self._frame
        for run in runs:
            self._heard.add(run)
        timeline.ready.extend(runs)
        self._catch_up()

    def _catch_up(self) -> None:
        """Drop what the listener has, of what was kept and of what no journal saw and is made again."""
        ready, received = self.timeline.ready, self._sent_frames
        while ready and ready[0].seq < received and ready[0].seq + len(ready[0].packets) <= received:
            ready.popleft()
        self._taken = max(0, received - ready[0].seq) if ready else 0
        self._behind = self.timeline.seq < received

    def drain_changes(self) -> Changes:
        """What a journal has to write beside `state`."""
        changes, self.changes = self.changes, Changes([], [])
        return changes

    def state(self, now: float, wall_s: float) -> State:
        """What a journal keeps beside plan, blocks and runs; `wall_s` is the time of day in seconds."""
        timeline = self.timeline
        head = timeline.pieces[0] if timeline.pieces else None
        heard, heard_at = (0, 0.0) if self.over else (self._playhead.heard(now, self._sent), wall_s)
        return State(
            *self._intake.pending,
            self._intake.ended,
            timeline.seq,
            timeline.made,
            timeline.blocks,
            timeline.blocks - len(timeline.pieces),
            head.begins if head else -1,
            head.frames if head else 0,
            self.tab.state(),
            self._playhead.paused,
            heard,
            heard_at,
            self._first_audio_ms,
            self.final,
        )
