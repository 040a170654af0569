"""What carriers say on a stream and how they take what they are told: from their published protocols, not from ours."""

from __future__ import annotations

import base64
import itertools
import json
import re
import secrets
from typing import Any, NamedTuple

SILENCE_MS = 20


class Heard(NamedTuple):
    """What a carrier was told: `media`, `mark` or `clear`."""

    what: str
    audio: bytes = b""
    name: str = ""


class Twilio:
    """One stream in Twilio's words. A message with a field more or less is refused by Twilio, and here."""

    name = "twilio"
    encoding, rate_hz, width = "audio/x-mulaw", 8_000, 1
    says_goodbye = True
    echoes_cleared = True  # marks that a `clear` overtook

    def __init__(self, call: str) -> None:
        self.call = call
        self.stream = f"MZ{secrets.token_hex(16)}"
        self._sequence = itertools.count(1)

    @property
    def bytes_per_ms(self) -> int:
        return self.rate_hz * self.width // 1000

    @property
    def silence(self) -> str:
        """As long as one message of sound."""
        sample = {"audio/x-mulaw": b"\xff", "PCMU": b"\xff", "PCMA": b"\xd5"}.get(self.encoding, b"\0\0")
        return base64.b64encode(sample * (self.rate_hz * SILENCE_MS // 1000)).decode()

    def headers(self, token: str) -> dict[str, str]:  # noqa: ARG002 - others show it there
        return {}

    def begun(self, token: str, account: str) -> list[str | bytes]:
        start = {
            "accountSid": account,
            "streamSid": self.stream,
            "callSid": self.call,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": self.encoding, "sampleRate": self.rate_hz, "channels": 1},
            "customParameters": {"token": token},
        }
        return [json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}), self._says("start", start)]

    def pressed(self, digit: str) -> str:
        return self._says("dtmf", {"track": "inbound_track", "digit": digit})

    def marked(self, name: str) -> str:
        return self._says("mark", {"name": name})

    def cleared(self) -> str | None:
        """What is said of a `clear` itself."""
        return None

    def goodbye(self) -> str:
        return self._says("stop", {"callSid": self.call})

    def spoken(self, chunk: int) -> str | bytes:
        """What the caller says: silence."""
        return self._says("media", {"track": "inbound", "chunk": str(chunk), "payload": self.silence})

    def _says(self, event: str, fields: dict[str, Any]) -> str:
        numbered = {"event": event, "sequenceNumber": str(next(self._sequence)), event: fields}
        return json.dumps({**numbered, "streamSid": self.stream})

    def takes(self, data: str | bytes) -> Heard:
        assert isinstance(data, str), "31950: a binary message"
        message = json.loads(data)
        assert message.pop("streamSid") == self.stream, "31951: another stream"
        return _twilio_like(message)


def _twilio_like(message: dict[str, Any]) -> Heard:
    match message:
        case {"event": "media", "media": {"payload": payload, **more}, **other}:
            assert not more, "31951: a field more"
            assert not other, "31951: a field more"
            return Heard("media", base64.b64decode(payload, validate=True))
        case {"event": "mark", "mark": {"name": name, **more}, **other}:
            assert not more
            assert not other
            return Heard("mark", name=name)
    assert message == {"event": "clear"}, message
    return Heard("clear")


class SignalWire(Twilio):
    """cXML's `<Stream codec="L16@24000h">`: Twilio's words, wider sound."""

    name = "signalwire"
    encoding, rate_hz, width = "audio/x-L16", 24_000, 2


class Telnyx(Twilio):
    """`stream_bidirectional_mode: rtp`, from a leg that speaks A-law, with the default codec of our own sound."""

    name = "telnyx"
    leg = "PCMA"

    def __init__(self, call: str) -> None:
        super().__init__(call)
        self.stream = "32DE0DEA-53CB-4B21-89A4-9E1819C043BC"

    def headers(self, token: str) -> dict[str, str]:
        return {"x-telnyx-streaming-auth-token": token}

    def begun(self, token: str, account: str) -> list[str | bytes]:
        start = {
            "user_id": account,
            "call_control_id": self.call,
            "call_session_id": "ff55a038-6f5d-11ef-9692-02420aeffb1f",
            "from": "+13122010094",
            "to": "+13122123456",
            "tags": ["TAG1"],
            "client_state": "aGF2ZSBhIG5pY2UgZGF5ID1d",
            "custom_parameters": {},
            "media_format": {"encoding": self.leg, "sample_rate": 8000, "channels": 1},
        }
        connected = {"event": "connected", "version": "1.0.0", "x-telnyx-streaming-auth-token": token}
        return [json.dumps(connected), self._says("start", start)]

    def _says(self, event: str, fields: dict[str, Any]) -> str:
        numbered = {"event": event, "sequence_number": str(next(self._sequence)), event: fields}
        return json.dumps({**numbered, "stream_id": self.stream})

    def takes(self, data: str | bytes) -> Heard:
        assert isinstance(data, str)
        return _twilio_like(json.loads(data))


