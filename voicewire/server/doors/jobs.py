"""`/v1/models/{id}/tts`, `/v1/batch` and `/v1/jobs`: texts that are spoken without a listener, and their files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from voicewire.auth.principal import Principal
from voicewire.catalogue import Names
from voicewire.codecs.base import FILES, content_type, file_rate_hz, open_file_encoder
from voicewire.errors import RETRY_MS, BadRequest, Busy
from voicewire.server.callers import Callers
from voicewire.server.doors.description import declared
from voicewire.server.doors.job_forms import BatchItem, ItemInfo, JobInfo, JobMade, Manner, NewBatch, NewJob
from voicewire.server.doors.texts import Items, whole_text
from voicewire.server.jobs import records
from voicewire.server.jobs.outward import Outward, Refused
from voicewire.server.jobs.records import Asked, Kind, Wish
from voicewire.server.jobs.shelf import Shelf
from voicewire.server.jobs.signing import secret_for
from voicewire.server.jobs.store import JobStore
from voicewire.server.limits import Limiter
from voicewire.server.paces import Paces
from voicewire.server.ranges import described, file_answer
from voicewire.server.speech import SpokenWords
from voicewire.server.spoken import Spoken
from voicewire.types import Block

PAGE_MAX = 100
NUMBER_MAX = 2**31 - 1
ESTIMATED_CHARS = 10_000  # of a text; the rest is taken to be like it
ONCE_CHARS = 255
ASKING_FAILS = (
    "unknown_model", "unknown_voice", "unsupported_format", "text_too_long", "terms_required", "draining", "conflict",
)  # fmt: skip
SOUND = {"schema": {"type": "string", "format": "binary"}}

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Number = Annotated[int, Query(ge=0, le=NUMBER_MAX, description="which text of a batch")]
After = Annotated[int, Query(ge=-1, le=NUMBER_MAX, description="the last text of the page before")]
Once = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        max_length=ONCE_CHARS,
        description="asked again with it, the same job is answered, as long as it is kept",
    ),
]


@dataclass(frozen=True, slots=True)
class JobDoors:
    """The endpoints. `address` is where clients reach this server, `wake` says that there is something to do."""

    jobs: JobStore
    shelf: Shelf
    outward: Outward
    callers: Callers
    limiter: Limiter
    paces: Paces
    catalogue: Callable[[str], Names]  # of a tenant
    pepper: bytes
    public_url: str
    wake: Callable[[], None]
    draining: Callable[[], bool]

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["jobs"])
        add = router.add_api_route
        asking, files = (
            declared(*ASKING_FAILS),
            described(
                dict.fromkeys(sorted({codec.media_type for codec in FILES.values()}), SOUND),
                description="the audio file",
            ),
        )
        add(
            "/models/{model_id}/tts",
            self.make,
            methods=["POST"],
            status_code=201,
            response_model=JobMade,
            responses=asking,
        )
        add("/batch", self.make_batch, methods=["POST"], status_code=201, response_model=JobMade, responses=asking)
        add("/jobs", self.page, methods=["GET"], response_model=Items[JobInfo])
        add("/jobs/{job_id}", self.get, methods=["GET"], response_model=JobInfo)
        add("/jobs/{job_id}", self.cancel, methods=["DELETE"], response_model=JobInfo)
        add("/jobs/{job_id}/items", self.items, methods=["GET"], response_model=Items[ItemInfo])
        add(
            "/jobs/{job_id}/audio",
            self.audio,
            methods=["GET"],
            response_class=Response,
            responses={**files, **declared("range_not_satisfiable")},
        )
        add("/jobs/{job_id}/audio", self.audio, methods=["HEAD"], include_in_schema=False)
        add("/jobs/{job_id}/words", self.words, methods=["GET"], response_model=SpokenWords)
        add(
            "/jobs/{job_id}/stream",
            self.no_socket,
            methods=["GET"],
            status_code=426,
            response_class=Response,
            responses=declared("upgrade_required"),
        )
        return router

    async def make(self, request: Request, response: Response, model_id: str, body: NewJob, once: Once = "") -> JobMade:
        """Have a text spoken into a file, however long it takes, whoever hangs up meanwhile.

        What it costs is taken while it is spoken, and given back where it fails.
        """
        caller = await self._admit(request)
        wish = await self._wish(caller, body, model_id, body.text, "", set())
        made = await self._take(caller, response, "speech", [wish], body.webhook, once)
        made.ws_url = f"{self._origin(request).replace('http', 'ws', 1)}/v1/jobs/{made.job_id}/stream"
        return made

    async def make_batch(self, request: Request, response: Response, body: NewBatch, once: Once = "") -> JobMade:
        """Have many texts spoken, each into a file of its own; where one fails, the others go on."""
        caller = await self._admit(request)
        wishes: list[Wish] = []
        rates_hz: set[int] = set()
        for number, item in enumerate(body.items):
            try:
                wishes.append(await self._wish(caller, _manner(body, item), body.model, item.text, item.name, rates_hz))
            except BadRequest as error:
                raise BadRequest(problem=f"items.{number}: {error.message}") from error
            await asyncio.sleep(0)
        return await self._take(caller, response, "batch", wishes, body.webhook, once)

    async def _admit(self, request: Request) -> Principal:
        if self.draining():
            raise Busy("draining", retry_after_ms=RETRY_MS)
        return await self.callers.require(request, "speak")

    async def _wish(
        self, caller: Principal, body: Manner, model: str, text: str, name: str, rates_hz: set[int]
    ) -> Wish:
        """Check what is asked for; `rates_hz` are those that the file was found to take."""
        choice = self.catalogue(caller.tenant).resolve(model, body.voice, body.language)
        await self.limiter.allow(caller, len(text), choice.model.id)
        rate_hz = body.rate or file_rate_hz(body.format, choice.model.rate_hz)
        if rate_hz not in rates_hz:
            open_file_encoder(body.format, rate_hz, body.bitrate)  # what it would refuse is refused now
            rates_hz.add(rate_hz)
        manner = records.Manner(
            choice.voice, choice.language, body.speed, body.seed, body.format, rate_hz, body.bitrate, body.offsets
        )
        estimate_ms = self._estimate_ms(Spoken(caller, "", choice.model.id, choice.voice), text, body.speed)
        return Wish(name, choice.model.id, manner, text, estimate_ms)

    def _estimate_ms(self, spoken: Spoken, text: str, speed: float) -> int:
        known = text[:ESTIMATED_CHARS]
        if not known.strip():
            return 0
        return self.paces.estimate_ms(spoken, Block(0, known, known, 0), speed) * len(text) // len(known)

    async def _take(
        self, caller: Principal, response: Response, kind: Kind, wishes: list[Wish], webhook: str, once: str
    ) -> JobMade:
        self._check(webhook, once)
        id = await self.jobs.ask(Asked(kind, caller, tuple(wishes), once, webhook))
        self.wake()
        response.headers["Location"] = f"/v1/jobs/{id}"
        return JobMade(
            job_id=id,
            ws_url=None,
            est_sec=sum(each.estimate_ms for each in wishes) / 1000,
            webhook_secret=secret_for(self.pepper, caller.tenant, webhook) if webhook else None,
        )

    def _origin(self, request: Request) -> str:
        """Where callers reach this server: as is said to all, or as this one did."""
        return self.public_url.rstrip("/") or str(request.base_url).rstrip("/")

    def _check(self, webhook: str, once: str) -> None:
        try:
            whole_text(once)
            if webhook:
                self.outward.check(webhook)
        except Refused as error:
            raise BadRequest(problem=f"body.webhook: {error}") from error
        except ValueError as error:
            raise BadRequest(problem=f"header.Idempotency-Key: {error}") from error

    async def page(self, request: Request, before: str = "", limit: Limit = PAGE_MAX) -> Items[JobInfo]:
        """List the jobs, the latest first; `before` is the `next` of the page before."""
        caller = await self.callers.require(request, "jobs:read")
        found = await self.jobs.page(caller.tenant, before, limit)
        return Items.of([JobInfo.of(job) for job in found], limit, found[-1].id if found else "")

    async def get(self, request: Request, job_id: str) -> JobInfo:
        """Say how far a job is."""
        caller = await self.callers.require(request, "speak")
        return JobInfo.of(await self.jobs.get(caller.tenant, job_id))

    async def items(self, request: Request, job_id: str, after: After = -1, limit: Limit = PAGE_MAX) -> Items[ItemInfo]:
        """Say how far each text of a job is; `after` is the `next` of the page before."""
        caller = await self.callers.require(request, "speak")
        found = await self.jobs.items(caller.tenant, job_id, after, limit)
        infos = [ItemInfo.of(job_id, item) for item in found]
        return Items.of(infos, limit, str(found[-1].number) if found else "")

    async def cancel(self, request: Request, job_id: str) -> JobInfo:
        """Stop a job; what was spoken of it stays billed. Of one that is over, forget the texts and the audio."""
        caller = await self.callers.require(request, "speak")
        job, forgotten = await self.jobs.cancel(caller.tenant, job_id)
        if forgotten or not job.files:
            await asyncio.to_thread(self.shelf.drop, job_id)
        return JobInfo.of(job)

    async def audio(self, request: Request, job_id: str, item: Number = 0) -> Response:
        """Return the file of a text that is spoken, whole or the part that `Range` asks for."""
        caller = await self.callers.require(request, "speak")
        found = await self.jobs.item(caller.tenant, job_id, item)
        if not found.size_bytes:
            raise BadRequest("not_found")
        path = self.shelf.audio(job_id, item, found.format)
        return await file_answer(request, path, content_type(found.format, found.rate_hz), found.sha256)

    async def words(self, request: Request, job_id: str, item: Number = 0) -> Response:
        """Return the words of a text that is spoken."""
        caller = await self.callers.require(request, "speak")
        found = await self.jobs.item(caller.tenant, job_id, item)
        words = await asyncio.to_thread(self.shelf.words, job_id, item) if found.size_bytes else None
        if words is None:
            raise BadRequest("not_found")
        return Response(words, media_type="application/json")

    async def no_socket(self, request: Request, job_id: str) -> Response:
        """Hear the text over a WebSocket: the live protocol, which begins to speak by itself."""
        caller = await self.callers.require(request, "speak")
        await self.jobs.script(caller.tenant, job_id)
        raise BadRequest("upgrade_required")


def _manner(batch: NewBatch, item: BatchItem) -> Manner:
    """How one text of a batch is to be spoken: as all are, but for what it says itself."""
    own = {name: value for name in ("voice", "language", "speed", "seed") if (value := getattr(item, name)) is not None}
    return batch.model_copy(update=own)
