"""Deepgram's dialect on a real server: Speak, Flush, Clear and Close, and files over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.conftest import Served
from tests.server.dialects.deepgram import RATE_HZ, WAIT_S, dial, hear, refused_handshake, say
from voicewire.codecs.wav import header
from voicewire.server.dialects.deepgram_parts import PARTS_MAX
from voicewire.types import Codec

TEXT = "It costs $4.50, doesn't it? Yes. It does, indeed."
SHORT = "It costs $4.50."


@pytest.fixture
async def socket(served: Served) -> AsyncIterator[ClientConnection]:
    async with dial(served, "/v1/speak", "aura-2-thalia-en") as socket:
        [metadata] = (await hear(socket, "Metadata"))[1]
        assert {"request_id", "model_name", "model_version", "model_uuid"} < metadata.keys()
        yield socket


def seconds(audio: bytes) -> float:
    pcm = np.frombuffer(audio, "<i2").astype(np.float32) / (1 << 15)
    assert 0.01 < np.sqrt(np.mean(pcm**2)) < 0.5
    return len(pcm) / RATE_HZ


async def test_flushed_follows_all_of_the_audio(socket: ClientConnection) -> None:
    for word in SHORT.split():
        await say(socket, "Speak", text=word + " ")
    await say(socket, "Flush")
    audio, [flushed] = await hear(socket, "Flushed")
    assert flushed == {"type": "Flushed", "sequence_id": 0}
    whole = seconds(audio)
    for _ in range(2):  # what is said behind a flush waits for it
        await say(socket, "Speak", text=SHORT)
        await say(socket, "Flush")
    for number in (1, 2):
        audio, [flushed] = await hear(socket, "Flushed")
        assert flushed["sequence_id"] == number
        assert seconds(audio) == pytest.approx(whole, abs=0.2)


async def test_nothing_of_before_follows_cleared(socket: ClientConnection) -> None:
    await say(socket, "Speak", text=TEXT * 4)
    await say(socket, "Flush")
    await say(socket, "Speak", text="never heard")
    await say(socket, "Clear")
    await hear(socket, "Cleared")
    await say(socket, "Speak", text="Yes.")
    await say(socket, "Flush")
    audio, messages = await hear(socket, "Flushed")
    assert len(messages) == 1
    assert seconds(audio) < 2


async def test_what_waits_behind_what_is_spoken_is_bounded(socket: ClientConnection) -> None:
    await say(socket, "Speak", text=TEXT * 50)
    await say(socket, "Flush")
    for _ in range(11):
        await say(socket, "Speak", text="word " * 200)
    assert (await hear(socket, "Error"))[1][-1]["code"] == "text_too_long"
    for _ in range(PARTS_MAX):
        await say(socket, "Speak", text="Yes.")
        await say(socket, "Flush")
    await say(socket, "Speak", text="Yes.")
    assert (await hear(socket, "Error"))[1][-1]["code"] == "too_many_contexts"
    await say(socket, "Clear")
    await hear(socket, "Cleared")
    await say(socket, "Speak", text="Yes.")
    await say(socket, "Flush")
    assert seconds((await hear(socket, "Flushed"))[0]) < 2


async def test_an_empty_flush_is_answered_and_close_ends_it(socket: ClientConnection) -> None:
    await say(socket, "Flush")
    assert (await hear(socket, "Flushed"))[0] == b""
    await say(socket, "Speak", text="Yes.")
    await say(socket, "Close")
    audio, _ = await hear(socket, "Flushed")
    assert seconds(audio) > 0
    with pytest.raises(ConnectionClosed) as ended:
        await asyncio.wait_for(socket.recv(), WAIT_S)
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1000


@pytest.mark.parametrize("rubbish", ["", "[]", '{"type":"Sing"}', '{"type":"Speak","text":7}', b"\x00"])
async def test_rubbish_is_refused_and_the_socket_lives(socket: ClientConnection, rubbish: str | bytes) -> None:
    await socket.send(rubbish)
    error = json.loads(await asyncio.wait_for(socket.recv(), WAIT_S))
    assert (error["type"], error["code"]) == ("Error", "bad_message")
    await say(socket, "Speak", text="Yes.")
    await say(socket, "Flush")
    assert seconds((await hear(socket, "Flushed"))[0]) > 0


@pytest.mark.parametrize("path", ["/v1/speak", "/v2/speak"])
@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("model=nope", 404, "UNKNOWN_VOICE"),
        ("model=%F0%9F%91%8D%0D%0Adg-error:%20x", 404, "UNKNOWN_VOICE"),
        ("encoding=mp3", 400, "UNSUPPORTED_FORMAT"),
        ("sample_rate=7", 400, "UNSUPPORTED_FORMAT"),
        ("sample_rate=many", 400, "BAD_MESSAGE"),
        ("speed=nan", 400, "BAD_MESSAGE"),
    ],
)
async def test_what_cannot_be_had_is_refused_at_the_handshake(
    served: Served, path: str, query: str, status: int, code: str
) -> None:
    assert await refused_handshake(served, f"{path}?{query}") == (status, code)
    assert await refused_handshake(served, f"{path}?{query}", key="wrong") == (401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    ("query", "media_type"),
    [
        ("", "audio/mpeg"),
        ("encoding=linear16", "audio/wav"),
        ("encoding=linear16&container=none&sample_rate=16000", "audio/pcm; rate=16000"),
        ("encoding=mulaw&container=none&sample_rate=8000", "audio/PCMU; rate=8000"),
        ("encoding=mulaw", "audio/PCMU; rate=8000"),
        ("encoding=alaw", "audio/PCMA; rate=8000"),
        ("encoding=linear16&container=none", "audio/pcm; rate=24000"),
        ("encoding=opus&container=ogg", "audio/ogg; codecs=opus"),
        ("encoding=flac", "audio/flac"),
        ("encoding=aac", "audio/aac"),
    ],
)
async def test_files_over_http(served: Served, query: str, media_type: str) -> None:
    headers = {"Authorization": f"Token {served.key}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S, trust_env=False) as http:
        answer = await http.post(f"/v1/speak?model=aura-2-thalia-en&{query}", json={"text": TEXT})
    assert (answer.status_code, answer.headers["content-type"].replace(";rate", "; rate")) == (200, media_type)
    assert answer.headers["dg-char-count"] == str(len(TEXT))
    assert len(answer.content) > 1_000


@pytest.mark.parametrize(
    ("model", "named"), [("aura-2-thalia-en", "aura-2-thalia-en"), ("aura-👍\r\nx: y", "aura-???x: y")]
)
async def test_a_model_is_named_in_a_header_as_far_as_one_can_say_it(served: Served, model: str, named: str) -> None:
    headers = {"Authorization": f"Token {served.key}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S, trust_env=False) as http:
        answer = await http.post("/v1/speak", params={"model": model}, json={"text": SHORT})
    assert (answer.status_code, answer.headers["dg-model-name"]) == (200, named)


async def test_wav_holds_the_same_samples_of_telephones(served: Served) -> None:
    headers = {"Authorization": f"Token {served.key}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S, trust_env=False) as http:
        bare = await http.post("/v1/speak?encoding=mulaw", json={"text": TEXT})
        wav = await http.post("/v1/speak?encoding=mulaw&container=wav", json={"text": TEXT})
    assert wav.headers["content-type"] == "audio/wav"
    assert wav.content == header(8_000, codec=Codec.MULAW) + bare.content


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("model=nobody", {"text": TEXT}, 404),
        ("encoding=midi", {"text": TEXT}, 400),
        ("sample_rate=many", {"text": TEXT}, 400),
        ("speed=nan", {"text": TEXT}, 400),
        ("", {"text": ""}, 400),
        ("", {"text": " "}, 400),
        ("", {"url": "http://127.0.0.1/"}, 400),
    ],
)
async def test_refusals_over_http(served: Served, query: str, body: dict[str, str], status: int) -> None:
    headers = {"Authorization": f"Token {served.key}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S, trust_env=False) as http:
        answer = await http.post(f"/v1/speak?{query}", json=body)
    refused(answer, status)


@pytest.mark.parametrize("path", ["/v1/speak", "/v2/speak"])
async def test_a_wrong_key_is_refused_as_they_read_it(served: Served, path: str) -> None:
    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as http:
        refused(await http.post(path, json={"text": TEXT}, headers={"Authorization": "Token wrong"}), 401)


def refused(answer: httpx.Response, status: int) -> None:
    assert (answer.status_code, bool(answer.json()["err_msg"])) == (status, True)
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_an_error_names_what_was_asked_for_and_no_more(served: Served) -> None:
    headers = {"Authorization": f"Token {served.key}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S, trust_env=False) as http:
        answer = await http.post("/v1/speak?encoding=zip", json={"text": TEXT})
    assert answer.json()["err_msg"] == answer.headers["dg-error"] == "the format is not supported: zip"
