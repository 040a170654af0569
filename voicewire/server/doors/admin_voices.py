"""`/admin/voices`: friendly names of voices, for all or for one tenant, on or off."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from voicewire.accounts.audit import actor_of
from voicewire.accounts.voices import PAGE_MAX, NamedVoice, Voices
from voicewire.server.callers import Callers
from voicewire.server.doors.description import declared
from voicewire.server.doors.texts import Body, Items, Label, Note

VoiceName = Annotated[str, Path(max_length=100, pattern=r"^[^\x00-\x1f\x7f/]+$", description="the friendly name")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]

EXAMPLE: dict[str, Any] = {
    "model": "kokoro",
    "engine_voice": "af_bella(2)+af_sky(1)",
    "language": "en-US",
    "gender": "female",
    "description": "calm, for long texts",
    "tenant": None,
    "active": True,
}


class VoicePut(Body):
    """What a name stands for. `tenant` null: public. Without language and gender, the engine's own."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    model: Label
    engine_voice: Label
    language: Annotated[str, Field(max_length=35, pattern=r"^[A-Za-z0-9-]*$", description="BCP 47")] = ""
    gender: Literal["female", "male", ""] = ""
    description: Note = ""
    tenant: Label | None = None
    active: StrictBool = True


class NamedVoiceInfo(BaseModel):
    """A friendly name, and what it stands for."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": "Narrator", **EXAMPLE, "created": "2026-03-01T09:00:00Z"}]}
    )

    id: str
    model: str
    engine_voice: str
    language: str
    gender: str
    description: str
    tenant: str | None
    active: bool
    created: datetime | None

    @classmethod
    def of(cls, named: NamedVoice) -> NamedVoiceInfo:
        return cls.model_validate({name: getattr(named, name) for name in cls.model_fields})


@dataclass(frozen=True, slots=True)
class VoiceDoors:
    """The endpoints."""

    voices: Voices
    callers: Callers

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/admin/voices", tags=["admin"])
        add = router.add_api_route
        add("", self.page, methods=["GET"], response_model=Items[NamedVoiceInfo])
        add("/{voice_name}", self.get, methods=["GET"], response_model=NamedVoiceInfo)
        add(
            "/{voice_name}",
            self.put,
            methods=["PUT"],
            response_model=NamedVoiceInfo,
            responses=declared("conflict", "unknown_model", "unknown_voice"),
        )
        add("/{voice_name}", self.delete, methods=["DELETE"], status_code=204)
        return router

    async def page(self, request: Request, after: str = "", limit: Limit = PAGE_MAX) -> Items[NamedVoiceInfo]:
        """List the names in their order; `after` is the `next` of the page before."""
        await self.callers.require(request, "admin")
        found = await self.voices.page(after, limit)
        return Items.of([NamedVoiceInfo.of(named) for named in found], limit, found[-1].id if found else "")

    async def get(self, request: Request, voice_name: VoiceName) -> NamedVoiceInfo:
        """Return one name."""
        await self.callers.require(request, "admin")
        return NamedVoiceInfo.of(await self.voices.get(voice_name))

    async def put(self, request: Request, voice_name: VoiceName, body: VoicePut) -> NamedVoiceInfo:
        """Make or replace a name. An engine's voice that has a name is had by the rules of its names only."""
        principal = await self.callers.require(request, "admin")
        named = NamedVoice(voice_name, **body.model_dump())
        return NamedVoiceInfo.of(await self.voices.put(named, actor_of(principal)))

    async def delete(self, request: Request, voice_name: VoiceName) -> None:
        """Remove a name; the engine's voice is what the engine says of it again."""
        principal = await self.callers.require(request, "admin")
        await self.voices.delete(voice_name, actor_of(principal))
