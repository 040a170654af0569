"""Clips: blocks that were rendered before, kept in memory so that the same block is not made twice."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from voicewire.types import Job, Slice

CLIP_BYTES = 512  # of memory, about, beside its slices: a block without a sound is not free either
WORD_BYTES = 96  # of memory, about, beside the packets
PACKET_BYTES = 41  # of memory, beside a packet's own bytes

Clip = tuple[Slice, ...]


def clip_key(scope: str, model: str, job: Job) -> bytes:
    """Return the SHA-256 of everything that a rendered block depends on.

    `scope` keeps apart those who must not learn from each other's clips.
    """
    return hashlib.sha256(msgspec.msgpack.encode((scope, model, job))).digest()


def frames_of(slices: Iterable[Slice]) -> int:
    """Return how many codec frames there are in `slices`."""
    return sum(len(slice.packets) for slice in slices)


class Clips:
    """At most `size_bytes` of clips; the least recently used one goes first."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._clips: OrderedDict[bytes, tuple[Clip, int]] = OrderedDict()
        self.used_bytes = 0
        self.hits = 0
        self.misses = 0

    def get(self, key: bytes) -> Clip | None:
        """Return the clip, which becomes the most recently used."""
        entry = self._clips.get(key)
        if entry is None:
            self.misses += 1
            return None
        self.hits += 1
        self._clips.move_to_end(key)
        return entry[0]

    def put(self, key: bytes, clip: Clip) -> None:
        """Keep a clip unless it is there or larger than the whole cache."""
        size = CLIP_BYTES + sum(_size(slice) for slice in clip)
        if key in self._clips or size > self._size_bytes:
            return
        self._clips[key] = clip, size
        self.used_bytes += size
        while self.used_bytes > self._size_bytes:
            _, (_, freed) = self._clips.popitem(last=False)
            self.used_bytes -= freed


def _size(slice: Slice) -> int:
    return sum(len(packet) + PACKET_BYTES for packet in slice.packets) + WORD_BYTES * len(slice.words)
