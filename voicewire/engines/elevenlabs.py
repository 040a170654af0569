"""ElevenLabs, streamed with timestamps: a line of JSON for a piece of audio and the times of its characters."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np

from voicewire.engines.alignment import Alignment, Character
from voicewire.engines.upstream import AUDIO_S_MAX, Answer, Samples, Speech, Upstream, answer, lines, parsed, refusal
from voicewire.engines.upstream_engine import (
    LANES,
    MAX_CHARS,
    TIMEOUT_S,
    UpstreamEngine,
    opening,
    text_at,
)
from voicewire.engines.voice_list import distinct, parse_voices
from voicewire.errors import BadRequest, EngineFailed, VoicewireError
from voicewire.types import Model, Pcm, Utterance, Voice

URL = "https://api.elevenlabs.io"
RATE_HZ = 24_000
LANGUAGE = "en-US"
SPEEDS = (0.7, 1.2)
LINE_BYTES_MAX = 8 << 20  # a minute of audio and its characters
VOICES_MAX = 100  # of a list, of which no more is asked for
VOICE_CODES = frozenset({"voice_not_found", "invalid_voice_id", "voice_does_not_exist"})
ENFORCING = ("turbo", "flash")  # models that can be told the language
SEEDS = 1 << 32


class ElevenLabs:
    """Asks for speech and for voices."""

    def __init__(self, upstream: Upstream, model: str, model_id: str) -> None:
        self._upstream = upstream
        self._model = model
        self._model_id = model_id

    async def speech(self, utterance: Utterance) -> Speech:
        """Yield audio and its words as they come; raises what `Engine` says for what the upstream refuses."""
        low, high = SPEEDS
        if not low <= utterance.speed <= high:
            raise BadRequest(problem=f"this model speaks at speeds from {low} to {high}")
        path = f"v1/text-to-speech/{quote(utterance.voice, safe='')}/stream/with-timestamps"
        samples, alignment = Samples(), Alignment(utterance.text, RATE_HZ)
        async with self._upstream.post(path, self._body(utterance), {"output_format": f"pcm_{RATE_HZ}"}) as response:
            if response.status_code != httpx.codes.OK:
                raise _refused(await answer(response), utterance.voice)
            async for told in _messages(response):
                chunk = alignment.push(_pcm(told, samples), _characters(told))
                if chunk:
                    yield chunk
        last = alignment.finish()
        if last:
            yield last

    async def voices(self) -> tuple[Voice, ...]:
        """The voices of the account."""
        told = await self._upstream.get("v2/voices", {"page_size": str(VOICES_MAX)})
        if told.status != httpx.codes.OK:
            raise _refused(told, "")
        listed = told.content.get("voices") if isinstance(told.content, dict) else None
        voices = map(self._voice, listed if isinstance(listed, list) else ())
        return distinct([voice for voice in voices if voice.id])

    def _voice(self, entry: object) -> Voice:
        id = text_at(entry, "voice_id")
        gender = text_at(entry, "labels", "gender")
        return Voice(
            id,
            text_at(entry, "name") or id,
            self._model_id,
            text_at(entry, "labels", "language") or LANGUAGE,
            gender if gender in {"female", "male"} else "",
            text_at(entry, "description"),
        )

    def _body(self, utterance: Utterance) -> dict[str, Any]:
        body: dict[str, Any] = {
            "text": utterance.text,
            "model_id": self._model,
            "voice_settings": {"speed": utterance.speed},
        }
        if utterance.language and any(kind in self._model for kind in ENFORCING):
            body["language_code"] = utterance.language.partition("-")[0].lower()
        if utterance.seed is not None:
            body["seed"] = utterance.seed % SEEDS
        return body


def open_engine(
    url: str = URL,
    key: str = "",
    model: str = "eleven_flash_v2_5",
    voices: str = "",
    lanes: int = LANES,
    timeout_s: float = TIMEOUT_S,
    model_id: str = "elevenlabs",
) -> UpstreamEngine:
    """Open the engine; without `voices` the account is asked for its own.

    Raises `EngineFailed` when it is asked and that fails, and `ValueError` for options that cannot be.
    """
    if not key:
        raise ValueError("ElevenLabs needs a key")
    upstream = Upstream(url, {"xi-api-key": key}, lanes=lanes, rate_hz=RATE_HZ, timeout_s=timeout_s)
    asking = ElevenLabs(upstream, model, model_id)
    with opening(upstream):
        found = parse_voices(voices, model_id, LANGUAGE) or upstream.ask(asking.voices())
        if not found:
            raise EngineFailed(problem="the account has no voices, and none are configured")
    about = Model(
        id=model_id,
        name=f"ElevenLabs {model}",
        rate_hz=RATE_HZ,
        default_voice=found[0].id,
        description="ElevenLabs' voices, by its own servers; speeds from 0.7 to 1.2.",
        max_chars=MAX_CHARS,
        lanes=lanes,
        languages=tuple(dict.fromkeys(voice.language for voice in found)),
        version=model,
    )
    return UpstreamEngine(upstream, about, found, asking.speech)


async def _messages(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in lines(response, LINE_BYTES_MAX):
        if line.strip():
            told = parsed(line)
            if not isinstance(told, dict):
                raise EngineFailed(problem="ElevenLabs sends a line that is not a JSON object")
            yield told


def _pcm(told: dict[str, Any], samples: Samples) -> Pcm:
    audio = told.get("audio_base64")
    if not isinstance(audio, str):
        return np.empty(0, np.int16)
    try:
        return samples.push(base64.b64decode(audio, validate=True))
    except ValueError as error:
        raise EngineFailed(problem="ElevenLabs sends audio that is not base64") from error


def _characters(told: dict[str, Any]) -> list[Character]:
    """The times of the text as it was sent; `normalized_alignment` would be of another."""
    alignment = told.get("alignment")
    if not isinstance(alignment, dict):
        return []
    names = ("characters", "character_start_times_seconds", "character_end_times_seconds")
    columns = [column if isinstance(column := alignment.get(name), list) else [] for name in names]
    return [
        Character(text, float(begins_s), float(ends_s))
        for text, begins_s, ends_s in zip(*columns, strict=False)
        if isinstance(text, str) and _is_time(begins_s) and _is_time(ends_s)
    ]


def _is_time(value: object) -> bool:
    """Whether `value` is a number of seconds that an utterance may last, and no other number that JSON has."""
    return isinstance(value, int | float) and abs(value) <= AUDIO_S_MAX


def _refused(told: Answer, voice: str) -> VoicewireError:
    code = text_at(told.content, "detail", "code") or text_at(told.content, "detail", "status")
    if code in VOICE_CODES:
        return BadRequest("unknown_voice", voice=voice)
    return refusal(told.status, told.headers, code)
