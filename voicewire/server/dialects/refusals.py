"""An error as who asks reads it: in the words of a vendor at its addresses, in ours at all others."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket

from voicewire.errors import BadRequest, VoicewireError
from voicewire.server.answers import error_response
from voicewire.server.dialects import cartesia, deepgram, elevenlabs, openai
from voicewire.server.dialects.vendors import vendor_of


def refusal(connection: HTTPConnection, error: VoicewireError) -> Response:
    """Return `error` in the words of the vendor whose client asks, or in ours."""
    match vendor_of(connection.scope):
        case "openai":
            return openai.refusal(error)
        case "elevenlabs":
            return elevenlabs.refusal(error)
        case "cartesia":
            return cartesia.refusal(error)
        case "deepgram":
            return deepgram.refusal(connection, error)
    return error_response(error)


async def refuse_socket(websocket: WebSocket) -> None:
    """Answer who asks for a socket where there is none: without a word it would look like a wrong key."""
    await websocket.send_denial_response(refusal(websocket, BadRequest("not_found")))
