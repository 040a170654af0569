"""WAV (RIFF WAVE) with mono PCM of 16 bits; its header, of 32-bit floats, too."""

from __future__ import annotations

import struct

from voicewire.codecs.pcm import serialize_s16le
from voicewire.types import Pcm

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_FORMAT_BYTES = 16
_LINEAR_PCM, _IEEE_FLOAT = 1, 3
_SAMPLE_BYTES = 2
_FLOAT_BYTES = 4
_UNKNOWN = 0xFFFF_FFFF  # what readers take for "until the end"; also all that fits a file beyond 4 GiB


def header(rate_hz: int, samples: int | None = None, *, floats: bool = False) -> bytes:
    """Return the 44 bytes before the samples; without `samples`, those of a stream whose length is not known yet."""
    kind, size = (_IEEE_FLOAT, _FLOAT_BYTES) if floats else (_LINEAR_PCM, _SAMPLE_BYTES)
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
