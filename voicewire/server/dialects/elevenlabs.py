"""ElevenLabs over HTTP: text to speech, whole or streamed, with times of characters; voices and models.

Source: ElevenLabs' API reference, and what its Python package 2.78, pipecat and LiveKit send and read.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Match
from starlette.types import Scope

from voicewire.errors import VoicewireError
from voicewire.server.answers import error_response, kept_headers
from voicewire.server.dialects.doors import VendorDoors
from voicewire.server.dialects.elevenlabs_forms import CATEGORY, Body, searched, wanted_output
from voicewire.server.dialects.letters import Alignment, Letters
from voicewire.server.dialects.listing import page, wanted_size
from voicewire.server.dialects.vendors import vendor_of
from voicewire.server.dialects.wishes import require_text
from voicewire.server.parsing import parse
from voicewire.server.recite import Recitation, Wish
from voicewire.server.requests import request_id
from voicewire.types import Model, Voice

SPEECH = "/v1/text-to-speech/{voice_id}"


class OfTheirClients(APIRoute):
    """A path that others have too."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches(scope) if vendor_of(scope) == "elevenlabs" else (Match.NONE, {})


class ElevenLabsDoors(VendorDoors):
    """The doors."""

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)
        for path, endpoint in (
            (SPEECH, self.speak),
            (f"{SPEECH}/stream", self.speak),
            (f"{SPEECH}/with-timestamps", self.timed),
            (f"{SPEECH}/stream/with-timestamps", self.timed_stream),
        ):
            router.add_api_route(path, endpoint, methods=["POST"], response_model=None)
        router.add_api_route("/v2/voices", self.voices, methods=["GET"], response_model=None)
        shared = APIRouter(include_in_schema=False, route_class=OfTheirClients)
        shared.add_api_route("/v1/models", self.models, methods=["GET"], response_model=None)
        shared.add_api_route("/v1/voices", self.voices, methods=["GET"], response_model=None)
        shared.add_api_route("/v1/voices/{voice_id:path}", self.voice, methods=["GET"], response_model=None)
        router.routes.extend(shared.routes)
        return router

    async def speak(self, request: Request, voice_id: str) -> Response:
        """Speak a text into a file."""
        _, spoken = await self._begin(request, voice_id)
        return StreamingResponse(spoken.parts, media_type=spoken.media_type, headers=_name(request))

    async def timed(self, request: Request, voice_id: str) -> Response:
        """Speak a text, and answer with all of it and the times of its characters."""
        body, spoken = await self._begin(request, voice_id)
        audio = b"".join([part async for part in spoken.parts])
        alignment = Alignment()
        alignment.push(body.text)
        rest_ms = spoken.transcript.ms(spoken.transcript.samples)
        letters = alignment.take(spoken.transcript.words).then(alignment.rest(rest_ms))
        return JSONResponse(_timed(audio, letters), headers=_name(request))

    async def timed_stream(self, request: Request, voice_id: str) -> Response:
        """Speak a text in lines of JSON, each with audio and the times of its characters."""
        body, spoken = await self._begin(request, voice_id)
        return StreamingResponse(_lines(body.text, spoken), media_type="application/json", headers=_name(request))

    async def _begin(self, request: Request, voice_id: str) -> tuple[Body, Recitation]:
        principal = await self.callers.require(request, "speak")
        body = parse(await request.body(), Body)
        require_text(body.text, "text")
        output = wanted_output(request.query_params.get("output_format"))
        choice = self.choice(principal, body.model_id or "", voice_id, body.language_code or "")
        wish = Wish(body.text, choice, output.kind, body.pace, body.seed, output.rate_hz, output.bitrate)
        return body, await self.reciter.begin(request, principal, wish)

    async def voices(self, request: Request) -> Response:
        """List the voices that are searched for, a page at a time where that is asked for."""
        query = request.query_params
        voices = searched((await self.readable(request)).voices(), query)
        found = page(voices, wanted_size(query, "page_size"), query.get("next_page_token") or "")
        body = {"voices": [*map(_voice, found.voices)], "has_more": found.more, "total_count": len(voices)}
        return JSONResponse({**body, "next_page_token": found.voices[-1].id if found.more else None})

    async def voice(self, request: Request, voice_id: str) -> Response:
        """Return one voice, also by a name that only their clients have for it."""
        return JSONResponse(_voice(self.aliases.voice(await self.readable(request), voice_id)))

    async def models(self, request: Request) -> Response:
        """List the models."""
        return JSONResponse([*map(_model, (await self.readable(request)).models())])


def refusal(error: VoicewireError) -> Response:
    """Return the error as ElevenLabs' clients read it."""
    answer = error_response(error)
    detail = {"status": error.row_code, "message": error.message}
    return JSONResponse({"detail": detail}, answer.status_code, kept_headers(answer))


def _name(request: Request) -> dict[str, str]:
    """The header in which their clients look for a request's name."""
    return {"request-id": request_id(request)}


def _voice(voice: Voice) -> dict[str, object]:
    labels = {"language": voice.language, "gender": voice.gender}
    fields = {"voice_id": voice.id, "name": voice.name, "category": CATEGORY, "description": voice.description}
    return {**fields, "labels": labels, "settings": None, "preview_url": None}


def _model(model: Model) -> dict[str, object]:
    languages = [{"language_id": language, "name": language} for language in model.languages]
    fields = {"model_id": model.id, "name": model.name, "description": model.description}
    return {**fields, "can_do_text_to_speech": True, "languages": languages}


def _timed(audio: bytes, letters: Letters) -> dict[str, Any]:
    alignment = {
        "characters": letters.characters,
        "character_start_times_seconds": [ms / 1000 for ms in letters.starts_ms],
        "character_end_times_seconds": [ms / 1000 for ms in letters.ends_ms],
    }
    times = alignment if letters.characters else None
    return {"audio_base64": b64encode(audio).decode(), "alignment": times, "normalized_alignment": times}


async def _lines(text: str, spoken: Recitation) -> AsyncGenerator[bytes, None]:
    alignment, told = Alignment(), 0
    alignment.push(text)
    try:
        async for part in spoken.parts:
            words = spoken.transcript.words[told:]
            told += len(words)
            letters = alignment.take(words) if words else Letters([], [], [])
            if part or words:
                yield msgspec.json.encode(_timed(part, letters)) + b"\n"
        rest = alignment.rest(spoken.transcript.ms(spoken.transcript.samples))
        if rest.characters:
            yield msgspec.json.encode(_timed(b"", rest)) + b"\n"
    finally:
        await spoken.parts.aclose()
