"""Where vendors' clients put a key on a WebSocket: a header, the subprotocols that a browser can set, an address.

Sources: Deepgram's and OpenAI's references for browsers, Cartesia's access tokens, ElevenLabs' AsyncAPI.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from starlette.websockets import WebSocket

from voicewire.auth.authenticate import KEY_SCHEMES, credential_from_headers
from voicewire.errors import BadRequest

KEY_PARAMETERS = ("api_key", "authorization", "access_token")  # where clients can put a key nowhere else
KEY_PROTOCOL = "openai-insecure-api-key."


def shown_credential(websocket: WebSocket) -> str | None:
    """Return the credential of a handshake, None where it has none.

    Raises `BadRequest` when it has several that differ, `Unauthorized` for a header without a token.
    """
    header = credential_from_headers(websocket.headers)
    found = {
        *([header] if header else []),
        *_of_protocols(websocket.scope["subprotocols"]),
        *_of_query(websocket.query_params),
    }
    if len(found) > 1:
        raise BadRequest(problem="it carries more than one credential")
    return found.pop() if found else None


def echoed_protocol(offered: Sequence[str]) -> str | None:
    """Return what is answered to the subprotocols that were `offered`, without which browsers hang up; never a key."""
    keys = set(_of_protocols(offered))
    spoken = (each for each in offered if each not in keys and not each.startswith(KEY_PROTOCOL))
    return next(spoken, None) if keys else None


def without_scheme(value: str) -> str:
    """Return a credential that may stand behind `Bearer` where there is no header."""
    scheme, _, token = value.strip().partition(" ")
    return token.strip() if token and scheme.lower() in KEY_SCHEMES else value.strip()


def _of_protocols(offered: Sequence[str]) -> Iterator[str]:
    """`token, KEY`, `bearer, KEY`, and OpenAI's prefix: RFC 6455, section 4.1, gives browsers this header alone."""
    for each in offered:
        if each.startswith(KEY_PROTOCOL) and each != KEY_PROTOCOL:
            yield each.removeprefix(KEY_PROTOCOL)
    if len(offered) > 1 and offered[0].lower() in KEY_SCHEMES:
        yield offered[1]


def _of_query(query: Mapping[str, str]) -> Iterator[str]:
    for name in KEY_PARAMETERS:
        if value := without_scheme(query.get(name) or ""):
            yield value
