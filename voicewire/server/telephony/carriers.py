"""What carriers say on the media stream of a call, and what they are told: a row for each.

Sources: the published protocols of Twilio's, Telnyx', Plivo's and SignalWire's streams, and of Vonage's WebSockets.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from voicewire.context import Wire
from voicewire.errors import BadRequest
from voicewire.frames import BINARY_OPCODE, TEXT_OPCODE, FormatRequest
from voicewire.server.parsing import parse
from voicewire.types import Codec

TOKEN_FIELD = "token"  # noqa: S105 - the name of a field
TELNYX_TOKEN_HEADER = "x-telnyx-streaming-auth-token"  # noqa: S105 - where Telnyx shows its `stream_auth_token`
IN_TEXT = re.compile(r"""\btoken['"]?\s*[:=]\s*['"]?([\w-]+)""")  # Plivo writes its headers into one string
NAME = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)  # of a call, a stream or an account: it is written into messages
ENCODINGS: Mapping[str, Codec] = MappingProxyType(
    {
        "audio/x-mulaw": Codec.MULAW,
        "audio/basic": Codec.MULAW,
        "pcmu": Codec.MULAW,
        "mulaw": Codec.MULAW,
        "audio/x-alaw": Codec.ALAW,
        "pcma": Codec.ALAW,
        "audio/x-l16": Codec.PCM_S16LE,
        "audio/l16": Codec.PCM_S16LE,
        "l16": Codec.PCM_S16LE,
    }
)
TELNYX_CODECS = frozenset({"PCMU", "PCMA"})  # of its L16 nothing says in which order the bytes of a sample are


@dataclass(frozen=True, slots=True)
class Started:
    """The first thing that counts: whose call it is, and what audio it takes."""

    call: str
    stream: str = ""
    token: str = field(default="", repr=False)
    account: str = ""
    format: FormatRequest = field(default_factory=lambda: FormatRequest(Codec.MULAW, 8_000))


@dataclass(frozen=True, slots=True)
class Marked:
    """All audio before this mark was heard, or was cleared."""

    name: str


@dataclass(frozen=True, slots=True)
class Pressed:
    """The caller pressed a key."""

    digit: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The call is over."""


Event = Started | Marked | Pressed | Stopped


@dataclass(frozen=True, slots=True)
class Carrier:
    """One carrier. What it is told is made for its name of the stream."""

    name: str
    hear: Callable[[str | bytes], Event | None]
    media: Callable[[str, bytes, str], Wire]  # stream, audio, media type
    mark: Callable[[str, str], Wire]
    clear: Callable[[str], Wire]


class _Message(Struct):
    """A message of those who follow Twilio, in its spelling or in snake_case."""

    event: str = ""
    start: dict[str, Any] | None = None
    mark: dict[str, Any] | None = None
    dtmf: dict[str, Any] | None = None
    stream_id: str = ""
    streamSid: str = ""  # noqa: N815 - as it is spelt
    name: str = ""  # Plivo's, of what was played
    extra_headers: Any = None


def _hear(data: str | bytes) -> Event | None:
    """Understand Twilio and those who follow it; None: nothing that counts."""
    message = parse(data, _Message)
    return _started(message) if message.event == "start" else _happened(message)


def _happened(message: _Message) -> Event | None:
    match message.event:
        case "mark":
            return Marked(str((message.mark or {}).get("name", "")))
        case "playedStream":
            return Marked(message.name)
        case "dtmf":
            return Pressed(str((message.dtmf or {}).get("digit", ""))[:1])
        case "stop":
            return Stopped()
    return None


def _started(message: _Message) -> Started:
    start = message.start or {}
    return Started(
        _name(_first(start, "callSid", "call_control_id", "callId", "call_id")),
        _name(_first(start, "streamSid", "streamId", "stream_id")) or _name(message.streamSid or message.stream_id),
        _token(_custom(message)),
        _name(_first(start, "accountSid", "accountId", "user_id")),
        _format(_first(start, "mediaFormat", "media_format") or {}),
    )


def _custom(message: _Message) -> Any:
    """Return the parameters that the carrier was given for us; a list of pairs as what it stands for."""
    start = message.start or {}
    custom = _first(start, "customParameters", "custom_parameters", "extra_headers") or message.extra_headers
    if isinstance(custom, list):
        return {str(each.get("name")): each.get("value") for each in custom if isinstance(each, dict)}
    return custom


def _hear_telnyx(data: str | bytes) -> Event | None:
    """As the others; but `media_format` is of what the caller says, in whatever the telephone network speaks there.

    What Telnyx takes is its `stream_bidirectional_codec`, which its messages do not name: we are told as `codec`.
    """
    message = parse(data, _Message)
    if message.event != "start":
        return _happened(message)
    custom = _custom(message)
    codec = str((_first(custom, "codec") if isinstance(custom, dict) else None) or "PCMU")
    if codec.upper() not in TELNYX_CODECS:
        raise BadRequest(problem=f"no audio as {codec[:40]} for Telnyx")
    said = {"media_format": {"encoding": codec}}
    return _started(replace(message, start={**(message.start or {}), **said}))


def _first(found: Mapping[str, Any], *names: str) -> Any:
    return next((found[name] for name in names if found.get(name)), None)


def _name(value: object) -> str:
    """Return what is a name, "" for all else."""
    return value if isinstance(value, str) and NAME.fullmatch(value) else ""


def _token(custom: object) -> str:
    """Return the token among the parameters that the carrier was given for us."""
    if isinstance(custom, dict):
        return str(_first(custom, TOKEN_FIELD, f"X-PH-{TOKEN_FIELD}") or "")
    found = IN_TEXT.search(custom) if isinstance(custom, str) else None
    return found[1] if found else ""


def _format(said: object) -> FormatRequest:
    """Return the audio that a call takes; what is not said is µ-law. Raises `BadRequest` for what we do not have."""
    found = said if isinstance(said, dict) else {}
    encoding = str(_first(found, "encoding") or "pcmu").lower()
    codec = ENCODINGS.get(encoding.partition(";")[0])
    try:
        rate_hz = int(_first(found, "sampleRate", "sample_rate") or 8_000)
    except (TypeError, ValueError):
        rate_hz = 0
    if codec is None or not 8_000 <= rate_hz <= 48_000:
        raise BadRequest(problem=f"no audio as {encoding[:40]} at {rate_hz} Hz")
    return FormatRequest(codec, rate_hz)


class _Vonage(Struct):
    event: str = ""
    digit: str = ""
    payload: Any = None
    token: str = ""
    call: str = ""
    content_type: str = msgspec.field(default="audio/l16;rate=16000", name="content-type")


def _hear_vonage(data: str | bytes) -> Event | None:
    """Vonage's own: audio is binary, and the headers that it was given stand in its first message."""
    if isinstance(data, bytes):
        return None
    message = parse(data, _Vonage)
    match message.event:
        case "websocket:connected":
            rate_hz = message.content_type.partition("rate=")[2] or "16000"
            said = {"encoding": message.content_type.lower(), "sampleRate": rate_hz}
            return Started(_name(message.call), "", message.token, "", _format(said))
        case "websocket:notify":
            payload = message.payload if isinstance(message.payload, dict) else {}
            return Marked(str(payload.get("name", "")))
        case "websocket:dtmf":
            return Pressed(message.digit[:1])
        case "websocket:disconnected":
            return Stopped()
    return None


