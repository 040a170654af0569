"""OpenAI's speech API: `POST /v1/audio/speech`, and the lists that its clients and Open WebUI ask for.

Source: the API reference of OpenAI, "Create speech", and what its Python package 3.52 sends and reads.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta, Struct
from starlette.responses import JSONResponse, StreamingResponse

from voicewire.catalogue import Catalogue
from voicewire.codecs.base import FileKind
from voicewire.errors import VoicewireError
from voicewire.server.answers import error_response, kept_headers
from voicewire.server.dialects.doors import VendorDoors
from voicewire.server.dialects.wishes import require_text, spoken_speed
from voicewire.server.parsing import parse
from voicewire.server.recite import Wish

RATE_HZ = 24_000  # of `pcm`, by convention: nothing in the answer says so
PCM_TYPE = "audio/pcm"
TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
FIELDS = {"unknown_voice": "voice", "unknown_model": "model", "unsupported_format": "response_format"}

Name = Annotated[str, Meta(max_length=200)]


class _VoiceId(Struct):
    id: Name


class _Speech(Struct):
    """What is asked for. Fields that are not here, such as `instructions`, are taken and change nothing."""

    input: str
    model: Name = ""
    voice: Name | _VoiceId = ""
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4.0)] | None = None
    stream_format: Literal["audio", "sse"] | None = None

    @property
    def voice_name(self) -> str:
        return self.voice if isinstance(self.voice, str) else self.voice.id

    @property
    def kind(self) -> FileKind:
        return FileKind(self.response_format or FileKind.MP3)


class OpenAiDoors(VendorDoors):
    """The doors."""

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/v1/audio/speech", self.speech, methods=["POST"], response_model=None)
        router.add_api_route("/v1/audio/voices", self.voices, methods=["GET"], response_model=None)
        router.add_api_route("/v1/audio/models", self.models, methods=["GET"], response_model=None)
        return router

    async def speech(self, request: Request) -> Response:
        """Speak a text."""
        principal = await self.callers.require(request, "speak")
        body = parse(await request.body(), _Speech)
        require_text(body.input, "input")
        choice = self.choice(principal, body.model, body.voice_name)
        speed = spoken_speed(body.speed or 1.0)
        rate_hz = RATE_HZ if body.kind is FileKind.PCM else None
        spoken = await self.reciter.begin(request, principal, Wish(body.input, choice, body.kind, speed, None, rate_hz))
        if body.stream_format == "sse":
            events = _events(spoken.parts, len(body.input))
            return StreamingResponse(events, media_type="text/event-stream")
        media_type = PCM_TYPE if body.kind is FileKind.PCM else spoken.media_type
        return StreamingResponse(spoken.parts, media_type=media_type)

    async def voices(self, request: Request) -> Response:
        """List the voices, as Open WebUI asks for them: without a key it gets those that are public.

        Others of us ask, too, and want those of one model.
        """
        voices = (await self._catalogue(request)).voices()
        told = ("id", "name", "model", "language")
        return JSONResponse({"voices": [{name: getattr(voice, name) for name in told} for voice in voices]})

    async def models(self, request: Request) -> Response:
        """List the models, as Open WebUI asks for them."""
        models = (await self._catalogue(request)).models()
        return JSONResponse({"models": [{"id": model.id, "name": model.name} for model in models]})

    async def _catalogue(self, request: Request) -> Catalogue:
        return await self.readable(request) if request.headers.get("authorization") else self.catalogue("")


async def _events(parts: AsyncGenerator[bytes, None], characters: int) -> AsyncGenerator[bytes, None]:
    """Server-sent events, each with a part of the file; tokens are not counted here, characters are."""
    try:
        async for part in parts:
            if part:
                yield _event(type="speech.audio.delta", audio=b64encode(part).decode())
        usage = {"input_tokens": characters, "output_tokens": 0, "total_tokens": characters}
        yield _event(type="speech.audio.done", usage=usage)
    finally:
        await parts.aclose()


def _event(**fields: Any) -> bytes:
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"


def refusal(error: VoicewireError) -> Response:
    """Return the error as OpenAI's packages read it; they ask again by themselves unless they are told not to."""
    answer = error_response(error)
    body = {
        "message": error.message,
        "type": TYPES.get(answer.status_code, "server_error" if answer.status_code >= 500 else TYPES[400]),
        "param": FIELDS.get(error.row_code) or error.fields.get("field"),
        "code": error.row_code,
    }
    headers = kept_headers(answer)
    headers["x-should-retry"] = "true" if error.row.retryable else "false"
    return JSONResponse({"error": body}, answer.status_code, headers)
