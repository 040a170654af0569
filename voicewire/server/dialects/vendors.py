"""Whose clients ask: said by an address that only they have, by a prefix before it, or by how they show a key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

KEY_HEADER = b"xi-api-key"
STATE_KEY = "vendor"


@dataclass(frozen=True, slots=True)
class Vendor:
    """What its clients ask for: `own` is nobody else's here, `shared` also ours. The name is the prefix, too."""

    name: str
    own: tuple[str, ...]
    shared: tuple[str, ...] = ()


KEYED = Vendor("elevenlabs", ("/v1/text-to-speech", "/v2/voices"), ("/v1/models", "/v1/voices"))
"""Whose clients show a key in a header that is theirs alone."""

VENDORS = (
    Vendor("openai", ("/v1/audio/speech", "/v1/audio/voices", "/v1/audio/models"), ("/v1/models",)),
    KEYED,
    Vendor("cartesia", ("/tts", "/voices")),
    Vendor("deepgram", ("/v1/speak", "/v2/speak")),
)


class Prefixes:
    """Takes a vendor's name off the addresses that are its clients', as in `/openai/v1/audio/speech`.

    Off no other: what a proxy keeps from the world must not be found again behind a prefix.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            scope = _named(scope)
        await self._app(scope, receive, send)


def _named(scope: Scope) -> Scope:
    for vendor in VENDORS:
        prefix, path = f"/{vendor.name}", scope["path"]
        if path.startswith(f"{prefix}/"):
            rest = path.removeprefix(prefix)
            state = {**scope.get("state", {}), STATE_KEY: vendor.name}
            return {**scope, "path": rest if _among(rest, vendor.own + vendor.shared) else path, "state": state}
    return scope


def vendor_of(scope: Scope) -> str:
    """Return whose client asks, "" where it may be ours."""
    if named := scope.get("state", {}).get(STATE_KEY):
        return str(named)
    for vendor in VENDORS:
        if _among(scope["path"], vendor.own):
            return vendor.name
    keyed = any(name == KEY_HEADER for name, _ in scope.get("headers", ()))
    return KEYED.name if keyed and _among(scope["path"], KEYED.shared) else ""


def _among(path: str, addresses: Iterable[str]) -> bool:
    return any(f"{path}/".startswith(f"{address}/") for address in addresses)
