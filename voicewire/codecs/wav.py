"""WAV (RIFF WAVE) with mono PCM of 16 bits; its header, of other samples, too."""

from __future__ import annotations

import struct

from voicewire.codecs.pcm import serialize_s16le
from voicewire.types import Codec, Pcm

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_FORMAT_BYTES = 16
_KINDS = {Codec.PCM_S16LE: (1, 2), Codec.PCM_F32LE: (3, 4), Codec.ALAW: (6, 1), Codec.MULAW: (7, 1)}  # tag, bytes each
_UNKNOWN = 0xFFFF_FFFF  # what readers take for "until the end"; also all that fits a file beyond 4 GiB


def header(rate_hz: int, samples: int | None = None, codec: Codec = Codec.PCM_S16LE) -> bytes:
    """Return the 44 bytes before the samples; without `samples`, those of a stream whose length is not known yet."""
    kind, size = _KINDS[codec]
    data_bytes = _UNKNOWN if samples is None else min(samples * size, _UNKNOWN)
    riff_bytes = min(data_bytes + _HEADER.size - 8, _UNKNOWN)
    layout = (_FORMAT_BYTES, kind, 1, rate_hz, rate_hz * size, size, size * 8)
    return _HEADER.pack(b"RIFF", riff_bytes, b"WAVE", b"fmt ", *layout, b"data", data_bytes)


class WavFile:
    """A WAV file while it is made: a header of unknown length first, the exact one as a correction."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._head = header(rate_hz)
        self._samples = 0

    @property
    def corrections(self) -> tuple[tuple[int, bytes], ...]:
        return ((0, header(self._rate_hz, self._samples)),)

    def encode(self, pcm: Pcm) -> bytes:
        self._samples += pcm.size
        head, self._head = self._head, b""
        return head + serialize_s16le(pcm)

    def finish(self) -> bytes:
        head, self._head = self._head, b""
        return head
