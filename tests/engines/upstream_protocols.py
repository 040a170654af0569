"""How the doubles of upstreams answer: each by its published protocol, with the tone engine's audio."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.engines.upstream_server import Asked, Handler, said
from voicewire.types import Word

KEY = "sk-double-0123456789"


def openai(handler: Handler, asked: Asked) -> None:
    """`POST /v1/audio/speech`, and the list of voices that servers of local models have."""
    if asked.headers.get("authorization") != f"Bearer {KEY}":
        error = {"message": "Incorrect API key provided", "type": "invalid_request_error", "code": "invalid_api_key"}
        handler.json({"error": error}, 401)
    elif asked.path == "/v1/audio/voices":
        handler.json({"voices": [{"id": "af_sky", "name": "Sky"}, "am_adam", {"id": "other", "name": "Sky"}]})
    elif asked.path != "/v1/audio/speech" or asked.body["response_format"] != "pcm" or not asked.body["input"].strip():
        handler.json({"error": {"message": "bad", "type": "invalid_request_error", "param": "input"}}, 400)
    else:
        with handler.streamed("audio/pcm") as send:
            for chunk in said(asked.body["input"], asked.body["speed"]):
                data = chunk.pcm.tobytes()
                send(data[:333])  # cut inside of a sample
                send(data[333:])


def minimax(handler: Handler, asked: Asked) -> None:
    """`POST /v1/t2a_v2` with `stream`."""
    if asked.headers.get("authorization") != f"Bearer {KEY}":
        handler.json({"base_resp": {"status_code": 1004, "status_msg": "login fail"}})  # with HTTP 200
        return
    body = asked.body
    wanted = body["stream"] and body["output_format"] == "hex" and body["audio_setting"]["format"] == "pcm"
    if asked.path != "/v1/t2a_v2" or not wanted or not body["text"].strip():
        handler.json({"base_resp": {"status_code": 2013, "status_msg": "invalid params"}})
        return
    with handler.streamed("text/event-stream") as send:
        for chunk in said(body["text"], body["voice_setting"]["speed"]):
            send(minimax_event(chunk.pcm.tobytes(), 1))
        send(minimax_event(b"", 2))


def minimax_event(audio: bytes, status: int, code: int = 0) -> bytes:
    event = {
        "data": {"audio": audio.hex(), "status": status},
        "trace_id": "01b8",
        "base_resp": {"status_code": code, "status_msg": ""},
    }
    return f"data: {json.dumps(event)}\n\n".encode()


def elevenlabs(handler: Handler, asked: Asked) -> None:
    """`POST /v1/text-to-speech/{voice}/stream/with-timestamps`, and the list of voices."""
    if asked.headers.get("xi-api-key") != KEY:
        handler.json({"detail": {"status": "invalid_api_key", "message": "Invalid API key"}}, 401)
    elif asked.path == "/v2/voices":
        voices = [
            {"voice_id": "v1", "name": "Rachel", "category": "premade", "labels": {"gender": "female"}},
            {"voice_id": "v2", "name": "Adam", "category": "premade", "labels": {"gender": "male", "language": "en"}},
        ]
        handler.json({"voices": voices, "has_more": False})
    elif asked.path != "/v1/text-to-speech/v1/stream/with-timestamps" or asked.query != {"output_format": "pcm_24000"}:
        handler.json({"detail": {"status": "voice_not_found", "message": "A voice was not found"}}, 404)
    else:
        text, speed = asked.body["text"], asked.body["voice_settings"]["speed"]
        with handler.streamed("application/json") as send:
            for line in elevenlabs_lines(text, speed):
                piece = json.dumps(line).encode() + b"\n"
                send(piece[: len(piece) // 2])
                send(piece[len(piece) // 2 :])


def elevenlabs_lines(text: str, speed: float = 1.0) -> list[dict[str, Any]]:
    """The lines of a stream; a character belongs to the line in which its word begins, silence to its neighbour."""
    lines, at = [], 0
    chunks = said(text, speed, chunk_ms=400)
    for nth, chunk in enumerate(chunks):
        after = [word for later in chunks[nth + 1 :] for word in later.words]
        until = after[0].start if after else len(text)
        times = _character_times(text, at, until, chunk.words)
        at = until
        alignment = dict(
            zip(("characters", "character_start_times_seconds", "character_end_times_seconds"), times, strict=True)
        )
        lines.append({"audio_base64": base64.b64encode(chunk.pcm.tobytes()).decode(), "alignment": alignment})
    return lines


def _character_times(
    text: str, start: int, stop: int, words: tuple[Word, ...]
) -> tuple[list[str], list[float], list[float]]:
    characters, begins, ends, now_s = list(text[start:stop]), [], [], words[0].begins / 24_000 if words else 0.0
    for position in range(start, stop):
        word = next((word for word in words if word.start <= position < word.stop), None)
        if word:
            part_s = (word.ends - word.begins) / (word.stop - word.start) / 24_000
            now_s = word.begins / 24_000 + (position - word.start) * part_s
            begins.append(now_s)
            now_s += part_s
        else:
            begins.append(now_s)
        ends.append(now_s)
    return characters, begins, ends
