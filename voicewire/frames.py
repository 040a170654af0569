"""The messages of `voicewire.v1`: structs, `parse`, `serialize`, and the header of binary frames.

The protocol is `docs/protocol.md`. Text messages are JSON objects tagged by `type`; unknown fields are
ignored, unknown types are an error. Binary messages are audio: `HEADER`, then one codec frame or a bundle.
"""

from __future__ import annotations

import json
import re
import struct
from typing import Annotated, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from voicewire.errors import BadRequest, UnsupportedFormat, VoicewireError
from voicewire.types import CallEvent, Codec, Format, Marks, Offsets, WordTimes

SUBPROTOCOL = "voicewire.v1"

TEXT_OPCODE = 0x1  # RFC 6455, section 5.2
BINARY_OPCODE = 0x2

FIRST_OF_BLOCK = 1
LAST_OF_CONTEXT = 2
BUNDLE = 4

HEADER = struct.Struct("<HHII")
LENGTH = struct.Struct("<H")

INVALID = (msgspec.DecodeError, UnicodeError, RecursionError)
HALF = re.compile(rb"\\u[dD][89a-fA-F]")  # how JSON writes half of a character
FORMAT_FIELD = "`$.format."  # how msgspec says where in a message the wrong value stands

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Label = Annotated[str, Meta(max_length=200)]
Milliseconds = Annotated[float, Meta(ge=0, le=2**31)]
Count = Annotated[int, Meta(ge=0, lt=2**32)]


class FormatRequest(Struct):
    """The `format` field: what is left out takes the default of `types.Format`."""

    codec: Codec = Codec.OPUS
    rate: int | UnsetType = UNSET
    frame_ms: int = 20
    bitrate: int = 32_000
    complexity: int = 0
    bundle: int = 1

    def grant(self) -> Format:
        """Return the format; raises `UnsupportedFormat` when its parts do not go together."""
        telephony = self.codec in {Codec.MULAW, Codec.ALAW}
        rate_hz = (8_000 if telephony else 24_000) if self.rate is UNSET else self.rate
        return Format(self.codec, rate_hz, self.frame_ms, self.bitrate, self.complexity, self.bundle)


class Hello(Struct, tag="hello"):
    ticket: Annotated[str, Meta(max_length=200)]


class Received(Struct):
    seq: Annotated[int, Meta(ge=-1, lt=2**32)]  # of the last frame received; -1: none yet


class Resume(Struct, tag="resume"):
    session: Name
    resume_token: Annotated[str, Meta(max_length=200)]
    received: dict[Name, Received] = {}


class Open(Struct, tag="open"):
    context: Name
    model: Label = ""
    voice: Label = ""
    language: Label = ""
    speed: Annotated[float, Meta(ge=0.5, le=2.0)] = 1.0
    seed: Annotated[int, Meta(ge=0, lt=2**32)] | None = None
    format: FormatRequest | None = None
    words: bool = True
    offsets: Offsets = Offsets.CODEPOINT
    lead_ms: Annotated[int, Meta(ge=0, le=600_000)] | None = None
    to: Label = ""  # "call:…": not to the client, but into a telephone call
    marks: Marks = Marks.SENTENCE  # how often a call is to say how far it was heard
    phonemes: bool = False


class Text(Struct, tag="text"):
    context: Name
    text: str


class Flush(Struct, tag="flush"):
    context: Name


class End(Struct, tag="end"):
    context: Name


class Speak(Open, tag="speak"):
    text: str = ""


class Cancel(Struct, tag="cancel"):
    context: Name
    played_ms: Milliseconds | None = None


class Playhead(Struct, tag="playhead"):
    context: Name
    played_ms: Milliseconds
    paused: bool = False


class Ping(Struct, tag="ping"):
    pass


ClientMessage = Hello | Resume | Open | Speak | Text | Flush | End | Cancel | Playhead | Ping


