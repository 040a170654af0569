"""`POST /v1/tts`: a whole text in, one audio file out, streamed while it is made."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.responses import StreamingResponse

from voicewire.auth.principal import Principal
from voicewire.catalogue import Names
from voicewire.codecs.base import FILES, FileEncoder, FileKind, content_type, file_rate_hz, open_file_encoder
from voicewire.errors import RETRY_MS, BadRequest, Busy
from voicewire.pipeline import Pipeline, Recital
from voicewire.pipeline import Request as SpeechOrder
from voicewire.server.bill import Bill
from voicewire.server.callers import Callers
from voicewire.server.doors.description import declared
from voicewire.server.limits import Limiter
from voicewire.server.metering import Meter
from voicewire.server.metrics import Metrics
from voicewire.server.spoken import Spoken
from voicewire.tab import Tab
from voicewire.timeline import Run
from voicewire.timing import Positions
from voicewire.types import KEY_PREFIX, Codec, Format, Offsets, Pcm

FRAME_MS = 20
STREAM_BYTES = 12
AHEAD_MS = 10_000  # made before it is taken by the client
WORDS_KEY = "words:{tenant}:{id}"
"""Redis, string with expiry: the words of one answer of `POST /v1/tts`, as JSON."""
WORDS_S = 300
FAILS = (
    "unknown_model", "unknown_voice", "unsupported_format", "text_too_long", "insufficient_credit", "terms_required",
    "too_many_streams", "draining", "engine_failed",
)  # fmt: skip
WORDS_HEADER = "Words-Location"
INLINE = frozenset({FileKind.WAV, FileKind.PCM})  # so cheap that a thread would cost more


def whole_characters(text: str) -> str:
    """Return `text`; raises `ValueError` for halves of characters, which JSON may hold and nobody can pronounce."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half of a character stands alone") from None
    return text


