"""A job to slices: engine, silence at both ends, pause, resampling, encoding, words; pure but for the engine.

A rendered block is a whole number of codec frames and ends with at least one frame of digital silence,
so that blocks encoded apart follow each other without a click and decoders stay in step.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager

import numpy as np

from voicewire.codecs.base import Encoder, open_encoder
from voicewire.codecs.resample import Resampler, position
from voicewire.engines.base import Engine
from voicewire.types import Format, Job, Pcm, Slice, Word

FIRST_MS = 100  # pieces grow from here to the slice's length
STEPS = 4  # pieces in the longest slice
KEEP_MS = 10  # of the silence before the first sound, and at most of that behind the last
HOLD_MS = 5_000  # a longer silence is meant, and passed on
FLOOR = 32  # -60 dBFS: never heard
BELOW_PEAK = 8  # bits, 48 dB: not heard beside what is
ENCODERS_KEPT = 32


class Encoders:
    """Encoders at rest, at most `keep` of them, so that a block does not have to build its own."""

    def __init__(self, open: Callable[[Format], Encoder] = open_encoder, keep: int = ENCODERS_KEPT) -> None:
        self._open = open
        self._keep = keep
        self._resting: OrderedDict[Format, list[Encoder]] = OrderedDict()
        self._count = 0

    @contextmanager
    def lease(self, format: Format) -> Iterator[Encoder]:
        """An encoder as new, for as long as the block lasts, however it ends."""
        encoder = self._take(format)
        try:
            yield encoder
        finally:
            encoder.flush()
            self._give(format, encoder)

    def _take(self, format: Format) -> Encoder:
        resting = self._resting.get(format)
        if not resting:
            return self._open(format)
        self._count -= 1
        return resting.pop()

    def _give(self, format: Format, encoder: Encoder) -> None:
        self._resting.setdefault(format, []).append(encoder)
        self._resting.move_to_end(format)
        self._count += 1
        while self._count > self._keep:
            oldest = next(iter(self._resting))
            self._count -= len(self._resting.pop(oldest))


def render(engine: Engine, job: Job, encoders: Encoders, *, slice_ms: int = 1000) -> Generator[Slice, None, None]:
    """Speak `job`; slices come as soon as they are made and grow from one frame to `slice_ms`.

    A slice without packets, words or `last` marks a point where the engine has worked without
    completing anything: whoever advances several jobs may turn to another there. Closing the
    generator closes the engine's. Raises what the engine raises.
    """
    track = Track(engine.model.rate_hz, job)
    made: list[bytes] = []
    pieces = _pieces(engine, job, track, slice_ms)
    with encoders.lease(job.format) as encoder, closing(pieces):
        frames = 0
        for pcm in pieces:
            made += encoder.encode(pcm)
            if made and (not frames or len(made) * job.format.frame_ms >= _goal_ms(frames, job.format, slice_ms)):
                frames += len(made)
                yield Slice(made, track.words(), False)
                made = []
            elif not len(pcm):
                yield Slice([], (), False)
        yield Slice(made, track.words(), True)


def _goal_ms(frames: int, format: Format, slice_ms: int) -> int:
    """Half of what was handed over, so that an engine at 0.6 of real time still keeps ahead of its listener."""
    return min(max(FIRST_MS, frames * format.frame_ms // 2), slice_ms - slice_ms // STEPS)


def _pieces(engine: Engine, job: Job, track: Track, slice_ms: int) -> Generator[Pcm, None, None]:
    """The block's audio at the format's rate, cut so that no piece takes long to encode.

    An empty piece stands behind every chunk of the engine.
    """
    rate_hz, out_hz = engine.model.rate_hz, job.format.rate_hz
    trim = Trim(rate_hz)
    resampler = Resampler(rate_hz, out_hz)
    step_ms = min(FIRST_MS, slice_ms // STEPS)
    with closing(engine.synthesize(job.utterance)) as chunks:
        for chunk in chunks:
            pcm = trim.push(chunk.pcm)
            track.hear(chunk.words, trim)
            while len(pcm):
                step = step_ms * rate_hz // 1000
                yield track.count(resampler.push(pcm[:step]))
                pcm = pcm[step:]
                step_ms = min(step_ms * 2, slice_ms // STEPS)
            yield np.empty(0, np.int16)
    if not trim.heard:
        return
    tail = trim.tail(track.pause_samples * rate_hz // out_hz)
    yield track.count(resampler.push(tail))
    yield track.count(resampler.flush())
    left = track.finish(trim, len(tail) * out_hz // rate_hz)
    while left:
        step = min(left, slice_ms // STEPS * out_hz // 1000)
        yield np.zeros(step, np.int16)
        left -= step


class Trim:
    """Cuts the silence off both ends of a stream, as it comes; silences inside stay.

    Silence is what is 48 dB below the loudest sample so far, or below -60 dBFS: engines leave noise of
    a few dozen steps, or none. Counts samples at the engine's rate.
    """

    def __init__(self, rate_hz: int) -> None:
        self.lead = 0  # cut off before the first sample kept
        self.kept = 0  # handed over
        self.heard = False
        self._keep = KEEP_MS * rate_hz // 1000
        self._hold = HOLD_MS * rate_hz // 1000
        self._held = np.empty(0, np.int16)
        self._peak = 0

    @property
    def seen(self) -> int:
        """Samples taken in so far."""
        return self.lead + self.kept + len(self._held)

    def push(self, pcm: Pcm) -> Pcm:
        """Take samples; return those that are sure to stay."""
        if not len(pcm):
            return pcm
        self._peak = max(self._peak, int(pcm.max()), -int(pcm.min()))
        threshold = max(FLOOR, self._peak >> BELOW_PEAK)
        loud = (pcm > threshold) | (pcm < -threshold)
        first = int(loud.argmax())
        if not loud[first]:
            return self._quiet(pcm)
        last = len(pcm) - int(loud[::-1].argmax())
        stay = np.concatenate((self._held, pcm[:last])) if len(self._held) else pcm[:last]
        if not self.heard:
            stay = self._onset(stay, len(self._held) + first)
        self._held = pcm[last:]
        self.kept += len(stay)
        return stay

    def tail(self, samples: int) -> Pcm:
        """The end: at most `samples` of the silence behind the last sound, never more than 10 ms."""
        tail, self._held = self._held[: min(samples, self._keep)], self._held[:0]
        return tail

    def _onset(self, pcm: Pcm, first: int) -> Pcm:
        self.heard = True
        cut = max(0, first - self._keep)
        self.lead += cut
        return pcm[cut:]

    def _quiet(self, pcm: Pcm) -> Pcm:
        held = np.concatenate((self._held, pcm)) if len(self._held) else pcm
        if self.heard:
            released = held if len(held) > self._hold else held[:0]
            self._held = held[len(released) :]
            self.kept += len(released)
            return released
        cut = max(0, len(held) - self._keep)
        self.lead += cut
        self._held = held[cut:]
        return held[:0]


class Track:
    """The words of a block, moved along with its audio, and the count of its samples."""

    def __init__(self, rate_hz: int, job: Job) -> None:
        self._rate_hz = rate_hz
        self._out_hz = job.format.rate_hz
        self._frame = job.format.frame_samples
        self.pause_samples = int(job.pause_ms * self._out_hz / 1000 / job.utterance.speed)
        self._waiting: deque[Word] = deque()  # at the engine's rate, from the utterance's first sample
        self._placed: list[Word] = []  # at the format's, from the block's; not handed over
        self._ends = 0  # of the last word placed
        self._total = 0

    def hear(self, words: tuple[Word, ...], trim: Trim) -> None:
        """Take an engine's words; place those whose audio is sure to stay."""
        self._waiting.extend(words)
        sure = trim.lead + trim.kept
        while trim.heard and self._waiting and self._waiting[0].begins < sure:
            word = self._waiting.popleft()
            # What was seen behind the last sound may be cut off, and is not the word's.
            ends = min(word.ends, sure) if word.ends <= trim.seen else word.ends
            self._place(word._replace(ends=ends), trim.lead)

    def count(self, pcm: Pcm) -> Pcm:
        self._total += len(pcm)
        return pcm

    def words(self) -> tuple[Word, ...]:
        """The words placed since the last call."""
        placed, self._placed = tuple(self._placed), []
        return placed

    def finish(self, trim: Trim, tail_samples: int) -> int:
        """Place what is left; return the samples of silence that make the block whole.

        That is the rest of the pause, at least a frame, and never less than the words that were
        announced need: an engine whose last word outlasts its sound gets a longer pause.
        """
        while self._waiting:
            word = self._waiting.popleft()
            begins = min(word.begins, trim.lead + trim.kept)
            self._place(word._replace(begins=begins, ends=begins + 1), trim.lead)
        needed = max(self.pause_samples - tail_samples, self._frame, self._ends - self._total)
        return needed + -(self._total + needed) % self._frame

    def _place(self, word: Word, lead: int) -> None:
        begins = max(self._ends, position(max(0, word.begins - lead), self._rate_hz, self._out_hz))
        self._ends = max(begins + 1, position(max(0, word.ends - lead), self._rate_hz, self._out_hz))
        self._placed.append(Word(word.start, word.stop, begins, self._ends))
