"""What Deepgram's clients ask for in their address, the voice in `model` and a format of samples; and how it talks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from voicewire import frames
from voicewire.catalogue import Catalogue, Choice
from voicewire.context import Wire
from voicewire.errors import BadRequest, UnsupportedFormat
from voicewire.server.dialects.aliases import Aliases
from voicewire.server.dialects.wishes import number, spoken_speed
from voicewire.types import Codec

CODECS = {"linear16": Codec.PCM_S16LE, "mulaw": Codec.MULAW, "alaw": Codec.ALAW}
RATES_HZ = {"linear16": 24_000, "mulaw": 8_000, "alaw": 8_000}


class Plan(NamedTuple):
    """What a connection speaks with."""

    choice: Choice
    format: frames.FormatRequest
    speed: float


def planned(query: Mapping[str, str], catalogue: Catalogue, aliases: Aliases) -> Plan:
    """Return what the address of a socket asks for. Raises `BadRequest`."""
    return Plan(aliases.resolve(catalogue, "", query.get("model") or ""), wanted_format(query), wanted_speed(query))


def wanted_format(query: Mapping[str, str]) -> frames.FormatRequest:
    """Return the format on a socket. Raises `UnsupportedFormat`."""
    encoding = query.get("encoding") or "linear16"
    codec = CODECS.get(encoding)
    if codec is None:
        raise UnsupportedFormat(problem=f"encoding {encoding}")
    wanted = frames.FormatRequest(codec, number(query, "sample_rate") or RATES_HZ[encoding])
    wanted.grant()
    return wanted


def wanted_speed(query: Mapping[str, str]) -> float:
    """Return the speed, within what we have. Raises `BadRequest`."""
    try:
        speed = float(query.get("speed") or 1.0)
    except ValueError:
        raise BadRequest(problem="speed is no number", field="speed") from None
    return spoken_speed(speed)


def json_wire(type: str, **fields: Any) -> Wire:
    """Return a message to a client."""
    return frames.TEXT_OPCODE, msgspec.json.encode({"type": type, **fields})


def problem(code: str, text: str) -> Wire:
    """Return an error in the words of several clients."""
    return json_wire("Error", description=text, message=text, code=code, err_code=code, err_msg=text)
