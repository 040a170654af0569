"""`POST /v1/tts`: a whole text in, one audio file out, streamed while it is made."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.responses import StreamingResponse

from voicewire.auth.principal import Principal
from voicewire.codecs.base import FILES, FileKind
from voicewire.errors import BadRequest
from voicewire.server.callers import Callers
from voicewire.server.doors.description import declared
from voicewire.server.doors.texts import Bitrate, Rate, Seed, Speed, Unit, whole_characters
from voicewire.server.recite import Reciter, Transcript, Wish
from voicewire.types import KEY_PREFIX, Model, Offsets, WordTimes

WORDS_KEY = "words:{tenant}:{id}"
"""Redis, string with expiry: the words of one answer of `POST /v1/tts`, as JSON."""
WORDS_S = 300
WORDS_BYTES = 16  # of randomness in an address
FAILS = (
    "unknown_model", "unknown_voice", "unsupported_format", "text_too_long", "insufficient_credit", "terms_required",
    "too_many_streams", "draining", "engine_failed",
)  # fmt: skip
WORDS_HEADER = "Words-Location"


class SpeechRequest(BaseModel):
    """What to say and how. Only `text` must be given."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "It costs $4.50, doesn't it?", "format": "mp3", "speed": 1.1}]}
    )

    text: Annotated[str, AfterValidator(whole_characters), Field(description="of any length that the body may have")]
    model: Annotated[str, Field(max_length=200, description="empty: the server's default")] = ""
    voice: Annotated[str, Field(max_length=200, description="id or friendly name; empty: the model's default")] = ""
    language: Annotated[str, Field(max_length=200, description="BCP 47; picks a voice where none is named")] = ""
    speed: Speed = 1.0
    seed: Seed = None
    format: Annotated[
        FileKind,
        Field(description="sample-exact, but for the end of mp3 and aac: up to two frames of silence, as they stream"),
    ] = FileKind.WAV
    rate: Rate = None
    bitrate: Bitrate = None
    offsets: Unit = Offsets.CODEPOINT
    phonemes: Annotated[
        bool, Field(strict=True, description="keep the words, as `timestamps` does, and phonemes beside them")
    ] = False


class SpokenWords(BaseModel):
    """When each word of an answer sounds: `[a, b, start_ms, end_ms]`, `[a, b)` in the text as it was sent.

    `phonemes`, where they were asked for and the model knows them: `[symbol, start_ms, end_ms]`.
    """

    words: list[tuple[int, int, int, int]]
    phonemes: list[tuple[str, int, int]] | None = None
    audio_ms: int
    times: WordTimes = WordTimes.MEASURED
    complete: Literal[True] = True


@dataclass(frozen=True, slots=True)
class Speech:
    """The endpoints of one-shot speech."""

    reciter: Reciter
    callers: Callers
    redis: Redis
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

        The file is sent while it is made, so its header cannot say how long it is: WAV and FLAC leave that open, which
        players and FFmpeg take and `soundfile.read` does not. AAC begins with 1,024 samples of silence, and MP3 with
        1,105 for decoders that do not read its info tag; words count from behind them.
        """
        principal = await self.callers.require(request, "speak")
        choice = self.reciter.catalogue(principal.tenant).resolve(body.model, body.voice, body.language)
        wish = Wish(body.text, choice, body.format, body.speed, body.seed, body.rate, body.bitrate, body.offsets)
        if not (timestamps or body.phonemes):
            spoken = await self.reciter.begin(request, principal, wish)
            return StreamingResponse(spoken.parts, media_type=spoken.media_type)
        words_id = secrets.token_urlsafe(WORDS_BYTES)
        keep = partial(self._keep, self._words_key(principal, words_id), choice.model, phonemes=body.phonemes)
        wish = replace(wish, phonemes=body.phonemes)
        spoken = await self.reciter.begin(request, principal, wish, keep)
        headers = {WORDS_HEADER: f"/v1/words/{words_id}"}
        return StreamingResponse(spoken.parts, media_type=spoken.media_type, headers=headers)

    async def _keep(self, key: str, model: Model, transcript: Transcript, *, phonemes: bool) -> None:
        told = transcript.phonemes if phonemes and model.phonemes else None
        audio_ms = transcript.ms(transcript.samples)
        spoken = {
            "words": transcript.words,
            "phonemes": told,
            "audio_ms": audio_ms,
            "times": model.words,
            "complete": True,
        }
        try:
            await self.redis.set(key, msgspec.json.encode(spoken), ex=WORDS_S)
        except (RedisError, OSError) as error:
            raise ConnectionError("the words could not be kept") from error  # ends the answer short, visibly

    async def words(self, request: Request, words_id: str) -> Response:
        """Return the words of an answer, kept by `timestamps` or `phonemes`, for five minutes after its end."""
        principal = await self.callers.require(request, "speak")
        found = await self.redis.get(self._words_key(principal, words_id))
        if found is None:
            raise BadRequest("not_found")
        return Response(found, media_type="application/json")

    def _words_key(self, principal: Principal, words_id: str) -> str:
        return self.prefix + WORDS_KEY.format(tenant=principal.tenant, id=words_id)
