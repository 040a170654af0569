"""Samples into frames of one size, and the codecs that map each sample to bytes by itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from voicewire.types import Format, Pcm

Serialize = Callable[[Pcm], bytes]
Parse = Callable[[bytes], Pcm]

EMPTY: Pcm = np.zeros(0, np.int16)
EMPTY.flags.writeable = False


class Framer:
    """Regroups PCM into whole frames of `frame_samples`, however it was cut."""

    def __init__(self, frame_samples: int) -> None:
        self._frame_samples = frame_samples
        self._rest = EMPTY

    def push(self, pcm: Pcm) -> Pcm:
        """Return the frames that are now complete, one after the other in one contiguous array."""
        assert pcm.dtype == np.int16, pcm.dtype
        assert pcm.ndim == 1, pcm.shape
        joined = np.concatenate((self._rest, pcm)) if self._rest.size else np.ascontiguousarray(pcm)
        whole = joined.size - joined.size % self._frame_samples
        self._rest = joined[whole:].copy()  # the caller may write over its array, and a view would keep it alive
        return joined[:whole]

    def flush(self) -> Pcm:
        """Return what is left, padded with silence to a frame; nothing when nothing is left."""
        rest, self._rest = self._rest, EMPTY
        if not rest.size:
            return EMPTY
        frame = np.zeros(self._frame_samples, np.int16)
        frame[: rest.size] = rest
        return frame


class SampleEncoder:
    """A live encoder for codecs without memory: a frame's bytes depend on its own samples only."""

    lookahead_samples = 0

    def __init__(self, format: Format, serialize: Serialize) -> None:
        self._framer = Framer(format.frame_samples)
        self._frame_samples = format.frame_samples
        self._serialize = serialize

    def encode(self, pcm: Pcm) -> list[bytes]:
        return self._cut(self._framer.push(pcm))

    def flush(self) -> list[bytes]:
        return self._cut(self._framer.flush())

    def _cut(self, pcm: Pcm) -> list[bytes]:
        if not pcm.size:
            return []
        data = self._serialize(pcm)
        size_bytes = self._frame_samples * (len(data) // pcm.size)
        return [data[at : at + size_bytes] for at in range(0, len(data), size_bytes)]


class SampleDecoder:
    """The way back from `SampleEncoder`."""

    def __init__(self, parse: Parse) -> None:
        self._parse = parse

    def decode(self, frame: bytes) -> Pcm:
        return self._parse(frame)


class SampleFile:
    """A file of bare samples, without header or trailer."""

    corrections: tuple[()] = ()

    def __init__(self, serialize: Serialize) -> None:
        self._serialize = serialize

    def encode(self, pcm: Pcm) -> bytes:
        return self._serialize(pcm)

    def finish(self) -> bytes:
        return b""
