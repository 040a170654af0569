"""Sample rate conversion in a stream: the output does not depend on how the input was cut."""

from __future__ import annotations

import numpy as np
import soxr

from voicewire.codecs.framing import EMPTY
from voicewire.codecs.pcm import to_int16
from voicewire.types import Pcm

# In soxr, HQ costs no more than MQ, and both look ahead equally far. LQ would answer 40 ms of audio
# earlier, and loses the consonants: -8 dB at 85 % of the band.
_QUALITY = "HQ"


def resampled(samples: int, in_hz: int, out_hz: int) -> int:
    """How many samples at `out_hz` `samples` at `in_hz` become: n·out/in, halves rounded up."""
    return (2 * samples * out_hz + in_hz) // (2 * in_hz)


def position(sample: int, in_hz: int, out_hz: int) -> int:
    """Where `sample` at `in_hz` lies at `out_hz`; ascending, and the end of the input is the end of the output."""
    return resampled(sample, in_hz, out_hz)


class Resampler:
    """Converts mono PCM from `in_hz` to `out_hz`; to the same rate it hands on the very arrays it gets.

    Output lags behind input by the filter: 42 ms of audio from 22,050 to 24,000 Hz, 80 ms down to 8,000 Hz.
    """

    def __init__(self, in_hz: int, out_hz: int) -> None:
        self._in_hz, self._out_hz = in_hz, out_hz
        # soxr's int16 output is dithered from a random seed: not repeatable, and silence becomes noise.
        self._stream = None if in_hz == out_hz else soxr.ResampleStream(in_hz, out_hz, 1, "float32", _QUALITY)
        self._taken = self._given = 0

    def push(self, pcm: Pcm) -> Pcm:
        """Take samples; return those that are ready."""
        if self._stream is None:
            return pcm
        ready = to_int16(self._stream.resample_chunk(pcm.astype(np.float32)))
        self._taken += pcm.size
        self._given += ready.size
        return ready

    def flush(self) -> Pcm:
        """Return the rest, so that all output together is `resampled(n)` samples, and start afresh."""
        if self._stream is None:
            return EMPTY
        tail = to_int16(self._stream.resample_chunk(EMPTY.astype(np.float32), last=True))
        due = resampled(self._taken, self._in_hz, self._out_hz) - self._given
        self.reset()
        return tail[:due] if tail.size >= due else np.pad(tail, (0, due - tail.size))  # soxr may round a half down

    def reset(self) -> None:
        """Forget what was pushed."""
        if self._stream is not None:
            self._stream.clear()
        self._taken = self._given = 0
