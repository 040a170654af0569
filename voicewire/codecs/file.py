"""FLAC through libsndfile, MP3 and AAC through FFmpeg, as streams of bytes while the audio is made."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from voicewire.types import Pcm

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import OutputContainer

_SILENCE = np.zeros(1, np.int16)  # what a file of nothing holds: without a frame it would be no file of its kind

_TAG = b"Lavf"  # begins the LAME part of the info tag
_TAG_DELAY = 21  # bytes from there: 12 bits of delay, 12 of padding
_LAME_DELAY = 576  # samples, at every rate


class FlacFile:
    """A FLAC file, lossless at 16 bit. While it streams, its header leaves length and MD5 open."""

    def __init__(self, rate_hz: int) -> None:
        import soundfile

        self._sink = _Sink()
        self._file: Any = soundfile.SoundFile(self._sink, "w", rate_hz, 1, "PCM_16", format="FLAC")
        self._empty = True

    @property
    def corrections(self) -> tuple[tuple[int, bytes], ...]:
        return self._sink.corrections

    def encode(self, pcm: Pcm) -> bytes:
        self._empty = self._empty and not pcm.size
        self._file.write(pcm)
        return self._sink.drain()

    def finish(self) -> bytes:
        if self._empty:
            self._file.write(_SILENCE)
        self._file.close()
        return self._sink.drain()


def flac_of(pcm: Pcm, rate_hz: int) -> bytes:
    """Return a whole FLAC file of 16-bit samples, at the level that is done soonest: others leave 5 % less."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, pcm, rate_hz, "PCM_16", format="FLAC", compression_level=0.0)
    return file.getvalue()


class FlacSamples:
    """The samples that `flac_of` was given, decoded as they are read. Raises `ValueError` for what is no FLAC file."""

    def __init__(self, data: bytes) -> None:
        import soundfile

        try:
            self._file: Any = soundfile.SoundFile(io.BytesIO(data))
        except soundfile.LibsndfileError as error:
            raise ValueError(str(error)) from error

    def __len__(self) -> int:
        return int(self._file.frames)

    def read(self, samples: int) -> Pcm:
        """Return the next `samples`, as many as there are."""
        return cast(Pcm, self._file.read(samples, dtype="int16"))


class _FfmpegFile:
    """A file by FFmpeg, through PyAV: an encoder, and the container that its packets go into."""

    def __init__(self, codec: str, container: str, rate_hz: int, bitrate: int, options: dict[str, str]) -> None:
        import av

        self._sink = _Sink()
        self._container: OutputContainer = av.open(self._sink, "w", format=container, options=options)
        self._stream = cast("AudioStream", self._container.add_stream(codec, rate_hz, layout="mono"))
        self._stream.bit_rate = bitrate
        self._rate_hz = rate_hz
        self._empty = True

    @property
    def corrections(self) -> tuple[tuple[int, bytes], ...]:
        return self._sink.corrections

    def encode(self, pcm: Pcm) -> bytes:
        if pcm.size:
            self._empty = False
            self._container.mux(self._stream.encode(self._frame(pcm)))
        return self._drain()

    def finish(self) -> bytes:
        begun = self.encode(_SILENCE) if self._empty else b""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return begun + self._drain()

    def _frame(self, pcm: Pcm) -> AudioFrame:
        raise NotImplementedError

    def _drain(self) -> bytes:
        return self._sink.drain()


class AacFile(_FfmpegFile):
    """AAC-LC in ADTS frames: 1,024 samples of priming come first, and its header has no place to say so."""

    def __init__(self, rate_hz: int, bitrate: int) -> None:
        super().__init__("aac", "adts", rate_hz, bitrate, {"flush_packets": "1"})

    def _frame(self, pcm: Pcm) -> AudioFrame:
        import av

        full_scale = (pcm / np.float32(1 << 15)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(full_scale[None], format="fltp", layout="mono")
        frame.sample_rate = self._rate_hz
        return frame


class Mp3File(_FfmpegFile):
    """An MP3 file at constant bitrate.

    Its info tag names the encoder's delay, so that decoders that read it (FFmpeg's, so most browsers') start on the
    first sample; others play up to 1,105 samples of silence first. The padding at the end, less than two frames of
    silence, can only be named once the length is known: the correction does, and then decoders give exactly the
    samples put in.
    """

    def __init__(self, rate_hz: int, bitrate: int) -> None:
        options = {"write_xing": "1", "id3v2_version": "0", "flush_packets": "1"}
        super().__init__("libmp3lame", "mp3", rate_hz, bitrate, options)
        self._stream.options = {"compression_level": "7"}  # LAME -q 7: half the time of its default, no worse on speech
        self._tagged = False

    def _frame(self, pcm: Pcm) -> AudioFrame:
        import av

        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm[None]), format="s16p", layout="mono")
        frame.sample_rate = self._rate_hz
        return frame

    def _drain(self) -> bytes:
        """Name the delay in the info tag, the first frame of all: FFmpeg fills it in only when it ends the file."""
        data = super()._drain()
        if self._tagged or not data:
            return data
        self._tagged = True
        at = data.index(_TAG) + _TAG_DELAY
        known = any(data[at : at + 3])  # of a file so short that its end came with its beginning
        return data if known else data[:at] + (_LAME_DELAY << 12).to_bytes(3) + data[at + 3 :]


class _Sink(io.RawIOBase):
    """What a library takes for a file: bytes go out as they come, and what it goes back to write is kept apart."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._drained = 0
        self._position = 0
        self._corrections: list[tuple[int, bytes]] = []

    @property
    def corrections(self) -> tuple[tuple[int, bytes], ...]:
        return tuple(self._corrections)

    def drain(self) -> bytes:
        data = bytes(self._pending)
        self._pending.clear()
        self._drained += len(data)
        return data

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        end = self._drained + len(self._pending)
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: end}[whence]
        return self._position

    def write(self, data: Any) -> int:
        written = bytes(data)
        gone = max(0, min(self._drained - self._position, len(written)))
        if gone:
            self._corrections.append((self._position, written[:gone]))
        at = self._position + gone - self._drained
        self._pending[at : at + len(written) - gone] = written[gone:]
        self._position += len(written)
        return len(written)
