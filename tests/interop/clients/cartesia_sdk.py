"""The `cartesia` package as it is: contexts, flushes, cancel, times of words, bytes and events."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from guard import stay_here
from handing import handed

stay_here()

from importlib.metadata import version  # noqa: E402 - behind the guard

import cartesia  # noqa: E402 - behind the guard

TEXT = "It costs $4.50, doesn't it? Yes."
MARKS = "Ça va ? Oui : bien ; merci ! Un — deux. « Oui »"
VOICE = "f786b574-daa5-4673-aa0c-cbe3e8534c02"
FORMAT = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 16_000}
FORMATS = {
    "mp3": {"container": "mp3", "sample_rate": 44_100, "bit_rate": 128_000},
    "wav": {"container": "wav", "encoding": "pcm_s16le", "sample_rate": 16_000},
    "pcm": FORMAT,
    "f32": {"container": "raw", "encoding": "pcm_f32le", "sample_rate": 24_000},
    "mulaw": {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8_000},
}


def main(url: str, key: str) -> dict[str, object]:
    client = cartesia.Cartesia(api_key=key, base_url=url, websocket_base_url=url.replace("http", "ws"), max_retries=0)
    told: dict[str, object] = {"version": version("cartesia")}
    with client.tts.websocket_connect() as connection:
        context = connection.context(
            "ctx-1",
            model_id="sonic-3",
            voice=VOICE,
            output_format=FORMAT,
            add_timestamps=True,
            add_phoneme_timestamps=True,
            timeout=20,
        )
        context.push("Hello there ")
        context.push("my friend. ", flush=True)
        context.push("And more.")
        context.no_more_inputs()
        told["turn"] = _heard(context)
        cut = connection.context("ctx-2", model_id="sonic-3", voice=VOICE, output_format=FORMAT, timeout=20)
        cut.push(TEXT * 3)
        cut.cancel()
        after = connection.context(
            "ctx-3", model_id="sonic-3", voice=VOICE, output_format=FORMAT, add_timestamps=True, timeout=20
        )
        after.push("After that.")
        after.no_more_inputs()
        told["after"] = _heard(after)
        marks = connection.context(
            "ctx-5", model_id="sonic-3", voice=VOICE, output_format=FORMAT, add_timestamps=True, timeout=20
        )
        marks.push(MARKS)
        marks.no_more_inputs()
        told["marks"] = _heard(marks)
        wrong = connection.context("ctx-4", model_id="nothing", voice=VOICE, output_format=FORMAT, timeout=20)
        wrong.push(TEXT)
        told["error"] = [[event.type, getattr(event, "error_code", None)] for event in wrong.receive()]
    body = {"model_id": "sonic-3", "transcript": TEXT, "voice": VOICE, "output_format": FORMAT}
    with client.tts.generate_sse(**body, add_timestamps=True, add_phoneme_timestamps=True) as events:
        told["events"] = _gathered(events)
    told["files"] = {
        kind: handed(client.tts.generate(**(body | {"output_format": form})).read()) for kind, form in FORMATS.items()
    }
    told["voices"] = [voice.id for voice in client.voices.list()][:3]
    told["pages"] = [len(page.data) for page in client.voices.list(limit=90).iter_pages()]
    told["all"] = [voice.id for voice in client.voices.list(limit=90)] == [voice.id for voice in client.voices.list()]
    try:
        cartesia.Cartesia(api_key="wrong", base_url=url, max_retries=0).voices.list()
    except cartesia.APIStatusError as error:
        told["key"] = type(error).__name__
    return told


def _heard(context: object) -> dict[str, object]:
    return _gathered(context.receive())  # type: ignore[attr-defined]  # the package's own


def _gathered(events: Iterable[Any]) -> dict[str, object]:
    audio, words, types, phonemes = [], [], [], []
    for event in events:
        types.append(event.type)
        if getattr(event, "audio", None):
            audio.append(event.audio)
        if getattr(event, "word_timestamps", None):
            times = event.word_timestamps
            words += zip(times.words, times.start, times.end, strict=True)
        if getattr(event, "phoneme_timestamps", None):
            times = event.phoneme_timestamps
            phonemes += zip(times.phonemes, times.start, times.end, strict=True)
    heard = {"audio": handed(audio), "words": words, "phonemes": phonemes}
    return {**heard, "types": sorted(set(types)), "last": types[-1]}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
