"""A job to slices: engine, silence at both ends, pause, resampling, encoding, words; pure but for the engine.

A rendered block is a whole number of codec frames and ends with at least one frame of digital silence,
so that blocks encoded apart follow each other without a click and decoders stay in step.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager

import numpy as np

from voicewire.codecs.base import open_encoder
from voicewire.codecs.resample import Resampler, position
from voicewire.engines.base import Engine
from voicewire.types import Chunk, Format, Job, Pcm, Phoneme, Slice, Word

FIRST_MS = 100  # slices grow from here, behind the first, which is a single frame
STEP_MS = 65  # pieces grow from here: what a resampler needs before it gives a frame of 20 ms
STEPS = 4  # pieces in the longest slice
KEEP_MS = 10  # of the silence before the first sound, and at most of that behind the last
HOLD_MS = 5_000  # a longer silence is meant, and passed on
FLOOR = 32  # -60 dBFS: never heard
BELOW_PEAK = 8  # bits, 48 dB: not heard beside what is
ENCODERS_KEPT = 32
WAITING = Slice([], (), False)
"""What `render` yields, this very object, where an engine that waits has nothing yet."""


class Chain:
    """A resampler and the encoder behind it: samples at `in_hz` in, frames of `format` out."""

    def __init__(self, in_hz: int, format: Format) -> None:
        self.samples = 0  # at the format's rate, that the encoder has taken
        self._resampler = Resampler(in_hz, format.rate_hz)
        self._encoder = open_encoder(format)

    def push(self, pcm: Pcm) -> list[bytes]:
        return self._encode(self._resampler.push(pcm))

    def flush(self) -> list[bytes]:
        """Hand on what the resampler holds back."""
        return self._encode(self._resampler.flush())

    def pad(self, samples: int) -> list[bytes]:
        """Add digital silence, counted at the format's rate."""
        return self._encode(np.zeros(samples, np.int16))

    def renew(self) -> None:
        """Forget everything, however the last block ended."""
        self.samples = 0
        self._resampler.reset()
        self._encoder.flush()

    def _encode(self, pcm: Pcm) -> list[bytes]:
        self.samples += len(pcm)
        return self._encoder.encode(pcm)


class Encoders:
    """Chains at rest, at most `keep` of them: a block finds its own ready made instead of building it."""

    def __init__(self, keep: int = ENCODERS_KEPT) -> None:
        self._keep = keep
        self._resting: OrderedDict[tuple[int, Format], list[Chain]] = OrderedDict()
        self._count = 0

    @contextmanager
    def lease(self, in_hz: int, format: Format) -> Iterator[Chain]:
        """A chain as new, for as long as the block lasts."""
        resting = self._resting.get((in_hz, format))
        if resting:
            self._count -= 1
        chain = resting.pop() if resting else Chain(in_hz, format)
        try:
            yield chain
        finally:
            chain.renew()
            self._give((in_hz, format), chain)

    def close(self) -> None:
        """Let go of all that rest: what a library made is not to outlive it."""
        self._resting.clear()
        self._count = 0

    def _give(self, key: tuple[int, Format], chain: Chain) -> None:
        self._resting.setdefault(key, []).append(chain)
        self._resting.move_to_end(key)
        self._count += 1
        while self._count > self._keep:
            _, oldest = self._resting.popitem(last=False)
            self._count -= len(oldest)


def render(
    engine: Engine,
    job: Job,
    encoders: Encoders,
    *,
    slice_ms: int = 1000,
    chunks: Generator[Chunk, None, None] | None = None,
    at_leisure: bool = False,
) -> Generator[Slice, None, None]:
    """Speak `job`; slices come as soon as they are made and grow from one frame, unless `at_leisure`, to `slice_ms`.

    A slice without packets, words or `last` marks a point where there was work without anything
    being complete: whoever advances several jobs may turn to another there. `chunks` are the
    engine's where it speaks already, together with others. Closing the generator closes the engine's.
    Raises what the engine raises.
    """
    with closing(chunks or engine.synthesize(job.utterance)) as spoken:
        rate_hz = engine.model.rate_hz
        yield from slices_of(spoken, rate_hz, job, encoders, slice_ms=slice_ms, at_leisure=at_leisure)


def slices_of(
    chunks: Iterator[Chunk],
    rate_hz: int,
    job: Job,
    encoders: Encoders,
    *,
    slice_ms: int = 1000,
    at_leisure: bool = False,
) -> Generator[Slice, None, None]:
    """Encode what an engine with samples at `rate_hz` says, or has said, as `render` does."""
    format = job.format
    track = Track(rate_hz, job)
    made: list[bytes] = []
    frames = 0
    with (
        encoders.lease(rate_hz, format) as chain,
        closing(_packets(chunks, chain, track, slice_ms)) as steps,
    ):
        for packets in steps:
            if packets is None:
                if made:
                    frames += len(made)
                    yield Slice(made, track.words(), False, track.phonemes())
                    made = []
                yield WAITING
                continue
            made += packets
            goal_ms = _goal_ms(frames * format.frame_ms, slice_ms, at_leisure=at_leisure)
            if made and len(made) * format.frame_ms >= goal_ms:
                frames += len(made)
                yield Slice(made, track.words(), False, track.phonemes())
                made = []
            else:
                yield Slice([], (), False)
        made += chain.pad(track.rest)
        yield Slice(made, track.words(), True, track.phonemes())


def _goal_ms(sent_ms: int, slice_ms: int, *, at_leisure: bool) -> int:
    """As much as was handed over, so that an engine at half of real time still keeps ahead of its listener."""
    longest_ms = slice_ms - slice_ms // STEPS
    if not sent_ms:
        return longest_ms if at_leisure else 0
    return min(max(FIRST_MS, sent_ms), longest_ms)