def _text(**fields: Any) -> Wire:
    return TEXT_OPCODE, msgspec.json.encode(fields)


def _twilio_media(stream: str, audio: bytes, media_type: str) -> Wire:  # noqa: ARG001 - as a row has it
    # written out: this is said fifty times a second in each call
    payload = base64.b64encode(audio)
    return TEXT_OPCODE, b'{"event":"media","streamSid":"%b","media":{"payload":"%b"}}' % (stream.encode(), payload)


def _telnyx_media(stream: str, audio: bytes, media_type: str) -> Wire:  # noqa: ARG001 - as a row has it
    return TEXT_OPCODE, b'{"event":"media","media":{"payload":"%b"}}' % base64.b64encode(audio)


def _plivo_media(stream: str, audio: bytes, media_type: str) -> Wire:
    kind, _, rate_hz = media_type.partition(";rate=")
    payload = base64.b64encode(audio).decode()
    media = {"contentType": kind, "sampleRate": int(rate_hz), "payload": payload}
    return _text(event="playAudio", media=media, streamId=stream)


TWILIO = Carrier(
    "twilio",
    _hear,
    _twilio_media,
    lambda stream, name: _text(event="mark", streamSid=stream, mark={"name": name}),
    lambda stream: _text(event="clear", streamSid=stream),
)
CARRIERS: Mapping[str, Carrier] = MappingProxyType(
    {
        "twilio": TWILIO,
        "signalwire": Carrier("signalwire", TWILIO.hear, TWILIO.media, TWILIO.mark, TWILIO.clear),
        "telnyx": Carrier(
            "telnyx",
            _hear_telnyx,
            _telnyx_media,
            lambda _, name: _text(event="mark", mark={"name": name}),
            lambda _: _text(event="clear"),
        ),
        "plivo": Carrier(
            "plivo",
            _hear,
            _plivo_media,
            lambda stream, name: _text(event="checkpoint", streamId=stream, name=name),
            lambda stream: _text(event="clearAudio", streamId=stream),
        ),
        "vonage": Carrier(
            "vonage",
            _hear_vonage,
            lambda _, audio, __: (BINARY_OPCODE, audio),
            lambda _, name: _text(action="notify", payload={"name": name}),
            lambda _: _text(action="clear"),
        ),
    }
)
"""Every carrier, by the name in the address of its stream."""


def media_type(format: FormatRequest) -> str:
    """Return what audio of a call is called."""
    kind = {Codec.MULAW: "audio/x-mulaw", Codec.ALAW: "audio/x-alaw"}.get(format.codec, "audio/x-l16")
    return f"{kind};rate={format.rate}"
