"""WAV (RIFF WAVE) with 16-bit mono PCM."""

from __future__ import annotations

import struct

from voicewire.codecs.pcm import serialize_s16le
from voicewire.types import Pcm

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_FORMAT_BYTES = 16
_LINEAR_PCM = 1
_SAMPLE_BYTES = 2
_UNKNOWN = 0xFFFF_FFFF  # what readers take for "until the end"; also all that fits a file beyond 4 GiB


def header(rate_hz: int, samples: int | None = None) -> bytes:
    """Return the 44 bytes before the samples; without `samples`, those of a stream whose length is not known yet."""
    data_bytes = _UNKNOWN if samples is None else min(samples * _SAMPLE_BYTES, _UNKNOWN)
    riff_bytes = min(data_bytes + _HEADER.size - 8, _UNKNOWN)
    byte_rate, sample_bits = rate_hz * _SAMPLE_BYTES, _SAMPLE_BYTES * 8
    layout = (_FORMAT_BYTES, _LINEAR_PCM, 1, rate_hz, byte_rate, _SAMPLE_BYTES, sample_bits)
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
