"""Deepgram over HTTP: `POST /v1/speak`, and `/v2/speak` for the voices that it calls Flux.

Source: Deepgram's API reference, and what its Python packages 4 and 7 send and read.
"""

from __future__ import annotations

import re

from fastapi import APIRouter, Request, Response
from msgspec import Struct
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, StreamingResponse

from voicewire.codecs.base import FILES, FileKind
from voicewire.codecs.wav import header
from voicewire.errors import UnsupportedFormat, VoicewireError
from voicewire.server.answers import error_response, kept_headers
from voicewire.server.dialects.deepgram_forms import RATES_HZ, wanted_speed
from voicewire.server.dialects.doors import VendorDoors
from voicewire.server.dialects.recoding import recoded
from voicewire.server.dialects.wishes import number, require_text
from voicewire.server.parsing import parse
from voicewire.server.recite import Wish
from voicewire.server.requests import request_id
from voicewire.types import Codec

KINDS = {
    ("linear16", "wav"): FileKind.WAV,
    ("linear16", "none"): FileKind.PCM,
    ("mulaw", "none"): FileKind.MULAW,
    ("mulaw", "wav"): FileKind.MULAW,
    ("alaw", "none"): FileKind.ALAW,
    ("alaw", "wav"): FileKind.ALAW,
    ("opus", "ogg"): FileKind.OPUS,
    ("mp3", ""): FileKind.MP3,
    ("flac", ""): FileKind.FLAC,
    ("aac", ""): FileKind.AAC,
}
CONTAINERS = {"linear16": "wav", "mulaw": "none", "alaw": "none", "opus": "ogg"}  # unless another is named
WAV_TYPE = FILES[FileKind.WAV].media_type
NO_HEADER = re.compile(r"[^ -~]")  # what no header can say, and lines of its own that somebody would add
IN_WAV = {FileKind.MULAW: Codec.MULAW, FileKind.ALAW: Codec.ALAW}  # that no file of ours is


class _Body(Struct):
    text: str


class DeepgramDoors(VendorDoors):
    """The door."""

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)
        for path in ("/v1/speak", "/v2/speak"):
            router.add_api_route(path, self.speak, methods=["POST"], response_model=None)
        return router

    async def speak(self, request: Request) -> Response:
        """Speak a text into a file."""
        principal = await self.callers.require(request, "speak")
        query = request.query_params
        model = query.get("model") or ""
        choice = self.choice(principal, "", model)
        text = parse(await request.body(), _Body).text
        require_text(text, "text")
        encoding, container = query.get("encoding") or "mp3", query.get("container")
        kind = _kind(encoding, container)
        rate_hz, bitrate = number(query, "sample_rate") or RATES_HZ.get(encoding), number(query, "bit_rate")
        wish = Wish(text, choice, kind, wanted_speed(query), None, rate_hz, bitrate)
        spoken = await self.reciter.begin(request, principal, wish)
        headers = {  # their package before 5 fails without one of them
            "dg-request-id": request_id(request),
            "dg-model-name": _in_header(model),
            "dg-model-uuid": choice.model.id,
            "dg-char-count": str(len(text)),
        }
        if container == "wav" and kind in IN_WAV:
            parts = recoded(spoken.parts, header(spoken.rate_hz, codec=IN_WAV[kind]))
            return StreamingResponse(parts, media_type=WAV_TYPE, headers=headers)
        return StreamingResponse(spoken.parts, media_type=spoken.media_type, headers=headers)


def refusal(request: HTTPConnection, error: VoicewireError) -> Response:
    """Return the error as Deepgram's clients read it."""
    answer = error_response(error)
    id, message = request_id(request), error.message
    body = {"err_code": error.row_code.upper(), "err_msg": message, "request_id": id}
    # of a handshake that is refused their clients see no more than the headers: pipecat tells the first of these
    said = {"dg-error": _in_header(message), "dg-request-id": id}
    return JSONResponse(body, answer.status_code, kept_headers(answer) | said)


def _in_header(text: str) -> str:
    return NO_HEADER.sub("?", text)


def _kind(encoding: str, container: str | None) -> FileKind:
    kind = KINDS.get((encoding, container or CONTAINERS.get(encoding, ""))) or KINDS.get((encoding, ""))
    if kind is None:
        raise UnsupportedFormat(problem=f"{encoding} in {container}" if container else encoding)
    return kind
