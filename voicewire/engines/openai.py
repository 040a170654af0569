"""Any server that speaks `POST /v1/audio/speech`, as OpenAI published it: raw PCM as it is made, no word times."""

from __future__ import annotations

import re

import httpx

from voicewire.engines.upstream import Answer, Samples, Speech, Upstream, answer, refusal
from voicewire.engines.upstream_engine import (
    LANES,
    MAX_CHARS,
    TIMEOUT_S,
    UpstreamEngine,
    opening,
    text_at,
)
from voicewire.engines.voice_list import distinct, friendly, parse_voices
from voicewire.errors import BadRequest, EngineFailed, VoicewireError
from voicewire.types import Chunk, Model, Utterance, Voice, WordTimes

URL = "https://api.openai.com/v1"
RATE_HZ = 24_000  # of `pcm`, by convention: no answer says it
LANGUAGE = "en-US"
# The names that OpenAI documents; a server that is asked for others lists them, or they are configured.
VOICES = "alloy,ash,ballad,cedar,coral,echo,fable,marin,nova,onyx,sage,shimmer,verse"
# how files begin; a sample pair seldom does
FILES = {b"RIFF": "a WAV", b"ID3\x03": "an MP3", b"ID3\x04": "an MP3", b"OggS": "an Ogg", b"fLaC": "a FLAC"}
KIND = re.compile(r"[a-z]{1,20}/[\w.+-]{1,40}")
VOICE_CODES = frozenset({"voice_not_found", "invalid_voice", "unknown_voice"})


class OpenAi:
    """Asks for speech and for voices."""

    def __init__(self, upstream: Upstream, model: str, model_id: str) -> None:
        self._upstream = upstream
        self._model = model
        self._model_id = model_id

    async def speech(self, utterance: Utterance) -> Speech:
        """Yield audio as it comes; raises `Busy`, `BadRequest` or `EngineFailed` for what the upstream refuses."""
        body = {
            "model": self._model,
            "input": utterance.text,
            "voice": utterance.voice,
            "response_format": "pcm",
            "speed": utterance.speed,
        }
        async with self._upstream.post("audio/speech", body) as response:
            if response.status_code != httpx.codes.OK:
                raise _refused(await answer(response), utterance.voice)
            samples, first = Samples(), True
            async for data in response.aiter_raw():
                if first:
                    _require_audio(response, data)
                    first = False
                yield Chunk(samples.push(data))

    async def voices(self) -> tuple[Voice, ...]:
        """What the upstream lists at the address that servers for local models have; else the documented names."""
        told = await self._upstream.get("audio/voices")
        listed = told.content.get("voices") if isinstance(told.content, dict) else None
        if told.status != httpx.codes.OK or not isinstance(listed, list):
            if told.status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
                raise _refused(told, "")
            return parse_voices(VOICES, self._model_id, LANGUAGE)
        ours = [entry for entry in listed if text_at(entry, "model") == self._model]  # some servers list those of all
        return distinct([voice for entry in ours or listed if (voice := self._voice(entry))])

    def _voice(self, entry: object) -> Voice | None:
        if isinstance(entry, str):
            return Voice(entry, friendly(entry), self._model_id, LANGUAGE) if entry else None
        id = text_at(entry, "id") or text_at(entry, "voice_id") or text_at(entry, "name")
        language = text_at(entry, "language") or LANGUAGE
        return Voice(id, text_at(entry, "name") or friendly(id), self._model_id, language) if id else None


def open_engine(
    url: str = URL,
    key: str = "",
    model: str = "tts-1",
    voices: str = "",
    rate_hz: int = RATE_HZ,
    lanes: int = LANES,
    timeout_s: float = TIMEOUT_S,
    model_id: str = "openai",
) -> UpstreamEngine:
    """Open the engine; without `voices` the upstream is asked for its own.

    Raises `EngineFailed` when it is asked and cannot be reached, and `ValueError` for options that cannot be.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    upstream = Upstream(url, headers, lanes=lanes, rate_hz=rate_hz, timeout_s=timeout_s)
    asking = OpenAi(upstream, model, model_id)
    with opening(upstream):
        found = parse_voices(voices, model_id, LANGUAGE) or upstream.ask(asking.voices())
        if not found:
            raise EngineFailed(problem="the upstream lists no voices, and none are configured")
    about = Model(
        id=model_id,
        name=f"OpenAI-compatible: {model}",
        rate_hz=rate_hz,
        default_voice=found[0].id,
        description="A server that speaks POST /v1/audio/speech.",
        max_chars=MAX_CHARS,
        lanes=lanes,
        words=WordTimes.NONE,
        languages=tuple(dict.fromkeys(voice.language for voice in found)),
        version=model,
    )
    return UpstreamEngine(upstream, about, found, asking.speech)


def _refused(told: Answer, voice: str) -> VoicewireError:
    code = text_at(told.content, "error", "code") or text_at(told.content, "error", "type")
    if code in VOICE_CODES or text_at(told.content, "error", "param") == "voice":
        return BadRequest("unknown_voice", voice=voice)
    return refusal(told.status, told.headers, code)


def _require_audio(response: httpx.Response, data: bytes) -> None:
    """Refuse a file or a message where plain samples were asked for: either would be heard as noise."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    mp3 = kind == "audio/mpeg" and data.startswith(b"\xff")
    named = next((f"{name} file" for magic, name in FILES.items() if data.startswith(magic)), "")
    if named or kind.startswith("text/") or kind.endswith("json") or mp3:
        named = named or (kind if KIND.fullmatch(kind) else "something")
        raise EngineFailed(problem=f"the upstream answers with {named} instead of plain PCM")
