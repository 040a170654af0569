"""The interfaces of the codecs, live and for files, and the tables that find one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from typing import NamedTuple, Protocol

from voicewire.codecs import g711
from voicewire.codecs.file import AacFile, FlacFile, Mp3File
from voicewire.codecs.framing import SampleDecoder, SampleEncoder, SampleFile
from voicewire.codecs.ogg import OggOpusFile
from voicewire.codecs.opus import OpusDecoder, OpusEncoder
from voicewire.codecs.pcm import parse_f32le, parse_s16le, serialize_f32le, serialize_s16le
from voicewire.codecs.wav import WavFile
from voicewire.errors import UnsupportedFormat
from voicewire.types import OPUS_BITRATES, OPUS_RATES_HZ, PCM_RATES_HZ, Codec, Format, Pcm


class Encoder(Protocol):
    """Turns PCM at the format's rate into codec frames of exactly `format.frame_samples` samples each."""

    @property
    def lookahead_samples(self) -> int:
        """By how much decoded audio lags behind what was encoded, at the format's rate."""
        ...

    def encode(self, pcm: Pcm) -> list[bytes]:
        """Take samples, however they are cut; return the frames that are complete."""
        ...

    def flush(self) -> list[bytes]:
        """Pad what is left with silence to a whole frame, return it, and start afresh.

        After `flush` the encoder is as new: the next frame does not depend on what came before, and a decoder
        that has just played silence, or nothing at all, takes it without a click.
        """
        ...


class Decoder(Protocol):
    """Turns the frames of one format, in order, into PCM at the format's rate."""

    def decode(self, frame: bytes) -> Pcm:
        """Return the samples of one frame. Raises `BadRequest` when it is not one."""
        ...


class FileEncoder(Protocol):
    """Turns PCM into the bytes of one file, while the PCM is made; memory does not grow with the file."""

    @property
    def corrections(self) -> tuple[tuple[int, bytes], ...]:
        """After `finish`: what to write where, in a file that can be sought, to make its lengths exact."""
        ...

    def encode(self, pcm: Pcm) -> bytes:
        """Take samples, however they are cut; return the bytes that are ready."""
        ...

    def finish(self) -> bytes:
        """Return the rest of the file. Nothing but `corrections` is asked afterwards."""
        ...


class FileKind(StrEnum):
    """The files that can be made."""

    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"
    AAC = "aac"
    OPUS = "opus"
    PCM = "pcm"
    MULAW = "mulaw"
    ALAW = "alaw"


class LiveCodec(NamedTuple):
    """One line of `LIVE`. `decoder` takes the rate in Hz."""

    encoder: Callable[[Format], Encoder]
    decoder: Callable[[int], Decoder]


class FileCodec(NamedTuple):
    """One line of `FILES`. `open` takes the rate in Hz and the bitrate in bit/s."""

    open: Callable[[int, int], FileEncoder]
    media_type: str
    extension: str
    rates_hz: Sequence[int]
    bitrate: int = 0  # unless another is asked for
    bitrates: tuple[int, int] | None = None  # lowest and highest; None where there is none to choose
    bare: bool = False  # only samples: whoever reads them must be told the rate


def _samples(serialize: Callable[[Pcm], bytes], parse: Callable[[bytes], Pcm]) -> LiveCodec:
    return LiveCodec(partial(SampleEncoder, serialize=serialize), lambda _rate_hz: SampleDecoder(parse))


LIVE: dict[Codec, LiveCodec] = {
    Codec.OPUS: LiveCodec(OpusEncoder, OpusDecoder),
    Codec.PCM_S16LE: _samples(serialize_s16le, parse_s16le),
    Codec.PCM_F32LE: _samples(serialize_f32le, parse_f32le),
    Codec.MULAW: _samples(g711.serialize_mulaw, g711.parse_mulaw),
    Codec.ALAW: _samples(g711.serialize_alaw, g711.parse_alaw),
}

_ANY_RATE_HZ = range(PCM_RATES_HZ[0], PCM_RATES_HZ[1] + 1)
_MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_MP3_BITRATES = (8_000, 320_000)  # of all rates together; LAME takes the nearest that the rate has
_AAC_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_AAC_BITRATES = (8_000, 256_000)  # FFmpeg takes the nearest that the rate can have

FILES: dict[FileKind, FileCodec] = {
    FileKind.WAV: FileCodec(lambda rate_hz, _: WavFile(rate_hz), "audio/wav", "wav", _ANY_RATE_HZ),
    FileKind.FLAC: FileCodec(lambda rate_hz, _: FlacFile(rate_hz), "audio/flac", "flac", _ANY_RATE_HZ),
    FileKind.MP3: FileCodec(Mp3File, "audio/mpeg", "mp3", _MP3_RATES_HZ, 64_000, _MP3_BITRATES),
    FileKind.AAC: FileCodec(AacFile, "audio/aac", "aac", _AAC_RATES_HZ, 64_000, _AAC_BITRATES),
    FileKind.OPUS: FileCodec(OggOpusFile, "audio/ogg; codecs=opus", "opus", OPUS_RATES_HZ, 32_000, OPUS_BITRATES),
    FileKind.PCM: FileCodec(lambda *_: SampleFile(serialize_s16le), "audio/pcm", "pcm", _ANY_RATE_HZ, bare=True),
    FileKind.MULAW: FileCodec(
        lambda *_: SampleFile(g711.serialize_mulaw), "audio/PCMU", "ulaw", _ANY_RATE_HZ, bare=True
    ),
    FileKind.ALAW: FileCodec(lambda *_: SampleFile(g711.serialize_alaw), "audio/PCMA", "alaw", _ANY_RATE_HZ, bare=True),
}


def open_encoder(format: Format) -> Encoder:
    """Return a new encoder for `format`. Every valid `Format` has one."""
    return LIVE[format.codec].encoder(format)


def open_decoder(format: Format) -> Decoder:
    """Return a new decoder for the frames of `format`."""
    return LIVE[format.codec].decoder(format.rate_hz)


def open_file_encoder(kind: FileKind, rate_hz: int, bitrate: int | None = None) -> FileEncoder:
    """Return an encoder for one file of mono PCM at `rate_hz`. `bitrate` counts where the kind has one to choose.

    Raises `UnsupportedFormat` when the kind does not take the rate or the bitrate.
    """
    codec = FILES[kind]
    if rate_hz not in codec.rates_hz:
        raise UnsupportedFormat(problem=f"{kind} does not take the rate {rate_hz}")
    wanted = codec.bitrate if bitrate is None else bitrate
    low, high = codec.bitrates or (wanted, wanted)
    if not low <= wanted <= high:
        raise UnsupportedFormat(problem=f"{kind} takes a bitrate from {low} to {high}")
    return codec.open(rate_hz, wanted)


def file_rate_hz(kind: FileKind, rate_hz: int) -> int:
    """Return the rate for a file of audio at `rate_hz`: the next that the kind takes, or its highest."""
    rates_hz = FILES[kind].rates_hz
    if rate_hz in rates_hz:  # of a range at once
        return rate_hz
    return next((rate for rate in rates_hz if rate >= rate_hz), rates_hz[-1])


def content_type(kind: FileKind, rate_hz: int) -> str:
    """Return the HTTP content type; it names the rate where the file itself does not."""
    codec = FILES[kind]
    return f"{codec.media_type}; rate={rate_hz}" if codec.bare else codec.media_type
