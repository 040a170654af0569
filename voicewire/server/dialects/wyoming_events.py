"""Events of the Wyoming protocol on a stream of bytes: a line of JSON, more JSON, and a payload.

Source: the `wyoming` package 1.10.2, and what Home Assistant 2026.2 sends and reads.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec

from voicewire.errors import BadRequest
from voicewire.server.parsing import parse

VERSION = "1.5.4"  # of the protocol that we speak
DATA_BYTES_MAX = 1 << 20
PAYLOAD_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Event:
    """One event."""

    type: str
    data: dict[str, Any] = field(default_factory=dict)
    payload: bytes = b""


def serialize(event: Event) -> bytes:
    """Return an event as bytes. Its data never stand in the first line, which readers bound."""
    data = msgspec.json.encode(event.data) if event.data else b""
    header: dict[str, Any] = {"type": event.type, "version": VERSION}
    if data:
        header["data_length"] = len(data)
    if event.payload:
        header["payload_length"] = len(event.payload)
    return msgspec.json.encode(header) + b"\n" + data + event.payload


class _Header(msgspec.Struct):
    type: str
    data: dict[str, Any] = {}
    data_length: int | None = None
    payload_length: int | None = None


async def read(reader: asyncio.StreamReader) -> Event | None:
    """Return the next event, None at the end. Raises `BadRequest` for what is none."""
    try:
        line = await reader.readline()
        if not line:
            return None
        header = parse(line, _Header)
        more = await _exactly(reader, header.data_length, DATA_BYTES_MAX)
        payload = await _exactly(reader, header.payload_length, PAYLOAD_BYTES_MAX)
        data = parse(more, dict[str, Any]) if more else {}
    except asyncio.IncompleteReadError:
        return None
    except ValueError as error:  # a line that does not end
        raise BadRequest(problem=str(error)) from error
    return Event(header.type, header.data | data, payload)


async def _exactly(reader: asyncio.StreamReader, size: int | None, most: int) -> bytes:
    if size is None:
        return b""
    if not 0 <= size <= most:
        raise BadRequest("too_large", limit=most)
    return await reader.readexactly(size)
