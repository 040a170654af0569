"""Opus packets (RFC 6716) through opuslib's binding of libopus, for mono speech at restricted low delay."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable
from ctypes.util import find_library
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from voicewire.codecs.framing import Framer
from voicewire.errors import BadRequest
from voicewire.types import Format, Pcm

_PACKET_BYTES = 4_000  # what libopus recommends for any packet
_LONGEST_MS = 120  # of one packet, RFC 6716 section 3.2.5
_SAMPLE_BYTES = 2


class OpusEncoder:
    """A live encoder for Opus.

    Restricted low delay (CELT only) costs a third of the other modes and looks 2.5 ms ahead. The bitrate is
    variable but constrained: as many bytes a second as asked for, three bytes for a frame of silence, where
    constant bitrate would spend the whole 80; unconstrained, libopus overshoots 32 kbit/s on speech by up to a half.
    """

    def __init__(self, format: Format) -> None:
        library = _library()
        self._frame_samples = format.frame_samples
        self._framer = Framer(format.frame_samples)
        self._encode, self._ctl = library.encode, library.encoder_ctl
        self._state = _memory(library.encoder_bytes)
        code = library.encoder_init(self._state, format.rate_hz, 1, library.low_delay)
        assert code == 0, code
        self._control(library.set_bitrate, format.bitrate)
        self._control(library.set_complexity, format.complexity)
        self._packet = ctypes.create_string_buffer(_PACKET_BYTES)
        self._packet_address = ctypes.addressof(self._packet)
        self.lookahead_samples = self._lookahead()
        self._start()

    def encode(self, pcm: Pcm) -> list[bytes]:
        return self._packets(self._framer.push(pcm))

    def flush(self) -> list[bytes]:
        packets = self._packets(self._framer.flush())
        self._start()
        return packets

    def _start(self) -> None:
        """Become as new, and let the first packet stand alone.

        CELT predicts a frame's energies from the frame before. An encoder just reset takes that to be a new
        decoder's state; a decoder that ran on across the seam has another, and the sound would swell or sink.
        """
        library = _library()
        self._control(library.reset_state)
        self._control(library.set_prediction_disabled, 1)
        self._alone = True

    def _packets(self, pcm: Pcm) -> list[bytes]:
        address = pcm.__array_interface__["data"][0]  # `pcm.ctypes` costs as much as a packet
        step = self._frame_samples * _SAMPLE_BYTES
        return [self._encode_frame(at) for at in range(address, address + pcm.nbytes, step)]

    def _encode_frame(self, address: int) -> bytes:
        size_bytes = self._encode(self._state, address, self._frame_samples, self._packet_address, _PACKET_BYTES)
        assert size_bytes > 0, size_bytes
        if self._alone:
            self._control(_library().set_prediction_disabled, 0)
            self._alone = False
        return ctypes.string_at(self._packet_address, size_bytes)

    def _control(self, request: int, *value: int) -> None:
        code = self._ctl(self._state, request, *map(ctypes.c_int, value))
        assert code == 0, (request, code)

    def _lookahead(self) -> int:
        samples = ctypes.c_int()
        code = self._ctl(self._state, _library().get_lookahead, ctypes.byref(samples))
        assert code == 0, code
        return samples.value


class OpusDecoder:
    """Turns Opus packets, one after the other, into PCM at `rate_hz`, which may be any Opus rate."""

    def __init__(self, rate_hz: int) -> None:
        library = _library()
        self._decode = library.decode
        self._state = _memory(library.decoder_bytes)
        code = library.decoder_init(self._state, rate_hz, 1)
        assert code == 0, code
        self._pcm: Pcm = np.zeros(rate_hz * _LONGEST_MS // 1000, np.int16)

    def decode(self, frame: bytes) -> Pcm:
        """Return the samples of one packet. Raises `BadRequest` when it is not an Opus packet."""
        samples = -1
        if frame:  # libopus would take the empty packet for a lost one
            samples = self._decode(self._state, frame, len(frame), self._pcm.ctypes.data, self._pcm.size, 0)
        if samples < 0:
            raise BadRequest(problem="not an Opus packet")
        return self._pcm[:samples].copy()


class _Library(NamedTuple):
    """What we use of libopus. opuslib's own prototypes want typed pointers, whose making costs microseconds a call."""

    encoder_bytes: int
    decoder_bytes: int
    encoder_init: Callable[..., int]
    encoder_ctl: Callable[..., int]
    encode: Callable[..., int]
    decoder_init: Callable[..., int]
    decode: Callable[..., int]
    low_delay: int
    set_bitrate: int
    set_complexity: int
    set_prediction_disabled: int
    get_lookahead: int
    reset_state: int


@cache
def _library() -> _Library:
    opuslib = _import_opuslib()
    library: ctypes.CDLL = opuslib.api.libopus
    pointer, int_, int32 = ctypes.c_void_p, ctypes.c_int, ctypes.c_int32
    return _Library(
        encoder_bytes=_prototype(library, "opus_encoder_get_size", int_)(1),
        decoder_bytes=_prototype(library, "opus_decoder_get_size", int_)(1),
        encoder_init=_prototype(library, "opus_encoder_init", pointer, int32, int_, int_),
        encoder_ctl=_prototype(library, "opus_encoder_ctl", pointer, int_),
        encode=_prototype(library, "opus_encode", pointer, pointer, int_, pointer, int32),
        decoder_init=_prototype(library, "opus_decoder_init", pointer, int32, int_),
        decode=_prototype(library, "opus_decode", pointer, pointer, int32, pointer, int_, int_),
        low_delay=opuslib.APPLICATION_RESTRICTED_LOWDELAY,
        set_bitrate=opuslib.SET_BITRATE_REQUEST,
        set_complexity=opuslib.SET_COMPLEXITY_REQUEST,
        set_prediction_disabled=opuslib.SET_PREDICTION_DISABLED_REQUEST,
        get_lookahead=opuslib.GET_LOOKAHEAD_REQUEST,
        reset_state=opuslib.RESET_STATE,
    )


def _prototype(library: ctypes.CDLL, name: str, *argtypes: Any) -> Callable[..., int]:
    function = library[name]  # unlike getattr, makes an object of our own: opuslib's prototypes stay as they are
    function.argtypes, function.restype = argtypes, ctypes.c_int
    return function


def _memory(size_bytes: int) -> ctypes.Array[ctypes.c_uint64]:
    """Zeroed memory for a codec state: aligned for it, and freed with the object that holds it."""
    return (ctypes.c_uint64 * -(-size_bytes // 8))()


def _import_opuslib() -> Any:
    """Import opuslib over the libopus that there is; it looks for one at import, by a name that wheels do not have."""
    path = find_library("opus") or _wheel_libopus()
    ctypes.util.find_library = lambda name: path  # noqa: ARG005 - its signature
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # opuslib compares numbers with `is`
            import opuslib.api
    finally:
        ctypes.util.find_library = find_library
    return opuslib


def _wheel_libopus() -> str:
    """Find the libopus that PyAV's wheel brings along. Raises `ImportError` when there is none."""
    spec = find_spec("av")
    package = Path(spec.origin).parent if spec and spec.origin else Path()
    folders = (package.parent / "av.libs", package / ".dylibs", package)  # Linux and Windows, macOS, conda
    for folder in folders:
        for pattern in ("libopus[-.]*", "opus[-.]*dll"):  # not libopusenc or libopusfile
            if found := sorted(folder.glob(pattern)):
                return str(found[0])
    raise ImportError("there is no libopus: install it (libopus0, opus) or PyAV's wheel (av)")
