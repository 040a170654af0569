"""A clip or a take as bytes, which say themselves whether they are whole.

A clip: `VWC1`, the SHA-256 of all that follows, the length of the head as u32, the head in msgpack, and the packets. A
take: `VWT1`, the SHA-256 of all that follows, its key, and the recording. The head repeats the clip's key, too: bytes
that stand under another name are not believed.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise

import msgspec

from voicewire.cache.base import Kept
from voicewire.clips import Clip, Take
from voicewire.errors import UnsupportedFormat
from voicewire.types import Format, Phoneme, Slice, Word

MAGIC = b"VWC1"
TAKE_MAGIC = b"VWT1"

_LENGTH = struct.Struct("<I")
_CONTENT_AT = 36  # behind magic and digest
_KEY_BYTES = 32


class Corrupt(Exception):
    """These bytes are not the whole clip of this key."""


class _Head(msgspec.Struct, array_like=True):
    key: bytes
    scope: str
    format: Format
    slices: list[tuple[list[int], tuple[Word, ...], bool]]  # lengths of packets, words, last
    phonemes: list[
        tuple[Phoneme, ...]
    ] = []  # of each slice; none where nobody asked: gateways before had no such field
    consent: str = ""  # later still


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Head)


def serialize(key: bytes, kept: Kept) -> bytes:
    """Return what is kept under `key` as bytes."""
    if isinstance(kept, Take):
        return _sealed(TAKE_MAGIC, key, kept.recording)
    return _clip_bytes(key, kept)


def parse(key: bytes, data: bytes) -> Kept:
    """Return what is kept under `key`. Raises `Corrupt` for anything but what `serialize` made of it."""
    content = memoryview(data)[_CONTENT_AT:]
    magic, digest = data[: len(MAGIC)], data[len(MAGIC) : _CONTENT_AT]
    if magic not in {MAGIC, TAKE_MAGIC} or hashlib.sha256(content).digest() != digest:
        raise Corrupt("the bytes are not those that were written")
    return _take(key, content) if magic == TAKE_MAGIC else _clip(key, data, content)


def _sealed(magic: bytes, *parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return b"".join((magic, digest.digest(), *parts))


def _take(key: bytes, content: memoryview) -> Take:
    if content[:_KEY_BYTES] != key:
        raise Corrupt("it is the take of another key")
    return Take(bytes(content[_KEY_BYTES:]))


def _clip_bytes(key: bytes, clip: Clip) -> bytes:
    slices = [([*map(len, slice.packets)], slice.words, slice.last) for slice in clip.slices]
    phonemes = [slice.phonemes for slice in clip.slices]
    head = _encoder.encode(_Head(key, clip.scope, clip.format, slices, phonemes if any(phonemes) else [], clip.consent))
    packets = b"".join(packet for slice in clip.slices for packet in slice.packets)
    return _sealed(MAGIC, _LENGTH.pack(len(head)), head, packets)


def _clip(key: bytes, data: bytes, content: memoryview) -> Clip:
    try:
        (size,) = _LENGTH.unpack_from(content)
        head = _decoder.decode(content[_LENGTH.size : _LENGTH.size + size])
        slices = tuple(_slices(head, data, _CONTENT_AT + _LENGTH.size + size))
    except (struct.error, msgspec.MsgspecError, UnsupportedFormat, ValueError) as error:
        raise Corrupt(str(error)) from error
    if head.key != key:
        raise Corrupt("it is the clip of another key")
    return Clip(head.scope, head.format, slices, head.consent)


def _slices(head: _Head, data: bytes, begins: int) -> Iterator[Slice]:
    cut = _cut(data, begins, (length for lengths, _, _ in head.slices for length in lengths))
    phonemes = head.phonemes or [()] * len(head.slices)
    for (lengths, words, last), pronounced in zip(head.slices, phonemes, strict=True):
        yield Slice([packet for _, packet in zip(lengths, cut, strict=False)], words, last, pronounced)


def _cut(data: bytes, begins: int, lengths: Iterable[int]) -> Iterator[bytes]:
    return (data[a:b] for a, b in pairwise(accumulate(lengths, initial=begins)))
