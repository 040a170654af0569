"""What ElevenLabs' clients send: formats by name, and settings of a voice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct
from starlette.datastructures import QueryParams

from voicewire import frames
from voicewire.codecs.base import FileKind
from voicewire.errors import BadRequest, UnsupportedFormat
from voicewire.server.dialects.credentials import without_scheme
from voicewire.server.dialects.listing import each_once, fits, speaks
from voicewire.server.dialects.wishes import spoken_speed
from voicewire.server.parsing import parse
from voicewire.types import Codec, Voice

KINDS = {
    "mp3": FileKind.MP3,
    "pcm": FileKind.PCM,
    "wav": FileKind.WAV,
    "ulaw": FileKind.MULAW,
    "alaw": FileKind.ALAW,
    "opus": FileKind.OPUS,
}
CODECS = {FileKind.PCM: Codec.PCM_S16LE, FileKind.MULAW: Codec.MULAW, FileKind.ALAW: Codec.ALAW}
CATEGORY = "premade"  # of every voice: LiveKit asks for one
DEFAULT = "mp3_44100_128"

Name = Annotated[str, Meta(max_length=200)]


class Output(NamedTuple):
    """What `mp3_44100_128` says. `bitrate` is in bit/s."""

    kind: FileKind
    rate_hz: int
    bitrate: int | None

    @property
    def live(self) -> frames.FormatRequest:
        """What our session makes for it: what it has no codec for is made of samples."""
        return frames.FormatRequest(CODECS.get(self.kind, Codec.PCM_S16LE), self.rate_hz)


class VoiceSettings(Struct):
    speed: float | None = None

    @property
    def pace(self) -> float:
        return spoken_speed(self.speed or 1.0)


class Body(Struct):
    """One request. Fields that are not here are taken and change nothing."""

    text: str
    model_id: Name | None = None
    language_code: Name | None = None
    voice_settings: VoiceSettings | None = None
    seed: Annotated[int, Meta(ge=0, lt=2**32)] | None = None

    @property
    def pace(self) -> float:
        return (self.voice_settings or VoiceSettings()).pace


class Message(Struct):
    """One message of a socket."""

    text: str | None = None
    context_id: Name | None = None
    voice_settings: VoiceSettings | None = None
    flush: bool | None = None
    close_context: bool | None = None
    close_socket: bool | None = None


class Introduction(Struct):
    """What else the first message of a socket may have, where a browser cannot set a header."""

    text: str | None = None
    xi_api_key: str | None = None
    key: str | None = msgspec.field(default=None, name="xi-api-key")
    authorization: str | None = None


def wanted_output(name: str | None) -> Output:
    """Read a format's name. Raises `UnsupportedFormat`."""
    parts = (name or DEFAULT).split("_")
    kind = KINDS.get(parts[0])
    numbers = [int(part) for part in parts[1:] if part.isascii() and part.isdigit() and len(part) < 7]
    if kind is None or len(numbers) != len(parts) - 1 or not 1 <= len(numbers) <= 2:
        raise UnsupportedFormat(problem=f"output_format {(name or '')[:40]}")
    return Output(kind, numbers[0], 1_000 * numbers[1] if len(numbers) > 1 else None)


def searched(voices: Iterable[Voice], query: QueryParams) -> list[Voice]:
    """Return the voices that fit what stands in an address, in the order that it asks for."""
    languages, ids = query.getlist("language"), {*query.getlist("voice_ids")}
    found = [
        voice
        for voice in each_once(voices)
        if fits(voice, query.get("search") or "")
        and (query.get("gender") or voice.gender) == voice.gender
        and (query.get("category") or CATEGORY) == CATEGORY
        and (speaks(voice, languages) or not languages)
        and (voice.id in ids or not ids)
    ]
    if query.get("sort") == "name":
        found.sort(key=lambda voice: voice.name.casefold())
    return found[::-1] if query.get("sort_direction") == "desc" else found


def introduced(data: str | bytes) -> str:
    """Return the credential in a first message, "" where there is none. Raises `BadRequest`."""
    message = parse(data, Introduction)
    found = {without_scheme(each) for each in (message.xi_api_key, message.key, message.authorization) if each}
    if len(found) > 1:
        raise BadRequest(problem="it carries more than one credential")
    return found.pop() if found else ""
