"""The `openai` package as it is: lists, files, streams, events, and what it makes of errors."""

from __future__ import annotations

import json
import sys
from base64 import b64decode

from guard import stay_here
from handing import handed

stay_here()

import openai  # noqa: E402 - behind the guard

TEXT = "It costs $4.50, doesn't it? Yes."


def main(url: str, key: str) -> dict[str, object]:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    speech = client.audio.speech
    models = [model.id for model in client.models.list()]
    found = client.models.retrieve("tts-1").id
    files = {}
    for kind in ("mp3", "opus", "aac", "flac", "wav", "pcm"):
        answer = speech.create(model="tts-1", voice="alloy", input=TEXT, response_format=kind)
        files[kind] = handed(answer.content)
    streaming = speech.with_streaming_response.create
    with streaming(model="tts-1", voice="nova", input=TEXT, response_format="pcm", speed=1.25) as answer:
        streamed = handed(answer.iter_bytes(4_800))
        request_id = answer.headers.get("x-request-id")
    with streaming(model="tts-1", voice="nova", input=TEXT, extra_body={"stream_format": "sse"}) as answer:
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    refused = {}
    for name, wrong in (("voice", {"voice": "nobody"}), ("speed", {"speed": 9.0})):
        try:
            speech.create(**{"model": "tts-1", "voice": "alloy", "input": TEXT, **wrong})
        except openai.APIStatusError as error:
            refused[name] = [type(error).__name__, error.code, error.param]
    try:
        openai.OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0).models.list()
    except openai.AuthenticationError as error:
        refused["key"] = [type(error).__name__, error.code, None]
    return {
        "version": openai.__version__,
        "models": models,
        "found": found,
        "files": files,
        "streamed": streamed,
        "request_id": request_id,
        "events": sorted({event["type"] for event in events}),
        "evented": handed(b64decode(event.get("audio", "")) for event in events),
        "refused": refused,
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