class FormatGranted(Struct):
    codec: Codec
    rate: int
    frame_ms: int
    bitrate: int
    complexity: int
    bundle: int

    @classmethod
    def of(cls, format: Format) -> FormatGranted:
        return cls(format.codec, format.rate_hz, format.frame_ms, format.bitrate, format.complexity, format.bundle)


class Limits(Struct):
    contexts: int
    text_chars: int
    message_bytes: int
    idle_s: int
    lead_ms: int
    resume_s: int


class Accepted(Struct):
    accepted: int  # how much of the context's text arrived, in the client's unit


class Ready(Struct, tag="ready"):
    session: str
    resume_token: str
    resumed: bool
    limits: Limits
    balance_ms: int | None = None  # None: not limited
    contexts: dict[str, Accepted] | UnsetType = UNSET  # with "resumed": true
    protocol: str = SUBPROTOCOL


class Opened(Struct, tag="opened"):
    context: str
    channel: int
    model: str
    voice: str
    format: FormatGranted
    words: WordTimes = WordTimes.MEASURED
    phonemes: bool | UnsetType = UNSET  # true: they come


class BlockStart(Struct, tag="block"):
    context: str
    block: int
    span: tuple[int, int]
    start_ms: int
    cached: bool
    audio: str | UnsetType = UNSET  # the name of its clip, where clips are kept


class Words(Struct, tag="words"):
    context: str
    block: int
    words: list[tuple[int, int, int, int]]  # a, b, start_ms, end_ms


class Phonemes(Struct, tag="phonemes"):
    context: str
    block: int
    phonemes: list[tuple[str, int, int]]  # symbol, start_ms, end_ms


class Done(Struct, tag="done"):
    context: str
    audio_ms: int
    blocks: int
    billed_ms: int
    cached_ms: int
    balance_ms: int | None
    first_audio_ms: int | None


class Cancelled(Struct, tag="cancelled"):
    context: str
    played_ms: int
    heard: tuple[int, int]
    unheard: tuple[int, int]
    billed_ms: int
    refunded_ms: int
    balance_ms: int | None


class Error(Struct, tag="error"):
    code: str
    message: str
    retryable: bool
    context: str | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET

    @classmethod
    def of(cls, error: VoicewireError, context: str = "") -> Error:
        """Return the message for `error`; with a `context` it ends that context."""
        retry = UNSET if error.retry_after_ms is None else error.retry_after_ms
        return cls(error.row_code, error.message, error.row.retryable, context or UNSET, retry)


class Call(Struct, tag="call"):
    """Something happened in a telephone call that a context speaks into."""

    call: str
    event: CallEvent
    context: str | UnsetType = UNSET
    heard: tuple[int, int] | UnsetType = UNSET
    played_ms: int | UnsetType = UNSET
    digit: str | UnsetType = UNSET


class Draining(Struct, tag="draining"):
    reconnect_ms: int


class Pong(Struct, tag="pong"):
    pass


ServerMessage = Ready | Opened | BlockStart | Words | Phonemes | Done | Cancelled | Error | Draining | Pong | Call


class Envelope(Struct):
    """What a message with a wrong value in it still says: what it is, and of which context."""

    type: str = ""
    context: Name = ""