class TelnyxAlaw(Telnyx):
    """The same with `stream_bidirectional_codec: PCMA`, which only its parameters say."""

    name = "telnyx"
    encoding = "PCMA"
    leg = "PCMU"

    def headers(self, token: str) -> dict[str, str]:  # noqa: ARG002 - it stands in the parameters
        return {}

    def begun(self, token: str, account: str) -> list[str | bytes]:
        connected, start = super().begun("", account)
        message = json.loads(start)
        message["start"]["custom_parameters"] = {"token": token, "codec": "PCMA"}
        return [connected, json.dumps(message)]


class Plivo(Twilio):
    """`<Stream bidirectional="true" contentType="audio/x-l16;rate=16000" extraHeaders="token=…">`."""

    name = "plivo"
    encoding, rate_hz, width = "audio/x-l16", 16_000, 2
    says_goodbye = False  # its connection ends
    echoes_cleared = False

    def begun(self, token: str, account: str) -> list[str | bytes]:
        assert re.fullmatch(r"[A-Za-z0-9]*", token), "extraHeaders: digits and letters"
        self._extra = f"token={token};session=abc"
        start = {
            "callId": self.call,
            "streamId": self.stream,
            "accountId": account,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": self.encoding, "sampleRate": self.rate_hz},
        }
        return [self._says("start", start)]

    def _says(self, event: str, fields: dict[str, Any]) -> str:
        said = {"event": event, "sequenceNumber": next(self._sequence), event: fields, "extra_headers": self._extra}
        return json.dumps(said if event == "start" else {**said, "streamId": self.stream})

    def marked(self, name: str) -> str:
        return json.dumps({"event": "playedStream", "streamId": self.stream, "name": name})

    def cleared(self) -> str:
        return json.dumps({"event": "clearedAudio", "streamId": self.stream})

    def takes(self, data: str | bytes) -> Heard:
        assert isinstance(data, str)
        message = json.loads(data)
        assert message.pop("streamId") == self.stream
        match message:
            case {"event": "playAudio", "media": media}:
                assert (media["contentType"], media["sampleRate"]) == (self.encoding, self.rate_hz)
                return Heard("media", base64.b64decode(media["payload"], validate=True))
            case {"event": "checkpoint", "name": name}:
                return Heard("mark", name=name)
        assert message == {"event": "clearAudio"}, message
        return Heard("clear")


class Vonage(Twilio):
    """An endpoint of the type `websocket`, with `headers`: binary sound, in messages of 20 ms and nothing else."""

    name = "vonage"
    encoding, rate_hz, width = "audio/l16", 16_000, 2
    says_goodbye = False

    def begun(self, token: str, account: str) -> list[str | bytes]:  # noqa: ARG002 - it names no account
        content_type = f"{self.encoding};rate={self.rate_hz}"
        headers = {"content-type": content_type, "token": token, "call": self.call}
        return [json.dumps({"event": "websocket:connected", **headers})]

    def pressed(self, digit: str) -> str:
        return json.dumps({"event": "websocket:dtmf", "digit": digit, "duration": 260})

    def marked(self, name: str) -> str:
        return json.dumps({"event": "websocket:notify", "payload": {"name": name}})

    def cleared(self) -> str:
        return json.dumps({"event": "websocket:cleared"})

    def spoken(self, chunk: int) -> str | bytes:  # noqa: ARG002 - they are not numbered
        return base64.b64decode(self.silence)

    def takes(self, data: str | bytes) -> Heard:
        if isinstance(data, bytes):
            assert len(data) == SILENCE_MS * self.bytes_per_ms, "a message of sound is 20 ms"
            return Heard("media", data)
        match json.loads(data):
            case {"action": "notify", "payload": {"name": name}}:
                return Heard("mark", name=name)
            case message:
                assert message == {"action": "clear"}
                return Heard("clear")
