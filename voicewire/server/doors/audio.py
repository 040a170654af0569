"""`GET /v1/audio/{sha256}`: a block that was spoken, by the name of its clip, as long as it is kept."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from voicewire.clips import Clip
from voicewire.codecs.base import FILES, FileKind
from voicewire.codecs.container import Contained, contain
from voicewire.errors import BadRequest
from voicewire.pipeline import Pipeline
from voicewire.server.callers import Callers
from voicewire.server.doors.description import declared
from voicewire.server.ranges import bytes_answer, described

NAME = re.compile("[0-9a-f]{64}", re.ASCII)
KINDS = (FileKind.OPUS, FileKind.WAV, FileKind.MULAW, FileKind.ALAW)


@dataclass(frozen=True, slots=True)
class AudioDoor:
    """The endpoint."""

    pipeline: Pipeline
    callers: Callers

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["speech"])
        sound: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
        files = described({FILES[kind].media_type: sound for kind in KINDS}, description="the block's audio")
        router.add_api_route(
            "/audio/{sha256}",
            self.audio,
            methods=["GET"],
            response_class=Response,
            responses={**files, **declared("range_not_satisfiable")},
        )
        router.add_api_route("/audio/{sha256}", self.audio, methods=["HEAD"], include_in_schema=False)
        return router

    async def audio(
        self, request: Request, sha256: Annotated[str, Path(description="`audio` of a `block` of the live protocol")]
    ) -> Response:
        """Return a block that was spoken for the caller's tenant, whole or the part that `Range` asks for.

        Opus comes in Ogg, PCM in WAV, telephone codecs as they are. It is there once the block was made whole, and as
        long as the cache keeps it; in a cloned voice, as long as the consent to it is in force.
        """
        principal = await self.callers.require(request, "speak")
        clip = await self.pipeline.audio(bytes.fromhex(sha256)) if NAME.fullmatch(sha256) else None
        if clip is None or clip.scope not in {"", principal.tenant}:
            raise BadRequest("not_found")
        file, digest = await asyncio.to_thread(_file, clip)
        return bytes_answer(request, file.data, file.media_type, digest)


def _file(clip: Clip) -> tuple[Contained, str]:
    file = contain(clip.format, [packet for slice in clip.slices for packet in slice.packets])
    return file, hashlib.sha256(file.data).hexdigest()
