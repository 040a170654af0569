"""A file of frames that are encoded already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from voicewire.codecs.base import FileKind, content_type
from voicewire.codecs.ogg import ogg_of
from voicewire.codecs.wav import header
from voicewire.types import Codec, Format

BARE = {Codec.MULAW: FileKind.MULAW, Codec.ALAW: FileKind.ALAW}


class Contained(NamedTuple):
    """The bytes of a file, and what HTTP calls them."""

    data: bytes
    media_type: str


def contain(format: Format, frames: Sequence[bytes]) -> Contained:
    """Return the file of all `frames` of one format: Ogg, WAV, or, for telephones, the samples alone."""
    if format.codec is Codec.OPUS:
        data = ogg_of(frames, format.rate_hz, format.frame_samples)
        return Contained(data, content_type(FileKind.OPUS, format.rate_hz))
    if format.codec in BARE:
        return Contained(b"".join(frames), content_type(BARE[format.codec], format.rate_hz))
    head = header(format.rate_hz, len(frames) * format.frame_samples, format.codec)
    return Contained(b"".join((head, *frames)), content_type(FileKind.WAV, format.rate_hz))
