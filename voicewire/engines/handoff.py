"""What a pool and its worker processes say to each other over a stream socket; sans I/O.

Every message is a header, `<IBI`: body length, kind, job (or a count); then the body. Control is msgpack; a slice
is its counts, lengths, words and packets as they are, since audio is most of what passes here. One with phonemes
or a recording, which only who asked for them gets, is of a kind of its own and has that in front, in msgpack behind
its length.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator
from enum import IntEnum
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec

from voicewire.engines.base import EngineSpec
from voicewire.errors import (
    TABLE,
    BadRequest,
    Busy,
    EngineFailed,
    Forbidden,
    Gone,
    OverQuota,
    Unauthorized,
    UnsupportedFormat,
    VoicewireError,
)
from voicewire.types import Job, Model, Phoneme, Slice, Voice, Word

BODY_BYTES_MAX = 4 << 20
FIELD_CHARS_MAX = 2_000

_HEADER = struct.Struct("<IBI")
_COUNTS = struct.Struct("<?HH")  # last, packets, words
_DEADLINE = struct.Struct("<d")
_SIZE = struct.Struct("<I")


class Malformed(Exception):
    """The peer does not keep to the protocol; the connection is of no further use."""


class Kind(IntEnum):
    """The kinds of messages."""

    OPEN = 1
    HELLO = 2
    SUBMIT = 3
    CANCEL = 4
    POSTPONE = 5
    SLICE = 6
    FAILED = 7
    CANCELLED = 8
    HALVED = 9
    PRONOUNCED = 10
    RECORDED = 11
    ROUSE = 12


class Open(NamedTuple):
    """Pool to worker, once: which engine to open, and how far to step back for other processes."""

    spec: EngineSpec
    nice: int = 0


class Hello(NamedTuple):
    """Worker to pool: the engine is open. Said again whenever it has other voices."""

    model: Model
    voices: tuple[Voice, ...]


class Submit(NamedTuple):
    """Pool to worker: a job for a free lane, due at `deadline` on the machine's monotonic clock."""

    id: int
    job: Job
    deadline: float


class Cancel(NamedTuple):
    """Pool to worker: drop the job; answered by `Cancelled`, always."""

    id: int


class Postpone(NamedTuple):
    """Pool to worker: the job has another deadline."""

    id: int
    deadline: float


class Rouse(NamedTuple):
    """Pool to worker: a job will probably follow at once. Not answered."""


class Made(NamedTuple):
    """Worker to pool: a slice of the job; its last ends the job."""

    id: int
    slice: Slice


class Failed(NamedTuple):
    """Worker to pool: the job ended in `error`. Job 0 is the opening of the engine."""

    id: int
    error: VoicewireError


class Cancelled(NamedTuple):
    """Worker to pool: nothing more of this job follows."""

    id: int


class Halved(NamedTuple):
    """Worker to pool: memory ran out, and batches had to be halved so many times since the last such message."""

    times: int


Message = Open | Hello | Submit | Cancel | Postpone | Rouse | Made | Failed | Cancelled | Halved


class _Failure(msgspec.Struct, array_like=True):
    kind: str
    code: str
    fields: dict[str, str | int | float | bool | None]
    retry_after_ms: int | None


_ERRORS: dict[str, type[VoicewireError]] = {
    kind.__name__: kind
    for kind in (
        VoicewireError,
        BadRequest,
        UnsupportedFormat,
        Unauthorized,
        Forbidden,
        OverQuota,
        Busy,
        EngineFailed,
        Gone,
    )
}
_msgpack = msgspec.msgpack.Encoder()
_open_body = msgspec.msgpack.Decoder(tuple[EngineSpec, int])
_hello_body = msgspec.msgpack.Decoder(tuple[Model, tuple[Voice, ...]])
_job_body = msgspec.msgpack.Decoder(Job)
_phonemes_body = msgspec.msgpack.Decoder(tuple[Phoneme, ...])
_recorded_body = msgspec.msgpack.Decoder(tuple[tuple[Phoneme, ...], bytes | None])
_failure_body = msgspec.msgpack.Decoder(_Failure)


def serialize(message: Message) -> bytes:
    """One message as bytes. Raises `ValueError` when it is larger than a message may be."""
    match message:
        case Made(id, slice):
            return _framed(_kind(slice), id, _slice_body(slice))
        case Submit(id, job, deadline):
            return _framed(Kind.SUBMIT, id, _DEADLINE.pack(deadline) + _msgpack.encode(job))
        case Cancel(id):
            return _framed(Kind.CANCEL, id, b"")
        case Cancelled(id):
            return _framed(Kind.CANCELLED, id, b"")
        case Halved(times):
            return _framed(Kind.HALVED, times, b"")
        case Postpone(id, deadline):
            return _framed(Kind.POSTPONE, id, _DEADLINE.pack(deadline))
        case Rouse():
            return _framed(Kind.ROUSE, 0, b"")
        case Failed(id, error):
            return _framed(Kind.FAILED, id, _msgpack.encode(_failure(error)))
        case Open() | Hello():
            opening = Kind.OPEN if isinstance(message, Open) else Kind.HELLO
            return _framed(opening, 0, _msgpack.encode(tuple(message)))