class SpeechRequest(BaseModel):
    """What to say and how. Only `text` must be given."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "It costs $4.50, doesn't it?", "format": "mp3", "speed": 1.1}]}
    )

    text: Annotated[str, AfterValidator(whole_characters), Field(description="of any length that the body may have")]
    model: Annotated[str, Field(max_length=200, description="empty: the server's default")] = ""
    voice: Annotated[str, Field(max_length=200, description="id or friendly name; empty: the model's default")] = ""
    language: Annotated[str, Field(max_length=200, description="BCP 47; picks a voice where none is named")] = ""
    speed: Annotated[float, Field(ge=0.5, le=2.0, allow_inf_nan=False)] = 1.0
    seed: Annotated[int | None, Field(ge=0, lt=2**32, description="the same seed gives the same audio")] = None
    format: Annotated[
        FileKind, Field(description="sample-exact, but for the end of mp3: up to two frames of silence, as it streams")
    ] = FileKind.WAV
    rate: Annotated[int | None, Field(ge=8_000, le=48_000, description="Hz; the engine's own if left out")] = None
    bitrate: Annotated[int | None, Field(ge=6_000, le=320_000, description="bit/s, for mp3 and opus")] = None
    offsets: Annotated[Offsets, Field(description="the unit of positions in the words")] = Offsets.CODEPOINT


class SpokenWords(BaseModel):
    """When each word of an answer sounds: `[a, b, start_ms, end_ms]`, `[a, b)` in the text as it was sent."""

    words: list[tuple[int, int, int, int]]
    audio_ms: int
    complete: Literal[True] = True


@dataclass(slots=True)
class Transcript:
    """The words of an answer while it is made."""

    rate_hz: int
    positions: Positions
    words: list[tuple[int, int, int, int]]
    samples: int = 0

    def add(self, run: Run, frame: int) -> None:
        at = self.positions.convert
        for start, stop, begins, ends in run.words:
            self.words.append((at(start), at(stop), self.ms(begins), self.ms(ends)))
        self.samples += len(run.packets) * frame

    def ms(self, samples: int) -> int:
        return samples * 1000 // self.rate_hz


@dataclass(frozen=True, slots=True)
class Speech:
    """The endpoints of one-shot speech."""

    pipeline: Pipeline
    callers: Callers
    redis: Redis
    meter: Meter
    limiter: Limiter
    metrics: Metrics
    catalogue: Callable[[str], Names]  # of a tenant
    draining: Callable[[], bool]
    prefix: str = KEY_PREFIX

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["speech"])
        kinds = {codec.media_type for codec in FILES.values()}
        sound = {"schema": {"type": "string", "format": "binary"}}
        audio: dict[str, Any] = {
            "content": dict.fromkeys(sorted(kinds), sound),
            "description": "the audio file, streamed while it is made",
        }
        router.add_api_route(
            "/tts",
            self.speak,
            methods=["POST"],
            response_class=StreamingResponse,
            responses={200: audio, **declared(*FAILS)},
        )
        router.add_api_route("/words/{words_id}", self.words, methods=["GET"], response_model=SpokenWords)
        return router

    async def speak(
        self,
        request: Request,
        body: SpeechRequest,
        timestamps: Annotated[bool, Query(description="keep the words; `Words-Location` says where")] = False,
    ) -> StreamingResponse:
        """Speak a text and answer with one audio file.

        A text in which nothing can be spoken, such as "..." or an emoji, is answered by a valid file without sound.
        """
        if self.draining():
            raise Busy("draining", retry_after_ms=RETRY_MS)
        principal = await self.callers.require(request, "speak")
        choice = self.catalogue(principal.tenant).resolve(body.model, body.voice, body.language)
        rate_hz = body.rate or file_rate_hz(body.format, choice.model.rate_hz)
        encoder = open_file_encoder(body.format, rate_hz, body.bitrate)
        format = Format(Codec.PCM_S16LE, rate_hz, FRAME_MS)
        order = SpeechOrder(principal.tenant, choice, body.speed, body.seed, format)
        spoken = Spoken(principal, f"h_{secrets.token_urlsafe(STREAM_BYTES)}", choice.model.id, choice.voice)
        await self.limiter.speech(request, principal, spoken.stream, len(body.text), spoken.model)
        with ExitStack() as unheard:
            unheard.callback(self.limiter.leave, spoken.stream)
            bill = self.meter.open(spoken, Tab(format.frame_samples, rate_hz), counted=True)
            recital = self.pipeline.speak(order, body.text, ahead_ms=AHEAD_MS, payer=bill)
            transcript = Transcript(rate_hz, Positions(body.offsets), [])
            transcript.positions.push(body.text)
            words_id = secrets.token_urlsafe(16) if timestamps else ""
            parts = self._parts(recital, bill, encoder, body.format, transcript, self._words_key(principal, words_id))
            first = await anext(parts)  # what fails before the first sound is answered with a status
            unheard.pop_all()
        headers = {WORDS_HEADER: f"/v1/words/{words_id}"} if words_id else {}
        return StreamingResponse(_after(first, parts), media_type=content_type(body.format, rate_hz), headers=headers)

    async def _parts(
        self,
        recital: Recital,
        bill: Bill,
        encoder: FileEncoder,
        kind: FileKind,
        transcript: Transcript,
        words_key: str,
    ) -> AsyncGenerator[bytes, None]:
        inline = kind in INLINE
        frame = transcript.rate_hz * FRAME_MS // 1000
        runs = recital.runs()
        try:
            async for run in runs:
                transcript.add(run, frame)
                pcm = _pcm(run)
                data = encoder.encode(pcm) if inline else await asyncio.to_thread(encoder.encode, pcm)
                if data:
                    yield data
                bill.handed()
        finally:
            await runs.aclose()
            self.limiter.leave(bill.spoken.stream)
            self.meter.start(bill.finish())
            self.metrics.audio_s.labels("http").inc(transcript.samples / transcript.rate_hz)
        if words_key:
            await self._keep(words_key, transcript)
        yield encoder.finish() if inline else await asyncio.to_thread(encoder.finish)

    async def _keep(self, key: str, transcript: Transcript) -> None:
        spoken = {"words": transcript.words, "audio_ms": transcript.ms(transcript.samples), "complete": True}
        try:
            await self.redis.set(key, msgspec.json.encode(spoken), ex=WORDS_S)
        except (RedisError, OSError) as error:
            raise ConnectionError("the words could not be kept") from error  # ends the answer short, visibly

    async def words(self, request: Request, words_id: str) -> Response:
        """Return the words of an answer that was asked for with `timestamps=true`, for five minutes after it ended."""
        principal = await self.callers.require(request, "speak")
        found = await self.redis.get(self._words_key(principal, words_id))
        if found is None:
            raise BadRequest("not_found")
        return Response(found, media_type="application/json")

    def _words_key(self, principal: Principal, words_id: str) -> str:
        return self.prefix + WORDS_KEY.format(tenant=principal.tenant, id=words_id) if words_id else ""


def _pcm(run: Run) -> Pcm:
    return np.frombuffer(b"".join(run.packets), dtype="<i2")


async def _after(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    try:
        yield first
        async for part in rest:
            yield part
    finally:
        await rest.aclose()
