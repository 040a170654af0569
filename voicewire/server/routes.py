"""What can be listed and asked over HTTP: models, voices, tickets, health, readiness, metrics."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from voicewire.auth.tickets import TicketStore
from voicewire.catalogue import Catalogue
from voicewire.server.callers import Callers
from voicewire.server.dialects.aliases import Aliases
from voicewire.server.doors.description import OPEN, declared
from voicewire.server.metrics import CONTENT_TYPE, Metrics
from voicewire.types import Model, Voice, WordTimes


class ModelInfo(BaseModel):
    """A model: what it can do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "kokoro",
                    "name": "Kokoro",
                    "description": "",
                    "default_voice": "af_heart",
                    "rate": 24_000,
                    "languages": ["en-US"],
                    "words": "measured",
                    "phonemes": True,
                    "blends": True,
                }
            ]
        }
    )

    id: str
    name: str
    description: str
    default_voice: str
    rate: int
    languages: list[str]
    words: WordTimes
    phonemes: bool
    blends: bool

    @classmethod
    def of(cls, model: Model) -> ModelInfo:
        return cls(
            id=model.id,
            name=model.name,
            description=model.description,
            default_voice=model.default_voice,
            rate=model.rate_hz,
            languages=list(model.languages),
            words=model.words,
            phonemes=model.phonemes,
            blends=model.blends,
        )


class OpenAiModel(BaseModel):
    """A model as OpenAI's clients read it."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "voicewire"


class ModelFound(ModelInfo, OpenAiModel):
    """A model, in our words and in those of OpenAI's clients."""

    @classmethod
    def of(cls, model: Model) -> ModelFound:
        return cls(**ModelInfo.of(model).model_dump())


class ModelList(BaseModel):
    """The models; and for OpenAI's clients, who ask for the same path, in their words, with their names, too."""

    models: list[ModelInfo]
    object: Literal["list"] = "list"
    data: list[OpenAiModel]


class VoiceInfo(BaseModel):
    """A voice: what to call it, and what it is like."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "af_bella",
                    "name": "Bella",
                    "model": "kokoro",
                    "language": "en-US",
                    "gender": "female",
                    "description": "",
                }
            ]
        }
    )

    id: str
    name: str
    model: str
    language: str
    gender: str
    description: str

    @classmethod
    def of(cls, voice: Voice) -> VoiceInfo:
        return cls(
            id=voice.id,
            name=voice.name,
            model=voice.model,
            language=voice.language,
            gender=voice.gender,
            description=voice.description,
        )


class VoiceList(BaseModel):
    voices: list[VoiceInfo]


class TicketIssued(BaseModel):
    """A one-time ticket for the first message of a WebSocket."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"ticket": "mZ2cA0m0dQm1jwX7cQkXy4i0zV4sV7xw3oN2b8m2m5E", "expires_ms": 30_000}]
        }
    )

    ticket: str
    expires_ms: int


class Health(BaseModel):
    """Whether the process lives; `draining`: it is being replaced."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: Literal["ok", "draining"]


class Ready(BaseModel):
    """Whether speech can be made now, and what is missing."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ready": False, "missing": ["redis"]}]})

    ready: bool
    missing: list[str]


