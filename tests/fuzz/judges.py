"""What each dialect may answer, and nothing else: its documented messages, and errors of the table."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from websockets.frames import Close

from voicewire.errors import TABLE
from voicewire.server.dialects.wyoming_events import Event

Sees = Callable[[str | bytes], bool]
Takes = Callable[[str | bytes], bytes]

CLOSES = {1000, 1007, 1008, 1009} | {row.close for name, row in TABLE.items() if name != "internal"}
CODES = set(TABLE) - {"internal"}
SOUND = {"chunk", "timestamps", "phoneme_timestamps", "flush_done", "done"}
V1 = {"Metadata", "Flushed", "Cleared"}
V2 = {
    *("Connected", "SpeechStarted", "Flushed", "SpeechMetadata", "SpeechInterrupted", "ConfigureSuccess"),
    *("ConfigureFailure", "SessionMetadata", "Warning"),
}
WYOMING = {"audio-start", "audio-chunk", "audio-stop", "synthesize-stopped", "pong", "info"}
CARRIER = {"media", "mark", "clear"}


def _parsed(said: str | bytes) -> dict[str, Any]:
    assert isinstance(said, str), "only Deepgram has binary messages"
    message = json.loads(said)
    assert isinstance(message, dict), said
    return message


def _error(code: str, message: str) -> str:
    assert code in CODES, code
    assert message
    return code


def closed(close: Close | None) -> str:
    """Return how a connection was closed; "lost" where that was not said."""
    if close is None:
        return "lost"
    assert close.code in CLOSES, close
    assert close.reason != "internal"
    return f"close {close.code}"


def cartesia(said: str | bytes) -> str:
    """Return the code of an error, "" for anything else; so do the others."""
    message = _parsed(said)
    assert "context_id" in message, "pipecat wants one in every message"
    if message["type"] in SOUND:
        return ""
    assert (message["type"], message["done"]) == ("error", True), message
    assert message["status_code"] == TABLE[message["error_code"]].status
    return _error(message["error_code"], message["message"])


def elevenlabs(said: str | bytes) -> str:
    message = _parsed(said)
    if "error" not in message:
        assert message.keys() >= {"audio", "isFinal", "alignment", "normalizedAlignment"}, message
        return ""
    return _error(message["error"], message["message"])


def deepgram(said: str | bytes) -> str:
    if isinstance(said, bytes):
        return ""
    message = _parsed(said)
    if message["type"] in V1 | V2:
        return ""
    assert message["type"] == "Error", message
    return _error(message["code"], message["description"])


def carrier(said: str | bytes) -> str:
    assert _parsed(said)["event"] in CARRIER, said
    return ""


def wyoming(event: Event) -> str:
    if event.type in WYOMING:
        return ""
    assert event.type == "error", event
    return _error(event.data["code"], event.data["text"])


def openai(status: int, body: bytes) -> str:
    """Of an answer over HTTP, as those below."""
    return _answered(status, body, lambda said: (said["error"]["code"], said["error"]["message"]))


def cartesia_file(status: int, body: bytes) -> str:
    return _answered(status, body, lambda said: (said["error_code"], said["message"]))


def elevenlabs_file(status: int, body: bytes) -> str:
    return _answered(status, body, lambda said: (said["detail"]["status"], said["detail"]["message"]))


def deepgram_file(status: int, body: bytes) -> str:
    return _answered(status, body, lambda said: (said["err_code"].lower(), said["err_msg"]))


def _answered(status: int, body: bytes, read: Callable[[Any], tuple[str, str]]) -> str:
    if status == 200:
        return ""
    code, message = read(json.loads(body))
    assert TABLE[code].status == status, body
    return _error(code, message)