def _packets(
    chunks: Iterator[Chunk], chain: Chain, track: Track, slice_ms: int
) -> Generator[list[bytes] | None, None, None]:
    """The block's frames, in steps that do not take long to encode; an empty step behind every chunk, None to wait.

    All but the silence of `track.rest`, with which the block ends: so its last slice has a frame, which may be the last
    of its context.
    """
    rate_hz, out_hz = track.in_hz, track.out_hz
    trim = Trim(rate_hz)
    step_ms = min(STEP_MS, slice_ms // STEPS)
    for chunk in chunks:
        if not len(chunk.pcm) and not chunk.words:
            yield None
            continue
        pcm = trim.push(chunk.pcm)
        track.hear(chunk, trim)
        while len(pcm):
            step = step_ms * rate_hz // 1000
            yield chain.push(pcm[:step])
            pcm = pcm[step:]
            step_ms = min(step_ms * 2, slice_ms // STEPS)
        yield []
    if not trim.heard:
        return
    tail = trim.tail(track.pause_samples * rate_hz // out_hz)
    ending = chain.push(tail) + chain.flush()
    track.finish(trim, position(len(tail), rate_hz, out_hz), chain.samples)
    yield ending  # after `finish`: a word may begin in it
    step = slice_ms // STEPS * out_hz // 1000
    while track.rest > step:
        yield chain.pad(step)
        track.rest -= step


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
        level = np.abs(pcm).view(np.uint16)  # of which -32,768, too, has one
        self._peak = max(self._peak, int(level.max()))
        loud = level > max(FLOOR, self._peak >> BELOW_PEAK)
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
    """The words and phonemes of a block, moved along with its audio."""

    def __init__(self, rate_hz: int, job: Job) -> None:
        self.in_hz = rate_hz
        self.out_hz = job.format.rate_hz
        self.pause_samples = int(job.pause_ms * self.out_hz / 1000 / job.utterance.speed)
        self.rest = 0  # samples of silence that the block still needs, once it is finished
        self._frame = job.format.frame_samples
        self._waiting: deque[Word] = deque()  # at the engine's rate, from the utterance's first sample
        self._placed: list[Word] = []  # at the format's, from the block's; not handed over
        self._ends = 0  # of the last word placed
        self._pronounced = Pronounced(self._position)

    def hear(self, chunk: Chunk, trim: Trim) -> None:
        """Take an engine's words and phonemes; place those whose audio is sure to stay."""
        self._waiting.extend(chunk.words)
        sure = trim.lead + trim.kept
        while trim.heard and self._waiting and self._waiting[0].begins < sure:
            word = self._waiting.popleft()
            # What was seen behind the last sound may be cut off, and is not the word's.
            ends = min(word.ends, sure) if word.ends <= trim.seen else word.ends
            self._place(word._replace(ends=ends), trim.lead)
        self._pronounced.push(chunk.phonemes)
        if trim.heard:
            self._pronounced.place(trim.lead, max(self._ends, self._position(trim.kept)))

    def words(self) -> tuple[Word, ...]:
        """The words placed since the last call."""
        placed, self._placed = tuple(self._placed), []
        return placed

    def phonemes(self) -> tuple[Phoneme, ...]:
        """The phonemes placed since the last call."""
        return self._pronounced.taken()

    def finish(self, trim: Trim, tail_samples: int, total: int) -> None:
        """Place what is left; `rest` is then the silence that makes the `total` samples made so far a whole block.

        That is the rest of the pause, at least a frame, and never less than the words that were
        announced need: an engine whose last word outlasts its sound gets a longer pause.
        """
        while self._waiting:
            word = self._waiting.popleft()
            begins = min(word.begins, trim.lead + trim.kept)
            self._place(word._replace(begins=begins, ends=begins + 1), trim.lead)
        needed = max(self.pause_samples - tail_samples, self._frame, self._ends - total)
        needed += -(total + needed) % self._frame
        self._pronounced.place(trim.lead, total + needed)
        self.rest = needed

    def _position(self, samples: int) -> int:
        return position(samples, self.in_hz, self.out_hz)

    def _place(self, word: Word, lead: int) -> None:
        begins = max(self._ends, self._position(max(0, word.begins - lead)))
        self._ends = max(begins + 1, self._position(max(0, word.ends - lead)))
        self._placed.append(Word(word.start, word.stop, begins, self._ends))


class Pronounced:
    """The phonemes of a block, moved as its words are. They never make a block longer: what has no room is left out.

    `position` turns samples of the engine's into those of the format.
    """

    def __init__(self, position: Callable[[int], int]) -> None:
        self._position = position
        self._waiting: deque[Phoneme] = deque()  # as the engine counts
        self._placed: list[Phoneme] = []  # as the format does; not handed over
        self._ends = 0  # of the last one placed

    def push(self, phonemes: tuple[Phoneme, ...]) -> None:
        """Take what an engine says."""
        self._waiting.extend(phonemes)

    def place(self, lead: int, limit: int) -> None:
        """Place what begins before sample `limit`, to which the block is sure to last; `lead` was cut off."""
        while self._waiting:
            symbol, begins, ends = self._waiting[0]
            begins = max(self._ends, self._position(max(0, begins - lead)))
            if begins >= limit:
                return
            self._waiting.popleft()
            self._ends = min(limit, max(begins + 1, self._position(max(0, ends - lead))))
            self._placed.append(Phoneme(symbol, begins, self._ends))

    def taken(self) -> tuple[Phoneme, ...]:
        """What was placed since the last call."""
        placed, self._placed = tuple(self._placed), []
        return placed
