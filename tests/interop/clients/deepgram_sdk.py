"""The `deepgram-sdk` package as it is: Speak, Flush, Clear, Close, files; turns, speed and interruption."""

from __future__ import annotations

import json
import sys
from base64 import b64decode

from guard import stay_here
from handing import handed

stay_here()

from importlib.metadata import version  # noqa: E402 - behind the guard

from deepgram import DeepgramClient  # noqa: E402 - behind the guard
from deepgram.core.api_error import ApiError  # noqa: E402 - behind the guard
from deepgram.environment import DeepgramClientEnvironment  # noqa: E402 - behind the guard
from deepgram.speak.v1.types import SpeakV1Text  # noqa: E402 - behind the guard
from deepgram.speak.v2.types import (  # noqa: E402 - behind the guard
    SpeakV2Configure,
    SpeakV2Interrupt,
    SpeakV2InterruptPlaybackOffset,
    SpeakV2Speak,
)
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402 - behind the guard

TEXT = "It costs $4.50, doesn't it? Yes."
LONG = TEXT * 30
FORMATS = {
    **{kind: {"encoding": kind} for kind in ("mp3", "opus", "aac", "flac")},
    "wav": {"encoding": "linear16", "sample_rate": 24_000},
    "pcm": {"encoding": "linear16", "container": "none", "sample_rate": 24_000},
    "mulaw": {"encoding": "mulaw", "container": "none", "sample_rate": 8_000},
}


def main(url: str, key: str) -> dict[str, object]:
    socket_url = url.replace("http", "ws")
    here = DeepgramClientEnvironment(base=url, production=socket_url, agent=socket_url, agent_rest=url)
    client = DeepgramClient(api_key=key, environment=here)
    told: dict[str, object] = {"version": version("deepgram-sdk")}
    with client.speak.v1.connect(model="aura-2-thalia-en", encoding="linear16", sample_rate="24000") as socket:
        told["first"] = socket.recv().type
        socket.send_text(SpeakV1Text(text=TEXT))
        socket.send_flush()
        told["audio"], told["flushed"] = _until(socket, "Flushed")
        socket.send_text(SpeakV1Text(text=TEXT * 3))
        socket.send_flush()
        socket.send_clear()
        _, told["cleared"] = _until(socket, "Cleared")
        socket.send_text(SpeakV1Text(text="Yes."))
        socket.send_flush()
        told["after"], told["flushed_again"] = _until(socket, "Flushed")
        socket.send_close()
    told["turns"] = _turns(client)
    asked = {"text": TEXT, "model": "aura-2-thalia-en"}
    told["files"] = {kind: handed(client.speak.v1.audio.generate(**asked, **form)) for kind, form in FORMATS.items()}
    try:
        with DeepgramClient(api_key="wrong", environment=here).speak.v1.connect(model="aura-2-thalia-en"):
            pass
    except ApiError as error:
        told["key"] = error.status_code
    except InvalidStatus as error:  # beside some versions of websockets the package lets it through
        told["key"] = error.response.status_code
    return told


def _turns(client: DeepgramClient) -> dict[str, object]:
    told: dict[str, object] = {}
    with client.speak.v2.connect(model="flux-alexis-en", encoding="linear16", sample_rate="24000") as socket:
        told["first"] = socket.recv().type
        socket.send_speak(SpeakV2Speak(text=TEXT))
        socket.send_flush()
        told["turn"], told["audio"] = _types(socket, "SpeechMetadata")
        socket.send_configure(SpeakV2Configure(speed=1.5))
        told["applied"] = socket.recv().applied.speed
        socket.send_speak(SpeakV2Speak(text=LONG))
        while not isinstance(socket.recv(), bytes):
            pass
        before_ms = len(b64decode(told["audio"])) // 48
        offset = SpeakV2InterruptPlaybackOffset(type="time_ms", value=before_ms + 20)
        socket.send_interrupt(SpeakV2Interrupt(playback_offset=offset))
        cut = _last(socket, "SpeechInterrupted")
        told["cut"] = [cut.audio_played_ms - before_ms, cut.text_spoken + cut.text_remaining == LONG]
        told["metadata"] = type(cut.metadata).__name__
        socket.send_speak(SpeakV2Speak(text="Yes."))
        socket.send_close()
        told["closing"], told["after"] = _types(socket, "SessionMetadata")
        try:
            socket.recv()
        except ConnectionClosed as ended:
            told["close"] = ended.rcvd.code
    told["file"] = handed(client.speak.v2.audio.generate(text=TEXT, model="flux-alexis-en"))
    return told


def _types(socket: object, last: str) -> tuple[list[str], str]:
    """What comes, up to a message of a type: their types, and the audio."""
    types, audio = [], []
    while last not in types:
        message = socket.recv()  # type: ignore[attr-defined]  # the package's own
        if isinstance(message, bytes):
            audio.append(message)
        else:
            types.append(message.type)
    return types, handed(audio)


def _last(socket: object, type: str) -> object:
    while True:
        message = socket.recv()  # type: ignore[attr-defined]  # the package's own
        if not isinstance(message, bytes) and message.type == type:
            return message


def _until(socket: object, type: str) -> tuple[str, int]:
    audio = []
    while True:
        message = socket.recv()  # type: ignore[attr-defined]  # the package's own
        if isinstance(message, bytes):
            audio.append(message)
        elif message.type == type:
            return handed(audio), int(message.sequence_id)


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
