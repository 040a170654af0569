"""What the doors of every vendor stand on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from voicewire.auth.principal import Principal
from voicewire.catalogue import Catalogue, Choice
from voicewire.server.callers import Callers
from voicewire.server.dialects.aliases import Aliases
from voicewire.server.recite import Reciter


@dataclass(frozen=True, slots=True)
class VendorDoors:
    """The parts. `catalogue` is asked for a tenant; the empty one has what is public."""

    reciter: Reciter
    callers: Callers
    catalogue: Callable[[str], Catalogue]
    aliases: Aliases

    def choice(self, principal: Principal, model: str, voice: str, language: str = "") -> Choice:
        """Find what a client asks to speak with. Raises `BadRequest`."""
        return self.aliases.resolve(self.catalogue(principal.tenant), model, voice, language)

    async def readable(self, request: Request) -> Catalogue:
        """Return what whoever asks may see a list of. Raises `VoicewireError`."""
        principal = await self.callers.require(request, "voices:read")
        return self.catalogue(principal.tenant)
