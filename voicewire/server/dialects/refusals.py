"""Which vendor's clients ask at an address: who is refused before any door there is, too, in that vendor's words."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from voicewire.errors import VoicewireError
from voicewire.server.answers import error_response
from voicewire.server.dialects import deepgram, elevenlabs, openai

SHARED_PATHS = ("/v1/voices", "/v1/models")  # ours, and ElevenLabs' for who shows a key as its clients do


def refusal(request: Request, error: VoicewireError) -> Response:
    """Return `error` as who asks reads it."""
    path = request.url.path
    if path == "/v1/audio/speech":
        return openai.refusal(error)
    if path == "/v1/speak":
        return deepgram.refusal(request, error)
    if path.startswith("/v1/text-to-speech/") or (
        path.startswith(SHARED_PATHS) and elevenlabs.of_theirs(request.scope)
    ):
        return elevenlabs.refusal(error)
    return error_response(error)
