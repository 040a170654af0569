"""The interface of a live codec, and the table that finds one for a format."""

from __future__ import annotations

from typing import Protocol

from voicewire.types import Format, Pcm


class Encoder(Protocol):
    """Turns PCM at the format's rate into codec frames of exactly `format.frame_samples` samples each."""

    def encode(self, pcm: Pcm) -> list[bytes]:
        """Take samples, however they are cut; return the frames that are complete."""
        ...

    def flush(self) -> list[bytes]:
        """Pad what is left with silence to a whole frame, return it, and start afresh.

        After `flush` the encoder is as new: the next frame does not depend on what came before.
        """
        ...


def open_encoder(format: Format) -> Encoder:
    """Return a new encoder for `format`. Every valid `Format` has one."""
    raise NotImplementedError
