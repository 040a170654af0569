"""Takes: what an engine gave for an utterance, sample by sample, so that it need not speak again for another format.

Kept are its chunks as they came, 16 bit at its own rate, with their words and phonemes, and not what `render` leaves of
them: how much silence goes at the ends, and where words lie, depends on the pause and the format of each form. Chunks
cut alike and rendered again give the very packets that the first listener got, after any change to `render`, too.

The samples are kept as FLAC, which leaves 0.57 of espeak's speech, for 0.3 ms of a processor's time for each second of
audio; the speech itself takes 1.3 ms and its Opus 1.6, and deflate leaves 0.67 for three times the time. They leave the
worker so, and are no more than that on their way through Redis, on disk and in buckets.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import NamedTuple

import msgspec
import numpy as np

from voicewire.codecs.file import FlacSamples, flac_of
from voicewire.codecs.framing import EMPTY
from voicewire.types import Chunk, Pcm, Phoneme, Word

SAMPLES_MAX = 1_500_000  # a minute at 24 kHz; a longer recording would be too large a message, and is not made


class _Cut(NamedTuple):
    """A chunk without its samples."""

    samples: int
    words: tuple[Word, ...]
    phonemes: tuple[Phoneme, ...]


class _Recording(msgspec.Struct, array_like=True):
    rate_hz: int
    cuts: list[_Cut]
    flac: bytes  # empty where there is no sample


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Recording)


class Recorder:
    """Hears an engine at `rate_hz` speak one utterance."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._pcm: list[Pcm] = []
        self._cuts: list[_Cut] = []
        self._samples = 0

    def hear(self, chunks: Generator[Chunk, None, None]) -> Generator[Chunk, None, None]:
        """Hand chunks on, and remember them."""
        with closing(chunks):
            for chunk in chunks:
                self._push(chunk)
                yield chunk

    def recording(self) -> bytes:
        """Return all that was heard, packed; nothing where that was too long."""
        if self._samples > SAMPLES_MAX:
            return b""
        flac = flac_of(np.concatenate(self._pcm), self._rate_hz) if self._samples else b""
        return _encoder.encode(_Recording(self._rate_hz, self._cuts, flac))

    def _push(self, chunk: Chunk) -> None:
        pcm, words, phonemes = chunk
        if not (len(pcm) or words or phonemes):  # an engine that waits
            return
        self._samples += len(pcm)
        if self._samples > SAMPLES_MAX:
            self._pcm.clear()
            return
        self._pcm.append(pcm)
        self._cuts.append(_Cut(len(pcm), words, phonemes))


def replay(recording: bytes) -> tuple[int, Generator[Chunk, None, None]]:
    """Return the engine's rate in Hz and its chunks, decoded one by one.

    Raises `ValueError`, before there is any, for what no `Recorder` has packed.
    """
    try:
        rate_hz, cuts, flac = msgspec.structs.astuple(_decoder.decode(recording))
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
    pcm = FlacSamples(flac) if flac else None
    if sum(cut.samples for cut in cuts) != (len(pcm) if pcm else 0):
        raise ValueError("a recording whose samples are not those of its chunks")
    return rate_hz, _chunks(pcm, cuts)


def _chunks(pcm: FlacSamples | None, cuts: list[_Cut]) -> Generator[Chunk, None, None]:
    for samples, words, phonemes in cuts:
        yield Chunk(pcm.read(samples) if pcm else EMPTY, words, phonemes)