@dataclass(frozen=True, slots=True)
class Routes:
    """The endpoints. `ready` names what is missing, or nothing."""

    catalogue: Callable[[str], Catalogue]  # of a tenant
    aliases: Aliases
    callers: Callers
    tickets: TicketStore
    ticket_s: float
    metrics: Metrics
    draining: Callable[[], bool]
    ready: Callable[[], Awaitable[list[str]]]
    metrics_open: bool

    def router(self) -> APIRouter:
        router = APIRouter()
        add = router.add_api_route
        no_model, no_voice = declared("unknown_model"), declared("unknown_voice")
        add("/v1/models", self.models, methods=["GET"], tags=["catalogue"], response_model=ModelList)
        add(
            "/v1/models/{model_id}",
            self.model,
            methods=["GET"],
            tags=["catalogue"],
            response_model=ModelFound,
            responses=no_model,
        )
        add(
            "/v1/models/{model_id}/voices",
            self.model_voices,
            methods=["GET"],
            tags=["catalogue"],
            response_model=VoiceList,
            responses=no_model,
        )
        add("/v1/voices", self.voices, methods=["GET"], tags=["catalogue"], response_model=VoiceList)
        add(
            "/v1/voices/{voice_id:path}",
            self.voice,
            methods=["GET"],
            tags=["catalogue"],
            response_model=VoiceInfo,
            responses=no_voice,
        )
        add("/v1/tickets", self.ticket, methods=["POST"], tags=["access"], response_model=TicketIssued)
        self._add_operation(router)
        return router

    def _add_operation(self, router: APIRouter) -> None:
        add = functools.partial(router.add_api_route, methods=["GET"], tags=["operation"])
        add("/health", self.health, response_model=Health, responses={503: {"model": Health}}, openapi_extra=OPEN)
        add("/ready", self.readiness, response_model=Ready, responses={503: {"model": Ready}}, openapi_extra=OPEN)
        for path, look in (("/health", self.health), ("/ready", self.readiness)):  # as some balancers ask
            router.add_api_route(path, look, methods=["HEAD"], include_in_schema=False)
        page = {"content": {"text/plain": {"schema": {"type": "string"}}}}
        add("/metrics", self.page, response_class=Response, responses={200: page})

    async def models(self, request: Request) -> ModelList:
        """List the models, the default first."""
        catalogue = await self._catalogue(request)
        models = catalogue.models()
        names = [*(model.id for model in models), *self.aliases.models(catalogue)]
        return ModelList(models=[*map(ModelInfo.of, models)], data=[OpenAiModel(id=name) for name in names])

    async def model(self, request: Request, model_id: str) -> ModelFound:
        """Return one model; also by a name that vendors' clients have for it, which is then its `id`."""
        return ModelFound.of(self.aliases.model(await self._catalogue(request), model_id))

    async def model_voices(self, request: Request, model_id: str) -> VoiceList:
        """List the voices of one model."""
        catalogue = await self._catalogue(request)
        return VoiceList(voices=[VoiceInfo.of(voice) for voice in catalogue.voices(model_id)])

    async def voices(self, request: Request, language: str = "", gender: str = "") -> VoiceList:
        """List the voices of all models, or those of a language (`en`, `en-US`) or gender."""
        catalogue = await self._catalogue(request)
        wanted = language.casefold()
        return VoiceList(
            voices=[
                VoiceInfo.of(voice)
                for voice in catalogue.voices()
                if (voice.language.casefold() + "-").startswith(wanted + "-" if wanted else "")
                and gender in {"", voice.gender}
            ]
        )

    async def voice(self, request: Request, voice_id: str) -> VoiceInfo:
        """Return one voice, by id or friendly name."""
        catalogue = await self._catalogue(request)
        return VoiceInfo.of(catalogue.voice(voice_id))

    async def _catalogue(self, request: Request) -> Catalogue:
        principal = await self.callers.require(request, "voices:read")
        return self.catalogue(principal.tenant)

    async def ticket(self, request: Request) -> TicketIssued:
        """Make a ticket, good once and for a short while, from the caller's origin only."""
        principal = await self.callers.require(request, "tickets:create")
        ticket = await self.tickets.create(principal, request.headers.get("origin"))
        return TicketIssued(ticket=ticket, expires_ms=round(self.ticket_s * 1000))

    async def health(self, response: Response) -> Health:
        """Say whether the process lives, and whether it is being replaced."""
        if self.draining():
            response.status_code = 503
            return Health(status="draining")
        return Health(status="ok")

    async def readiness(self, response: Response) -> Ready:
        """Say whether speech can be made now, and what is missing."""
        missing = ["draining"] if self.draining() else await self.ready()
        response.status_code = 503 if missing else 200
        return Ready(ready=not missing, missing=missing)

    async def page(self, request: Request) -> Response:
        """Return the metrics in Prometheus' text format."""
        if not self.metrics_open:
            await self.callers.require(request, "metrics:read")
        return Response(self.metrics.page(), media_type=CONTENT_TYPE)
