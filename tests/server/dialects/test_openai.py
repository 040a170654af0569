"""OpenAI's dialect on a real server, by plain HTTP: what is said back, byte for byte where it counts."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import av
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import Served

TEXT = "It costs $4.50, doesn't it? Yes. It does, indeed."
WAIT_S = 30
TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg; codecs=opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {served.key}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S, trust_env=False) as client:
        yield client


async def speech(http: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    body = {"model": "tts-1", "voice": "alloy", "input": TEXT, **fields}
    return await http.post("/v1/audio/speech", json={name: value for name, value in body.items() if value is not None})


def samples_of(data: bytes) -> NDArray[np.float32]:
    resampler = av.AudioResampler("flt", "mono", 24_000)
    with av.open(io.BytesIO(data), "r") as container:
        frames = [frame for raw in container.decode(container.streams.audio[0]) for frame in resampler.resample(raw)]
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])


async def test_every_format_holds_the_same_speech(http: httpx.AsyncClient) -> None:
    bare = await speech(http, response_format="pcm")
    assert (bare.status_code, bare.headers["content-type"]) == (200, TYPES["pcm"])
    pcm = np.frombuffer(bare.content, "<i2").astype(np.float32) / (1 << 15)
    assert 2 < len(pcm) / 24_000 < 8
    assert 0.02 < np.sqrt(np.mean(pcm**2)) < 0.5
    for name in ("mp3", "opus", "aac", "flac", "wav"):
        answer = await speech(http, response_format=name)
        assert answer.headers["content-type"] == TYPES[name]
        assert len(samples_of(answer.content)) == pytest.approx(len(pcm), abs=4_096), name
    absent = await speech(http)
    assert absent.headers["content-type"] == TYPES["mp3"]


async def test_events_carry_the_same_file(http: httpx.AsyncClient) -> None:
    answer = await speech(http, response_format="pcm", stream_format="sse")
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    *deltas, done = [json.loads(line[6:]) for line in lines]
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    assert done["type"] == "speech.audio.done"
    assert done["usage"]["total_tokens"] > 0
    whole = b"".join(base64.b64decode(delta["audio"]) for delta in deltas)
    assert whole == (await speech(http, response_format="pcm")).content


async def test_speed_changes_the_length_and_strange_fields_nothing(http: httpx.AsyncClient) -> None:
    usual = len((await speech(http, response_format="pcm")).content)
    fields = {"instructions": "calm", "voice": {"id": "nova"}, "x_mine": {"deep": [1]}, "stream_format": None}
    assert len((await speech(http, response_format="pcm", **fields)).content) > 0
    fast = len((await speech(http, response_format="pcm", speed=2.0)).content)
    assert fast < 0.75 * usual
    faster = await speech(http, response_format="pcm", speed=4.0)
    assert len(faster.content) == fast, "twice is as fast as we speak"


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"voice": "nobody"}, 404, "unknown_voice", "voice"),
        ({"model": "gpt-9"}, 404, "unknown_model", "model"),
        ({"response_format": "midi"}, 400, "bad_message", None),
        ({"speed": 9}, 400, "bad_message", None),
        ({"input": None}, 400, "bad_message", None),
        ({"input": 7}, 400, "bad_message", None),
        ({"input": ""}, 400, "bad_message", "input"),
        ({"input": " \n"}, 400, "bad_message", "input"),
    ],
)
async def test_a_refusal_is_one_as_openais_packages_read_it(
    http: httpx.AsyncClient, fields: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    answer = await speech(http, **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-request-id"]


async def test_half_a_character_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/audio/speech", content=rb'{"input":"\ud800","voice":"alloy"}')
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_message")


async def test_a_wrong_key_is_refused(served: Served) -> None:
    body = {"model": "tts-1", "voice": "alloy", "input": TEXT}
    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as http:
        for headers in ({"Authorization": "Bearer sk-wrong"}, {"xi-api-key": "wrong"}):
            answer = await http.post("/v1/audio/speech", json=body, headers=headers)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"], error["type"]) == (401, "unauthorized", "authentication_error")
            assert answer.headers["x-should-retry"] == "false"
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["xi-api-key", "X-API-Key"])
async def test_every_spelling_of_a_key_is_taken(served: Served, header: str) -> None:
    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as http:
        assert (await http.get("/v1/models", headers={header: served.key})).status_code == 200
        assert (await http.get("/v1/models", headers={"Authorization": f"Token {served.key}"})).status_code == 200


async def test_the_lists_that_clients_ask_for(http: httpx.AsyncClient, served: Served) -> None:
    models = (await http.get("/v1/models")).json()
    assert models["object"] == "list"
    assert {model["object"] for model in models["data"]} == {"model"}
    ours, told = [model["id"] for model in models["models"]], [model["id"] for model in models["data"]]
    assert told == [*ours, "tts-1", "tts-1-hd", "gpt-4o-mini-tts"]
    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as stranger:
        voices = (await stranger.get("/v1/audio/voices")).json()["voices"]
        assert {"id", "name", "model", "language"} == set(voices[0])
        assert (await stranger.get("/v1/audio/models")).json()["models"][0]["id"] == models["data"][0]["id"]


async def test_a_model_is_found_by_every_name_that_is_taken(http: httpx.AsyncClient) -> None:
    for name in [model["id"] for model in (await http.get("/v1/models")).json()["data"]] + ["tts-1-1106"]:
        model = (await http.get(f"/v1/models/{name}")).json()
        assert (model["id"], model["object"], model["owned_by"]) == (name, "model", "voicewire")
    for prefix in ("", "/openai"):
        missing = await http.get(f"{prefix}/v1/models/gpt-9")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "unknown_model")
