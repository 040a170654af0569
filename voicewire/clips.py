"""Clips: blocks that were rendered before, kept in memory so that the same block is not made twice.

A clip is one form of a take, which is what the engine gave: there is one take of an utterance, and a clip of it for
each format that somebody has asked for.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from voicewire.types import Codec, Format, Job, Slice, Utterance

CLIP_BYTES = 512  # of memory, about, beside its slices: a block without a sound is not free either
WORD_BYTES = 96  # of memory, about, beside the packets
PHONEME_BYTES = 136
PACKET_BYTES = 41  # of memory, beside a packet's own bytes
MADE = 1  # raise it when `render` or an encoder comes to make other bytes of the same take
TAKEN = 1  # … when `takes` comes to pack other bytes of what an engine gave
GATHERED_BYTES = 1 << 16  # of packets that are laid in one go: 16 s of Opus, 1.4 s of samples
SIDE_BYTES = 8  # of a take's key, that the keys of its clips begin with


class Clip(NamedTuple):
    """A block as it was made: whose it is, how it is encoded, and its slices. An empty `scope`: everybody's."""

    scope: str
    format: Format
    slices: tuple[Slice, ...]
    consent: str = ""  # that its voice rests on, where that is cloned

    @property
    def frames(self) -> int:
        """Codec frames of `format.frame_samples` samples each: its exact length."""
        return frames_of(self.slices)

    def gathered(self) -> Iterator[Slice]:
        """Yield it in few slices, each of at most one beyond `GATHERED_BYTES`: no listener has to wait for the next.

        Not in one: what it takes to continue a stream elsewhere is kept, within a bound, and let go slice by slice.
        """
        waiting, size = list[Slice](), 0
        for slice in self.slices:
            waiting.append(slice)
            size += sum(map(len, slice.packets))
            if size >= GATHERED_BYTES or slice.last:
                yield _joined(waiting)
                waiting, size = [], 0


class Take(NamedTuple):
    """What an engine gave for an utterance, as `takes.Recorder` has packed it."""

    recording: bytes


class Keys(NamedTuple):
    """What a block is kept under: the name of its take, that of the clip wanted of it, and the consent in both."""

    take: bytes
    clip: bytes
    consent: str


def take_key(scope: str, model: str, version: str, utterance: Utterance, consent: str = "") -> bytes:
    """Return the SHA-256 of everything that an engine's samples depend on.

    `scope` keeps apart those who must not learn from each other's clips, `version` what speaks otherwise, and `consent`
    what a cloned voice rests on: without it nobody comes to the name of what was made with it.
    """
    known = (TAKEN, scope, model, version, utterance, *((consent,) if consent else ()))
    return hashlib.sha256(msgspec.msgpack.encode(known)).digest()


def clip_key(take: bytes, job: Job) -> bytes:
    """Return the name of one form of the take with that key: beside it wherever names are sorted, and as long.

    Behind the beginning of the take's key, it is of the SHA-256 of everything that the encoded block depends on.
    """
    format = job.format
    opus = (format.bitrate, format.complexity) if format.codec is Codec.OPUS else ()
    sound = (format.codec, format.rate_hz, format.frame_ms, opus)
    form = hashlib.sha256(msgspec.msgpack.encode((MADE, take, sound, job.pause_ms))).digest()
    return take[:SIDE_BYTES] + form[SIDE_BYTES:]


def frames_of(slices: Iterable[Slice]) -> int:
    """Return how many codec frames there are in `slices`."""
    return sum(len(slice.packets) for slice in slices)


def _joined(slices: Sequence[Slice]) -> Slice:
    if len(slices) == 1:
        return slices[0]
    packets = [packet for slice in slices for packet in slice.packets]
    words = tuple(word for slice in slices for word in slice.words)
    phonemes = tuple(phoneme for slice in slices for phoneme in slice.phonemes)
    return Slice(packets, words, slices[-1].last, phonemes)


class Clips:
    """At most `size_bytes` of clips; the least recently used one goes first."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._clips: OrderedDict[bytes, tuple[Clip, int]] = OrderedDict()
        self.used_bytes = 0
        self.hits = 0
        self.misses = 0

    def get(self, key: bytes) -> Clip | None:
        """Return the clip, which becomes the most recently used."""
        clip = self.peek(key)
        if clip is None:
            self.misses += 1
            return None
        self.hits += 1
        self._clips.move_to_end(key)
        return clip

    def peek(self, key: bytes) -> Clip | None:
        """Return the clip, and count nothing."""
        entry = self._clips.get(key)
        return None if entry is None else entry[0]

    def put(self, key: bytes, clip: Clip) -> None:
        """Keep a clip unless it is there or larger than the whole cache."""
        size = size_of(clip)
        if key in self._clips or size > self.size_bytes:
            return
        self._clips[key] = clip, size
        self.used_bytes += size
        while self.used_bytes > self.size_bytes:
            _, (_, freed) = self._clips.popitem(last=False)
            self.used_bytes -= freed


def size_of(clip: Clip | Take) -> int:
    """Return about how much memory a clip or a take takes."""
    if isinstance(clip, Take):
        return CLIP_BYTES + len(clip.recording)
    return CLIP_BYTES + sum(map(_size, clip.slices))


def _size(slice: Slice) -> int:
    marks = WORD_BYTES * len(slice.words) + PHONEME_BYTES * len(slice.phonemes)
    return sum(map(len, slice.packets)) + PACKET_BYTES * len(slice.packets) + marks