def _framed(kind: Kind, id: int, body: bytes) -> bytes:
    if len(body) > BODY_BYTES_MAX:
        raise ValueError(f"a {kind.name} of {len(body)} bytes is too large")
    return _HEADER.pack(len(body), kind, id) + body


def _kind(slice: Slice) -> Kind:
    if slice.recording != b"":
        return Kind.RECORDED
    return Kind.PRONOUNCED if slice.phonemes else Kind.SLICE


def _slice_body(slice: Slice) -> bytes:
    packets, words, last, phonemes, recording = slice
    recorded = recording != b""
    front = _msgpack.encode((phonemes, recording) if recorded else phonemes) if phonemes or recorded else b""
    lengths = struct.pack(f"<{len(packets)}I", *map(len, packets))
    numbers = [number for word in words for number in word]
    return b"".join(
        (
            *((_SIZE.pack(len(front)), front) if front else ()),
            _COUNTS.pack(last, len(packets), len(words)),
            lengths,
            struct.pack(f"<{len(numbers)}I", *numbers),
            *packets,
        )
    )


def _failure(error: VoicewireError) -> _Failure:
    fields = {
        name: value if isinstance(value, int | float | None) else str(value)[:FIELD_CHARS_MAX]
        for name, value in error.fields.items()
    }
    return _Failure(type(error).__name__, error.row_code, fields, error.retry_after_ms)


class Decoder:
    """Bytes in, messages out, however the bytes are cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def push(self, data: bytes) -> Generator[Message, None, None]:
        """Yield the messages that are complete. Raises `Malformed`."""
        self._buffer += data
        taken = 0
        try:
            while len(self._buffer) - taken >= _HEADER.size:
                size, kind, job = _HEADER.unpack_from(self._buffer, taken)
                if size > BODY_BYTES_MAX:
                    raise Malformed(f"a message of {size} bytes")
                begins = taken + _HEADER.size
                if len(self._buffer) < begins + size:
                    break
                taken = begins + size
                yield _parse(kind, job, bytes(memoryview(self._buffer)[begins:taken]))
        finally:
            del self._buffer[:taken]


def _parse(kind: int, id: int, body: bytes) -> Message:
    read = _READERS.get(kind)
    if read is None:
        raise Malformed(f"unknown kind {kind}")
    try:
        return read(id, body)
    except (ValueError, struct.error, msgspec.MsgspecError, VoicewireError) as error:
        raise Malformed(f"kind {kind}: {error}") from error


def _slice(body: bytes) -> Slice:
    last, packets, words = _COUNTS.unpack_from(body)
    lengths = struct.unpack_from(f"<{packets}I", body, _COUNTS.size)
    begins = _COUNTS.size + 4 * packets
    numbers = iter(struct.unpack_from(f"<{4 * words}I", body, begins))
    ends = list(accumulate(lengths, initial=begins + 16 * words))
    if ends[-1] != len(body):
        raise Malformed(f"a slice of {len(body)} bytes that claims {ends[-1]}")
    marks = tuple(map(Word._make, zip(numbers, numbers, numbers, numbers, strict=True)))
    return Slice([body[a:b] for a, b in pairwise(ends)], marks, last)


def _pronounced(body: bytes) -> Slice:
    front, rest = _fronted(body)
    return _slice(rest)._replace(phonemes=_phonemes_body.decode(front))


def _recorded(body: bytes) -> Slice:
    front, rest = _fronted(body)
    phonemes, recording = _recorded_body.decode(front)
    return _slice(rest)._replace(phonemes=phonemes, recording=recording)


def _fronted(body: bytes) -> tuple[bytes, bytes]:
    begins = _SIZE.size + _SIZE.unpack_from(body)[0]
    return body[_SIZE.size : begins], body[begins:]


def _error(failure: _Failure) -> VoicewireError:
    kind = _ERRORS.get(failure.kind)
    if failure.code not in TABLE or kind is None:
        raise Malformed(f"unknown error {failure.kind} {failure.code}")
    return kind(failure.code, retry_after_ms=failure.retry_after_ms, **failure.fields)


_READERS: dict[int, Callable[[int, bytes], Message]] = {
    Kind.SLICE: lambda job, body: Made(job, _slice(body)),
    Kind.PRONOUNCED: lambda job, body: Made(job, _pronounced(body)),
    Kind.RECORDED: lambda job, body: Made(job, _recorded(body)),
    Kind.SUBMIT: lambda job, body: Submit(
        job, _job_body.decode(body[_DEADLINE.size :]), _DEADLINE.unpack_from(body)[0]
    ),
    Kind.CANCEL: lambda job, _: Cancel(job),
    Kind.CANCELLED: lambda job, _: Cancelled(job),
    Kind.HALVED: lambda times, _: Halved(times),
    Kind.POSTPONE: lambda job, body: Postpone(job, _DEADLINE.unpack(body)[0]),
    Kind.ROUSE: lambda _job, _body: Rouse(),
    Kind.FAILED: lambda job, body: Failed(job, _error(_failure_body.decode(body))),
    Kind.OPEN: lambda _, body: Open(*_open_body.decode(body)),
    Kind.HELLO: lambda _, body: Hello(*_hello_body.decode(body)),
}
