"""The `deepgram-sdk` package before 5, as it is: Speak, Flush, Clear and Close by events, and files."""

from __future__ import annotations

import json
import queue
import sys
from typing import Any

from guard import stay_here
from handing import handed

stay_here()

from importlib.metadata import version  # noqa: E402 - behind the guard

from deepgram import (  # noqa: E402 - behind the guard
    DeepgramClient,
    DeepgramClientOptions,
    SpeakOptions,
    SpeakWebSocketEvents,
    SpeakWSOptions,
)
from deepgram.clients.common import DeepgramApiError  # noqa: E402 - behind the guard

TEXT = "It costs $4.50, doesn't it? Yes."
VOICE = "aura-2-thalia-en"
WAIT_S = 30
FORMATS = {
    **{kind: {"encoding": kind} for kind in ("mp3", "opus", "aac", "flac")},
    "wav": {"encoding": "linear16", "sample_rate": 24_000},
    "pcm": {"encoding": "linear16", "container": "none", "sample_rate": 24_000},
}
EVENTS = SpeakWebSocketEvents


def main(url: str, key: str) -> dict[str, object]:
    client = DeepgramClient(key, DeepgramClientOptions(url=url))
    told: dict[str, object] = {"version": version("deepgram-sdk")}
    socket, said = _dial(client)
    told["began"] = socket.start(SpeakWSOptions(model=VOICE, encoding="linear16", sample_rate=24_000))
    told["request_id"] = bool(_until(said, "metadata")[1].request_id)
    socket.send_text(TEXT)
    socket.flush()
    told["audio"], flushed = _until(said, "flushed")
    socket.send_text(TEXT * 3)
    socket.flush()
    socket.clear()
    _, cleared = _until(said, "cleared")
    socket.send_text("Yes.")
    socket.flush()
    told["after"], again = _until(said, "flushed")
    told["sequence"] = [message.sequence_id for message in (flushed, cleared, again)]
    told["finished"] = socket.finish()
    told["files"] = {kind: _file(client, **form) for kind, form in FORMATS.items()}
    try:
        _file(DeepgramClient("wrong", DeepgramClientOptions(url=url)))
    except DeepgramApiError as error:
        told["key"] = error.status
    wrong, _ = _dial(DeepgramClient("wrong", DeepgramClientOptions(url=url)))
    told["socket_key"] = wrong.start(SpeakWSOptions(model=VOICE))
    return told


def _file(client: DeepgramClient, **form: Any) -> str:
    answer = client.speak.rest.v("1").stream_memory({"text": TEXT}, SpeakOptions(model=VOICE, **form))
    return handed(answer.stream_memory.getvalue())


def _dial(client: DeepgramClient) -> tuple[Any, queue.Queue[tuple[str, Any]]]:
    socket = client.speak.websocket.v("1")
    said: queue.Queue[tuple[str, Any]] = queue.Queue()
    for event in (EVENTS.Metadata, EVENTS.Flushed, EVENTS.Cleared, EVENTS.AudioData, EVENTS.Warning, EVENTS.Error):
        socket.on(event, lambda _, **fields: said.put(next(iter(fields.items()))))
    return socket, said


def _until(said: queue.Queue[tuple[str, Any]], last: str) -> tuple[str, Any]:
    """Take what comes, up to an event: the audio, and the event."""
    audio: list[bytes] = []
    while True:
        name, value = said.get(timeout=WAIT_S)
        if name == last:
            return handed(audio), value
        assert name == "data", (name, value)
        audio.append(value)


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