class Parser:
    """Parses one side's text messages. Stateless; one serves a whole process."""

    def __init__(self) -> None:
        self._envelope = msgspec.json.Decoder(Envelope)
        self._client = msgspec.json.Decoder(ClientMessage)
        self._server = msgspec.json.Decoder(ServerMessage)

    def client(self, data: str | bytes) -> ClientMessage:
        """Parse a client's message; raises `BadRequest` and nothing else, whatever it is given.

        When only a value is wrong, its fields `type` and `context` say whom it concerns.
        """
        try:
            message: ClientMessage = self._client.decode(data)
        except msgspec.ValidationError as error:
            raise self._wrong_value(data, error) from None
        except INVALID as error:
            raise self._half(data) or BadRequest(problem=problem_of(error)) from None
        return message

    def _half(self, data: str | bytes) -> BadRequest | None:
        """Say so where half of a character is escaped: well-formed JSON, and nothing that anybody could pronounce."""
        if not HALF.search(data.encode(errors="replace") if isinstance(data, str) else data):
            return None
        try:
            found = json.loads(data)
            envelope = self._envelope.decode(json.dumps({key: found[key] for key in ("type", "context")}))
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return BadRequest(problem="half of a character stands alone", type=envelope.type, context=envelope.context)
        except (*INVALID, KeyError, TypeError, ValueError):
            pass
        return None  # all are whole: something else is wrong

    def _wrong_value(self, data: str | bytes, error: msgspec.ValidationError) -> BadRequest:
        try:
            envelope = self._envelope.decode(data)
        except INVALID:  # more is wrong behind the first value
            envelope = Envelope()
        kind = UnsupportedFormat if FORMAT_FIELD in str(error) else BadRequest
        return kind(problem=problem_of(error), type=envelope.type, context=envelope.context)

    def server(self, data: str | bytes) -> ServerMessage:
        """Parse a server's message, as our own clients do; raises `BadRequest`."""
        try:
            answer: ServerMessage = self._server.decode(data)
        except INVALID as error:
            raise BadRequest(problem=problem_of(error)) from None
        return answer


def problem_of(error: Exception) -> str:
    """Return what an `INVALID` exception says of a message, in a few words."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeError):
        return "not valid UTF-8"
    return str(error)[:200]


def serialize(message: ClientMessage | ServerMessage) -> bytes:
    """Return a message as the UTF-8 of one JSON object."""
    return msgspec.json.encode(message)


class AudioFrames(NamedTuple):
    """A binary message, parsed: `packets` are consecutive frames, the first with `seq` and `pts`."""

    channel: int
    flags: int
    seq: int
    pts: int
    packets: list[bytes]


def pack_audio(channel: int, flags: int, seq: int, pts: int, packets: list[bytes]) -> bytes:
    """Return one binary message; more than one packet makes it a bundle."""
    if len(packets) == 1:
        return HEADER.pack(channel, flags, seq, pts) + packets[0]
    parts = [HEADER.pack(channel, flags | BUNDLE, seq, pts)]
    for packet in packets:
        parts += (LENGTH.pack(len(packet)), packet)
    return b"".join(parts)


def pack_each(
    channel: int, first: int, last: int, seq: int, pts: int, packets: list[bytes], frame_samples: int, bundle: int
) -> list[bytes]:
    """Return the messages, each of `bundle` packets at most, that consecutive frames of one channel go in.

    `first` and `last` are flags of the first message and of the last, `seq` and `pts` those of the first frame.
    """
    ends = len(packets)
    if bundle == 1 and not first and not last:  # as nearly always
        pack = HEADER.pack
        return [pack(channel, 0, seq + at, pts + at * frame_samples) + packet for at, packet in enumerate(packets)]
    return [
        pack_audio(
            channel,
            (0 if at else first) | (last if at + bundle >= ends else 0),
            seq + at,
            pts + at * frame_samples,
            packets[at : at + bundle],
        )
        for at in range(0, ends, bundle)
    ]


def unpack_audio(data: bytes) -> AudioFrames:
    """Parse a binary message; raises `BadRequest` when its lengths do not add up."""
    if len(data) < HEADER.size:
        raise BadRequest(problem="a binary message is shorter than its header")
    channel, flags, seq, pts = HEADER.unpack_from(data)
    if not flags & BUNDLE:
        return AudioFrames(channel, flags, seq, pts, [data[HEADER.size :]])
    packets = []
    at = HEADER.size
    while at < len(data):
        end = at + LENGTH.size + (LENGTH.unpack_from(data, at)[0] if at + LENGTH.size <= len(data) else len(data))
        if end > len(data):
            raise BadRequest(problem="a bundle ends inside a frame")
        packets.append(data[at + LENGTH.size : end])
        at = end
    return AudioFrames(channel, flags, seq, pts, packets)
