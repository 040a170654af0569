"""A clip as bytes, which say themselves whether they are whole.

`VWC1`, the SHA-256 of all that follows, the length of the head as u32, the head in msgpack, and the packets. The head
repeats the clip's key: bytes that stand under another name are not believed.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise

import msgspec

from voicewire.clips import Clip
from voicewire.errors import UnsupportedFormat
from voicewire.types import Format, Phoneme, Slice, Word

MAGIC = b"VWC1"

_LENGTH = struct.Struct("<I")
_CONTENT_AT = 36  # behind magic and digest


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


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Head)


def serialize(key: bytes, clip: Clip) -> bytes:
    """Return the clip of `key` as bytes."""
    slices = [([*map(len, slice.packets)], slice.words, slice.last) for slice in clip.slices]
    phonemes = [slice.phonemes for slice in clip.slices]
    head = _encoder.encode(_Head(key, clip.scope, clip.format, slices, phonemes if any(phonemes) else []))
    packets = (packet for slice in clip.slices for packet in slice.packets)
    content = b"".join((_LENGTH.pack(len(head)), head, *packets))
    return b"".join((MAGIC, hashlib.sha256(content).digest(), content))


def parse(key: bytes, data: bytes) -> Clip:
    """Return the clip of `key`. Raises `Corrupt` for anything but what `serialize` made of it."""
    content = memoryview(data)[_CONTENT_AT:]
    if not data.startswith(MAGIC) or hashlib.sha256(content).digest() != data[len(MAGIC) : _CONTENT_AT]:
        raise Corrupt("the bytes are not those that were written")
    try:
        (size,) = _LENGTH.unpack_from(content)
        head = _decoder.decode(content[_LENGTH.size : _LENGTH.size + size])
        slices = tuple(_slices(head, data, _CONTENT_AT + _LENGTH.size + size))
    except (struct.error, msgspec.MsgspecError, UnsupportedFormat, ValueError) as error:
        raise Corrupt(str(error)) from error
    if head.key != key:
        raise Corrupt("it is the clip of another key")
    return Clip(head.scope, head.format, slices)


def _slices(head: _Head, data: bytes, begins: int) -> Iterator[Slice]:
    cut = _cut(data, begins, (length for lengths, _, _ in head.slices for length in lengths))
    phonemes = head.phonemes or [()] * len(head.slices)
    for (lengths, words, last), pronounced in zip(head.slices, phonemes, strict=True):
        yield Slice([packet for _, packet in zip(lengths, cut, strict=False)], words, last, pronounced)


def _cut(data: bytes, begins: int, lengths: Iterable[int]) -> Iterator[bytes]:
    return (data[a:b] for a, b in pairwise(accumulate(lengths, initial=begins)))
