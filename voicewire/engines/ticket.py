"""A submitted block, until it has ended: what it is, for whom, and how much of it was delivered."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

from voicewire.errors import VoicewireError
from voicewire.types import Job, Priority, Slice, Word

BEGIN_CHARS = 10  # what beginning a block costs: Kokoro takes as long for as many characters (benchmarks/pool.py)
BEHIND_S = 0.25  # how much later a request over HTTP counts as due, among what a worker has begun


class Sink(Protocol):
    """Where a block goes. Both are called on the event loop, must return at once and must not raise."""

    def slice(self, s: Slice) -> None:
        """Take a slice; the one with `last` is the end."""
        ...

    def failed(self, error: VoicewireError) -> None:
        """The block ends here."""
        ...


class Delivered(NamedTuple):
    """How much of a block its sink has got."""

    packets: int = 0
    text: int = 0  # code points up to the end of the last word
    samples: int = 0  # up to the end of the last word
    pronounced: int = 0  # samples up to the end of the last phoneme


class Ticket:
    """A submitted job, until its last slice, its failure or its cancellation."""

    __slots__ = (
        "ahead", "attempts", "deadline", "delivered", "due_at", "ended", "id", "job", "passed", "priority", "sink",
        "started_s", "tenant", "weight", "work",
    )  # fmt: skip

    def __init__(
        self,
        id: int,
        job: Job,
        deadline: float,
        sink: Sink,
        tenant: str = "",
        priority: Priority = Priority.LIVE,
        weight: float = 1.0,
    ) -> None:
        assert weight > 0
        self.id = id
        self.job = job
        self.deadline = deadline
        self.sink = sink
        self.tenant = tenant
        self.priority = priority
        self.weight = weight
        self.work = BEGIN_CHARS + len(job.utterance.text) / max(0.1, job.utterance.speed)  # in characters at speed 1
        self.due_at = math.inf  # from when on it must not wait for work ahead of need
        self.ahead = False  # asked for before that: its listener has something to hear meanwhile
        self.attempts = 0
        self.started_s = 0.0
        self.ended = False
        self.delivered = Delivered()
        self.passed = 0  # packets of this attempt that came, delivered or not

    @property
    def lane_deadline(self) -> float:
        """By what a worker orders the blocks in its lanes."""
        if not self.awaited:
            return math.inf
        return self.deadline + (0.0 if self.priority is Priority.LIVE else BEHIND_S)

    @property
    def awaited(self) -> bool:
        """Whether somebody listens, who will run dry."""
        return self.priority < Priority.PREFETCH and self.deadline < math.inf

    def unseen(self, slice: Slice) -> Slice:
        """What of an arriving slice the sink has not got from an attempt before; it counts as delivered.

        Frames and positions are counted from the block's first, so a second attempt goes on where the first
        was lost. An engine that does not make the same samples twice makes nearly the same: words are told by
        their text and kept from overlapping.
        """
        packets, words, last, phonemes, recording = fresh = slice
        skip = self.delivered.packets - self.passed
        self.passed += len(packets)
        if self.attempts > 1:
            packets = packets[max(0, skip) :]
            words = self._words_after(words, self.delivered)
            phonemes = tuple(phoneme for phoneme in phonemes if phoneme.begins >= self.delivered.pronounced)
            fresh = Slice(packets, words, last, phonemes, recording)
        count, text, samples, pronounced = self.delivered
        if words:
            text, samples = words[-1].stop, words[-1].ends
        pronounced = phonemes[-1].ends if phonemes else pronounced
        self.delivered = Delivered(count + len(packets), text, samples, pronounced)
        return fresh

    @staticmethod
    def _words_after(words: tuple[Word, ...], before: Delivered) -> tuple[Word, ...]:
        moved = (word._replace(begins=max(word.begins, before.samples)) for word in words if word.start >= before.text)
        return tuple(word for word in moved if word.begins < word.ends)
