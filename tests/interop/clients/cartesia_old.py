"""The `cartesia` package before 3, as it is: contexts, times of words, cancel, bytes, events, voices."""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from collections.abc import Iterator

from guard import stay_here
from handing import handed

stay_here()

from importlib.metadata import version  # noqa: E402 - behind the guard

from cartesia import Cartesia  # noqa: E402 - behind the guard
from cartesia.core.api_error import ApiError  # noqa: E402 - behind the guard

TEXT = "It costs $4.50, doesn't it? Yes."
MARKS = "Ça va ? Oui : bien ; merci ! Un — deux. « Oui »"
FORMAT = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 16_000}
FORMATS = {
    "mp3": {"container": "mp3", "sample_rate": 44_100, "bit_rate": 128_000},
    "wav": {"container": "wav", "encoding": "pcm_s16le", "sample_rate": 16_000},
    "pcm": FORMAT,
    "f32": {"container": "raw", "encoding": "pcm_f32le", "sample_rate": 24_000},
}
ASKED = {
    "model_id": "sonic-2",
    "voice": {"mode": "id", "id": "f786b574-daa5-4673-aa0c-cbe3e8534c02"},
    "output_format": FORMAT,
}


def main(url: str, key: str) -> dict[str, object]:
    told: dict[str, object] = {"version": version("cartesia")}
    socket = Cartesia(api_key=key, base_url=url.replace("http", "ws")).tts.websocket()
    told["turn"] = _heard(socket.context("ctx-1").send(transcript=_pieces(), add_timestamps=True, **ASKED))
    told["whole"] = _heard(socket.send(transcript=TEXT, add_timestamps=True, **ASKED))
    told["marks"] = _heard(socket.send(transcript=MARKS, add_timestamps=True, **ASKED))
    told["wrong"] = _refusal(lambda: list(socket.send(transcript=TEXT, **(ASKED | {"model_id": "nothing"}))))
    told["after"] = _heard(socket.send(transcript="After that.", add_timestamps=True, **ASKED))
    cut = socket.send(transcript=TEXT * 30, context_id="ctx-2", **ASKED)
    told["cut"] = len(next(cut).audio or b"")
    socket.websocket.send(json.dumps({"context_id": "ctx-2", "cancel": True}))  # it has no name for that
    told["again"] = _heard(socket.send(transcript="And again.", add_timestamps=True, **ASKED))
    socket.close()
    client = Cartesia(api_key=key, base_url=url)
    told["files"] = {
        kind: handed(client.tts.bytes(transcript=TEXT, **(ASKED | {"output_format": form})))
        for kind, form in FORMATS.items()
    }
    events = list(client.tts.sse(transcript=TEXT, **ASKED))
    told["events"] = sorted({event.type for event in events})
    told["evented"] = handed(b64decode(event.data) for event in events if event.type == "chunk")
    told["voices"] = [voice.id for voice in client.voices.list()][:3]
    wrong = Cartesia(api_key="wrong", base_url=url)
    told["key"] = _refusal(lambda: list(wrong.tts.bytes(transcript=TEXT, **ASKED)))
    socket = Cartesia(api_key="wrong", base_url=url.replace("http", "ws")).tts
    told["socket_key"] = _refusal(socket.websocket)
    return told


def _pieces() -> Iterator[str]:
    yield from ("Hello there ", "my friend. ", "And more.")


def _heard(outputs: object) -> dict[str, object]:
    audio, words = [], []
    for output in outputs:  # type: ignore[attr-defined]  # the package's own
        audio.append(output.audio or b"")
        if output.word_timestamps:
            times = output.word_timestamps
            words += zip(times.words, times.start, times.end, strict=True)
    return {"audio": handed(audio), "words": words}


def _refusal(act: object) -> str:
    try:
        act()  # type: ignore[operator]  # what is to be refused
    except (ApiError, RuntimeError) as error:
        return str(error)
    return ""


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
