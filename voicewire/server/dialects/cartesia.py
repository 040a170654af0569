"""Cartesia over HTTP: `POST /tts/bytes`, `POST /tts/sse`, `GET /voices`.

Source: Cartesia's API reference of version 2026-08-14, and what its Python package 4.2 and the one before 3 send.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse, StreamingResponse

from voicewire.codecs.base import FILES, FileKind
from voicewire.codecs.pcm import serialize_f32le
from voicewire.codecs.wav import header
from voicewire.errors import BadRequest, VoicewireError
from voicewire.server.answers import error_response, kept_headers
from voicewire.server.dialects import cartesia_forms as forms
from voicewire.server.dialects.doors import VendorDoors
from voicewire.server.dialects.listing import page, wanted_size
from voicewire.server.dialects.recoding import recoded
from voicewire.server.dialects.spelling import Spelling
from voicewire.server.dialects.wishes import require_text
from voicewire.server.parsing import parse
from voicewire.server.recite import Recitation, Wish
from voicewire.types import Voice

KINDS = {
    ("raw", "pcm_s16le"): FileKind.PCM,
    ("raw", "pcm_f32le"): FileKind.PCM,
    ("raw", "pcm_mulaw"): FileKind.MULAW,
    ("raw", "pcm_alaw"): FileKind.ALAW,
    ("wav", "pcm_s16le"): FileKind.WAV,
    ("wav", "pcm_f32le"): FileKind.PCM,
    ("wav", "pcm_mulaw"): FileKind.MULAW,
    ("wav", "pcm_alaw"): FileKind.ALAW,
    ("mp3", ""): FileKind.MP3,
}
OTHERS = frozenset({"pcm_f32le", "pcm_mulaw", "pcm_alaw"})  # than our WAV files have
CREATED = "1970-01-01T00:00:00Z"  # nobody knows when


class CartesiaDoors(VendorDoors):
    """The doors."""

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/tts/bytes", self.file, methods=["POST"], response_model=None)
        router.add_api_route("/tts/sse", self.events, methods=["POST"], response_model=None)
        for path in ("/voices", "/voices/"):  # their package before 3 asks for the second
            router.add_api_route(path, self.voices, methods=["GET"], response_model=None)
        router.add_api_route("/voices/{voice_id:path}", self.voice, methods=["GET"], response_model=None)
        return router

    async def file(self, request: Request) -> Response:
        """Speak a text into a file."""
        body, spoken = await self._begin(request)
        wav = body.output_format is not None and body.output_format.container == "wav"
        media_type = FILES[FileKind.WAV].media_type if wav else spoken.media_type
        return StreamingResponse(_encoded(body, spoken), media_type=media_type)

    async def events(self, request: Request) -> Response:
        """Speak a text in server-sent events."""
        body, spoken = await self._begin(request)
        return StreamingResponse(_events(body, spoken), media_type="text/event-stream")

    async def _begin(self, request: Request) -> tuple[forms.Asked, Recitation]:
        principal = await self.callers.require(request, "speak")
        body = parse(await request.body(), forms.Asked)
        text = body.transcript or ""
        require_text(text, "transcript")
        output = body.output_format or forms.OutputFormat()
        kind = KINDS.get((output.container, "" if output.container == "mp3" else output.encoding or "pcm_s16le"))
        if kind is None:
            raise BadRequest("unsupported_format", problem=output.name)
        choice = self.choice(principal, body.model_id or "", body.voice_id, body.language or "")
        wish = Wish(text, choice, kind, body.pace, None, output.sample_rate, output.bit_rate)
        wish = replace(wish, phonemes=bool(body.add_phoneme_timestamps))
        return body, await self.reciter.begin(request, principal, wish)

    async def voices(self, request: Request) -> Response:
        """List the voices behind or before one: their package asks until there are none, whatever `has_more` says."""
        query = request.query_params
        voices = forms.searched((await self.readable(request)).voices(), query)
        size, after, before = wanted_size(query, "limit"), query.get("starting_after"), query.get("ending_before")
        found = page(voices, size, after or "", before or "")
        return JSONResponse({"data": [*map(_voice, found.voices)], "has_more": found.more})

    async def voice(self, request: Request, voice_id: str) -> Response:
        """Return one voice, also by a name that only their clients have for it."""
        return JSONResponse(_voice(self.aliases.voice(await self.readable(request), voice_id)))


def refusal(error: VoicewireError) -> Response:
    """Return the error as Cartesia's clients read it."""
    answer = error_response(error)
    title = error.row_code.replace("_", " ").capitalize()
    body = {"title": title, "message": error.message, "error_code": error.row_code}
    return JSONResponse(body, answer.status_code, kept_headers(answer))


def _voice(voice: Voice) -> dict[str, object]:
    fields = {
        "id": voice.id,
        "name": voice.name,
        "description": voice.description,
        "gender": forms.GENDERS.get(voice.gender),
    }
    created = {"created_at": CREATED, "is_owner": False, "is_public": True}
    return {**fields, "language": voice.language.split("-")[0], **created}


def _encoded(body: forms.Asked, spoken: Recitation) -> AsyncGenerator[bytes, None]:
    """The file's bytes; what no file of ours has, floats and WAV with other samples, is made of bare ones."""
    output = body.output_format or forms.OutputFormat()
    head = b""
    if output.container == "wav" and output.encoding in OTHERS:
        head = header(spoken.rate_hz, codec=forms.CODECS[output.encoding])
    floats = output.encoding == "pcm_f32le" and output.container != "mp3"
    return recoded(spoken.parts, head, _floats if floats else bytes)


def _floats(samples: bytes) -> bytes:
    return serialize_f32le(np.frombuffer(samples, "<i2"))


async def _events(body: forms.Asked, spoken: Recitation) -> AsyncGenerator[bytes, None]:
    spelling, told, pronounced = Spelling(), 0, 0
    spelling.push(body.transcript or "")
    spelling.ended = True
    parts = _encoded(body, spoken)
    try:
        async for part in parts:
            words = spoken.transcript.words[told:]
            if body.add_timestamps and words:
                told += len(words)
                times = forms.word_times(words, spelling)
                yield _event("timestamps", word_timestamps=times, done=False, status_code=forms.PARTIAL)
            if phonemes := spoken.transcript.phonemes[pronounced:]:
                pronounced += len(phonemes)
                sounds = forms.phoneme_times(phonemes)
                yield _event("phoneme_timestamps", phoneme_timestamps=sounds, done=False, status_code=forms.PARTIAL)
            if part:
                data = b64encode(part).decode()
                yield _event("chunk", data=data, done=False, status_code=forms.PARTIAL, step_time=0.0)
        ends_ms = max((end for _, _, _, end in spoken.transcript.words), default=0)
        if body.add_timestamps and (late := forms.late_marks(spelling, ends_ms)):
            yield _event("timestamps", word_timestamps=late, done=False, status_code=forms.PARTIAL)
        yield _event("done", done=True, status_code=forms.COMPLETE)
    finally:
        await parts.aclose()


def _event(type: str, **fields: Any) -> bytes:
    return f"event: {type}\ndata: ".encode() + msgspec.json.encode({"type": type, **fields}) + b"\n\n"
