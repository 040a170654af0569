"""Every dialect, with messages as real clients send them: a further one is a further row."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from tests.fuzz import judges
from tests.fuzz.attackers import Attacker, Http, Socket, Tcp
from tests.fuzz.calls import Carrier
from tests.fuzz.mutations import STRANGE, Message

ODD = [str(value).encode(errors="replace").decode()[:200] for value in STRANGE if not isinstance(value, list | dict)]
SPEECH = "/v1/text-to-speech/alloy"
CARTESIA_FORMAT = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 16_000}
CARTESIA: Message = {
    "context_id": "a",
    "model_id": "sonic-3",
    "transcript": "Hello there, ",
    "voice": {"mode": "id", "id": "alloy"},
    "output_format": CARTESIA_FORMAT,
    "continue": True,
    "language": "en",
    "add_timestamps": True,
    "add_phoneme_timestamps": True,
    "max_buffer_delay_ms": 0,
    "speed": "normal",
    "generation_config": {"speed": 1.1, "volume": 1},
}
DEEPGRAM_V1: tuple[Message, ...] = (
    {"type": "Speak", "text": "Hello there. "},
    {"type": "Speak", "text": "friend"},
    *({"type": each} for each in ("Flush", "Clear", "Close")),
)
DEEPGRAM_V2: tuple[Message, ...] = (
    *DEEPGRAM_V1,
    {"type": "Interrupt", "playback_offset": {"type": "time_ms", "value": 120}},
    {"type": "Interrupt"},
    {"type": "Configure", "speed": 1.2},
)
ELEVENLABS: tuple[Message, ...] = (
    {
        "text": " ",
        "voice_settings": {"stability": 0.3, "speed": 1.1},
        "generation_config": {"chunk_length_schedule": [50]},
    },
    {"text": "Hello there, ", "try_trigger_generation": True},
    {"text": "friend.", "flush": True},
    {"text": ""},
)
SEVERAL: tuple[Message, ...] = (
    *({**each, "context_id": "a"} for each in ELEVENLABS),
    {"text": "How are you?", "context_id": "b"},
    {"context_id": "a", "flush": True},
    *({"context_id": each, "close_context": True} for each in "aab"),
    {"close_socket": True},
)
WYOMING: tuple[Message, ...] = (
    {"type": "describe", "version": "1.10.2"},
    {"type": "synthesize", "data": {"text": "Hello.", "voice": {"name": "alloy", "language": "en", "speaker": None}}},
    {"type": "synthesize-start", "data": {"voice": {"name": "alloy"}}},
    {"type": "synthesize-chunk", "data": {"text": "Hello "}},
    {"type": "synthesize-stop"},
    {"type": "ping", "data": {"text": "x"}},
)
TWILIO: tuple[Message, ...] = (
    {"event": "connected", "protocol": "Call", "version": "1.0.0"},
    {
        "event": "start",
        "start": {
            "callSid": "CA1",
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": "t"},
        },
        "streamSid": "MZ1",
    },
    {
        "event": "media",
        "media": {"track": "inbound", "chunk": "2", "timestamp": "5", "payload": "//8="},
        "streamSid": "MZ1",
    },
    {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": "1"}},
    {"event": "mark", "streamSid": "MZ1", "mark": {"name": "1"}},
    {"event": "stop", "stop": {"accountSid": "AC1", "callSid": "CA1"}, "streamSid": "MZ1"},
)
OPENAI: Message = {
    "model": "gpt-4o-mini-tts",
    "input": "Hi.",
    "voice": {"id": "alloy"},
    "instructions": "calm",
    "response_format": "pcm",
    "speed": 1.25,
    "stream_format": "audio",
}


def _is(name: str, value: object) -> judges.Sees:
    return lambda said: isinstance(said, str) and json.loads(said).get(name) == value


def _base64(name: str) -> judges.Takes:
    return lambda said: base64.b64decode(json.loads(said).get(name) or "")


def _spoiled(good: Message) -> list[Message]:
    """A good query, and each of its fields with what nobody should ask for."""
    return [good, *({**good, name: odd} for name in good for odd in ODD)]


AURA: Message = {"model": "aura-2-thalia-en", "encoding": "linear16", "sample_rate": 16_000}


def _deepgram(path: str, messages: tuple[Message, ...], last: str) -> Socket:
    return Socket(
        path,
        messages,
        judges.deepgram,
        _spoiled({**AURA, "speed": 1}),
        messages[:3],
        lambda said: said if isinstance(said, bytes) else b"",
        _is("type", last),
        [{"type": "Enough"}],
        _is("description", "the message is not valid: the type Enough"),
        judges.deepgram_file,
    )


def dialects(wyoming_port: int) -> Mapping[str, Attacker]:
    """Return all of them, by name."""
    query = {"model_id": "eleven_flash_v2_5", "output_format": "pcm_16000", "language_code": "en"}
    elevenlabs = _spoiled(query | {"auto_mode": "true", "sync_alignment": "true"})
    well: Message = {"context_id": "z", "text": "Well.", "flush": True}
    return {
        "openai": Http(
            "/v1/audio/speech",
            [
                OPENAI,
                {**OPENAI, "voice": "alloy", "stream_format": "sse"},
                {"input": "Hi.", "response_format": "wav"},
            ],
            judges.openai,
            {"input": "Well.", "response_format": "pcm"},
        ),
        "cartesia file": Http(
            "/tts/bytes",
            [CARTESIA, {**CARTESIA, "output_format": {**CARTESIA_FORMAT, "container": "wav"}}],
            judges.cartesia_file,
            {**CARTESIA, "transcript": "Well."},
        ),
        "elevenlabs file": Http(
            SPEECH,
            [
                {**ELEVENLABS[0], "text": "Well, "},
                {"text": "Hi.", "model_id": "eleven_v3", "seed": 7, "apply_text_normalization": "auto"},
            ],
            judges.elevenlabs_file,
            {"text": "Well."},
            _spoiled(query),
        ),
        "deepgram file": Http(
            "/v1/speak",
            [{"text": "Hi."}, {"text": "Hello there."}],
            judges.deepgram_file,
            {"text": "Well."},
            _spoiled(AURA),
        ),
        "cartesia": Socket(
            "/tts/websocket",
            [CARTESIA, {**CARTESIA, "context_id": "b", "flush": True}, {**CARTESIA, "continue": False}]
            + [{"context_id": each, "cancel": True} for each in "ab"],
            judges.cartesia,
            [{"cartesia_version": "2025-04-16"}],
            [{**CARTESIA, "continue": False}],
            _base64("data"),
            _is("type", "done"),
            [{"context_id": "z", "model_id": "nobody"}],
            _is("context_id", "z"),
        ),
        "elevenlabs single": Socket(
            f"{SPEECH}/stream-input",
            ELEVENLABS,
            judges.elevenlabs,
            elevenlabs,
            [{"text": "Well. "}, {"text": ""}],
            _base64("audio"),
            _is("isFinal", True),
            [{"text": ""}],
        ),
        "elevenlabs several": Socket(
            f"{SPEECH}/multi-stream-input",
            SEVERAL,
            judges.elevenlabs,
            elevenlabs,
            [well, {"context_id": "z", "close_context": True}],
            _base64("audio"),
            _is("isFinal", True),
            [{"context_id": "z", "text": "Well. "}, {"context_id": "z", "close_context": True}],
            _is("contextId", "z"),
        ),
        "deepgram": _deepgram("/v1/speak", DEEPGRAM_V1, "Flushed"),
        "deepgram turns": _deepgram("/v2/speak", DEEPGRAM_V2, "SpeechMetadata"),
        "wyoming": Tcp(wyoming_port, WYOMING),
        "twilio": Carrier("/v1/twilio/stream", TWILIO),
    }


NAMES = tuple(dialects(0))
