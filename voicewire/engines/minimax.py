"""MiniMax T2A v2 over HTTP: server-sent events with audio in hexadecimal, errors inside of HTTP 200, no word times."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx

from voicewire.engines.upstream import Samples, Speech, Upstream, answer, lines, parsed, refusal
from voicewire.engines.upstream_engine import LANES, MAX_CHARS, TIMEOUT_S, UpstreamEngine, opening
from voicewire.engines.voice_list import parse_voices
from voicewire.errors import RETRY_MS, BadRequest, Busy, EngineFailed, VoicewireError
from voicewire.types import Chunk, Model, Utterance, WordTimes

URL = "https://api.minimax.io/v1"
RATE_HZ = 24_000
LANGUAGE = "en-US"
VOICES = (
    "male-qn-qingse:american-male:en-US:male,"
    "female-shaonv:british-female:en-GB:female,"
    "moss_audio_141d8c4c-a6f8-11f0-84c1-0ec6fa858d82:nigerian-male:en-NG:male"
)
FIELD = b"data:"
EVENT_BYTES_MAX = 4 << 20  # about 40 s of audio in one event
PAUSE = re.compile(r"<#[\d.]*#>")  # would be a silence of up to 100 s, which is paid for

OK, PARTIAL, FINAL = 0, 1, 2
BUSY_CODES = frozenset({1002, 1039, 1041})  # requests, tokens, connections: too many
TEXT_CODES = frozenset({1026, 1027, 1042})  # the text, or what became of it, is not allowed, or cannot be seen
VOICE_CODES = frozenset({2054})
CODES = {
    1000: "unknown error",
    1001: "timeout",
    1004: "not authorized",
    1008: "the balance is used up",
    1024: "internal error",
    1033: "downstream error",
    2013: "a parameter is not valid",
    2049: "the key is not valid",
    2061: "the model is not in the plan",
}
# What MiniMax calls the languages that it can be told; it finds the others out by itself.
BOOSTS = {
    "ar": "Arabic", "cs": "Czech", "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "fi": "Finnish",
    "fr": "French", "hi": "Hindi", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean",
    "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "th": "Thai",
    "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "yue": "Chinese,Yue", "zh": "Chinese",
}  # fmt: skip


class MiniMax:
    """Asks for speech."""

    def __init__(self, upstream: Upstream, model: str, group: str) -> None:
        self._upstream = upstream
        self._model = model
        self._params = {"GroupId": group} if group else None

    async def speech(self, utterance: Utterance) -> Speech:
        """Yield audio as it comes; raises `Busy`, `BadRequest` or `EngineFailed` by MiniMax' codes."""
        async with self._upstream.post("t2a_v2", self._body(utterance), self._params) as response:
            if response.status_code != httpx.codes.OK:
                told = await answer(response)
                raise _error(told.content, utterance.voice) or refusal(told.status, told.headers)
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                content = (await answer(response)).content
                raise _error(content, utterance.voice) or EngineFailed(problem="MiniMax does not stream its answer")
            samples, heard, ended = Samples(), False, False
            async for event in _events(response):
                error = _error(event, utterance.voice)
                if error:
                    raise error
                data = _data(event)
                ended = ended or data.get("status") == FINAL
                if data.get("status") == PARTIAL or not heard:  # the last event may have all of the audio once more
                    pcm = samples.push(_bytes(data.get("audio")))
                    heard = heard or len(pcm) > 0
                    yield Chunk(pcm)
            if not ended:
                raise EngineFailed(problem="MiniMax broke off")

    def _body(self, utterance: Utterance) -> dict[str, Any]:
        return {
            "model": self._model,
            "text": PAUSE.sub(" ", utterance.text),
            "stream": True,
            "stream_options": {"exclude_aggregated_audio": True},
            "voice_setting": {"voice_id": utterance.voice, "speed": utterance.speed, "vol": 1.0, "pitch": 0},
            "audio_setting": {"sample_rate": RATE_HZ, "format": "pcm", "channel": 1},
            "language_boost": _boost(utterance.language),
            "output_format": "hex",
        }


def open_engine(
    url: str = URL,
    key: str = "",
    group: str = "",
    model: str = "speech-2.6-turbo",
    voices: str = "",
    lanes: int = LANES,
    timeout_s: float = TIMEOUT_S,
    model_id: str = "minimax",
) -> UpstreamEngine:
    """Open the engine; nothing is asked before the first text. Raises `ValueError` for options that cannot be."""
    if not key:
        raise ValueError("MiniMax needs a key")
    found = parse_voices(voices or VOICES, model_id, LANGUAGE)
    about = Model(
        id=model_id,
        name=f"MiniMax {model}",
        rate_hz=RATE_HZ,
        default_voice=found[0].id,
        description="MiniMax' voices, by its own servers.",
        max_chars=MAX_CHARS,
        lanes=lanes,
        words=WordTimes.NONE,
        languages=tuple(dict.fromkeys(voice.language for voice in found)),
        version=model,
    )
    upstream = Upstream(url, {"Authorization": f"Bearer {key}"}, lanes=lanes, rate_hz=RATE_HZ, timeout_s=timeout_s)
    with opening(upstream):
        return UpstreamEngine(upstream, about, found, MiniMax(upstream, model, group).speech)


def _boost(language: str) -> str:
    primary = language.lower().partition("-")[0]
    return "Chinese,Yue" if language.lower() == "zh-hk" else BOOSTS.get(primary, "auto")


async def _events(response: httpx.Response) -> AsyncIterator[Any]:
    """The JSON of each event."""
    async for line in lines(response, EVENT_BYTES_MAX):
        if line.startswith(FIELD):
            yield parsed(line.removeprefix(FIELD))


def _data(event: Any) -> dict[str, Any]:
    data = event.get("data") if isinstance(event, dict) else None
    return data if isinstance(data, dict) else {}


def _bytes(audio: object) -> bytes:
    try:
        return bytes.fromhex(audio) if isinstance(audio, str) else b""
    except ValueError as error:
        raise EngineFailed(problem="MiniMax sends audio that is not hexadecimal") from error


def _error(event: Any, voice: str) -> VoicewireError | None:
    """What MiniMax says is wrong; None when nothing is."""
    said = event.get("base_resp") if isinstance(event, dict) else None
    code = said.get("status_code", OK) if isinstance(said, dict) else OK
    if code == OK:
        return None
    if not isinstance(code, int):
        return EngineFailed(problem="MiniMax says that something is wrong, and no number")
    if code in BUSY_CODES:
        return Busy(retry_after_ms=RETRY_MS, problem=f"MiniMax says {code}: too much is asked for")
    if code in TEXT_CODES:
        return BadRequest(problem="the provider of this voice does not take this text")
    if code in VOICE_CODES:
        return BadRequest("unknown_voice", voice=voice)
    return EngineFailed(problem=f"MiniMax says {code}: {CODES.get(code, 'an error')}")
