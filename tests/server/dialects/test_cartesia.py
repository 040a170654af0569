"""Cartesia's dialect on a real server: what its packages, pipecat and LiveKit send, and what they read."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.conftest import Served
from voicewire.codecs.wav import header
from voicewire.server.dialects.cartesia_socket import FAILED_MAX, PARTS_MAX
from voicewire.types import Codec

WAIT_S = 30
RATE_HZ = 16_000
FORMAT = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": RATE_HZ}
LAST: dict[str, Any] = {"continue": False}
TEXT = "It costs $4.50, doesn't it? Yes. It does, indeed."


@pytest.fixture
async def socket(served: Served) -> AsyncIterator[ClientConnection]:
    headers = {"Authorization": f"Bearer {served.key}", "cartesia-version": "2026-08-14"}
    url = served.url.replace("http", "ws") + "/tts/websocket"
    async with connect(url, additional_headers=headers, proxy=None) as socket:
        yield socket


async def say(socket: ClientConnection, transcript: str, context: str = "c", **fields: Any) -> None:
    voice = {"mode": "id", "id": "f786b574-daa5-4673-aa0c-cbe3e8534c02"}
    message: dict[str, Any] = {"context_id": context, "model_id": "sonic-3", "transcript": transcript, "voice": voice}
    message |= {"output_format": FORMAT, "continue": True, "language": "en", "add_timestamps": True}
    await socket.send(json.dumps(message | fields))


async def hear(socket: ClientConnection, *until: str) -> list[dict[str, Any]]:
    """Take messages up to one of these types."""
    heard: list[dict[str, Any]] = []
    async with asyncio.timeout(WAIT_S):
        while not heard or heard[-1]["type"] not in until:
            heard.append(json.loads(await socket.recv()))
            assert heard[-1]["type"] in {*until, "chunk", "timestamps", "phoneme_timestamps", "flush_done"}, heard[-1]
    return heard


def audio_s(heard: list[dict[str, Any]]) -> float:
    chunks = [base64.b64decode(each["data"]) for each in heard if each["type"] == "chunk"]
    pcm = np.frombuffer(b"".join(chunks), "<i2").astype(np.float32) / (1 << 15)
    assert 0.01 < np.sqrt(np.mean(pcm**2)) < 0.5
    return len(pcm) / RATE_HZ


def words(heard: list[dict[str, Any]]) -> tuple[list[str], list[float], list[float]]:
    times = [each["word_timestamps"] for each in heard if each["type"] == "timestamps"]
    return tuple([value for each in times for value in each[name]] for name in ("words", "start", "end"))  # type: ignore[return-value]  # of three names


def phonemes(heard: list[dict[str, Any]]) -> list[tuple[str, float, float]]:
    times = [each["phoneme_timestamps"] for each in heard if each["type"] == "phoneme_timestamps"]
    return [each for told in times for each in zip(told["phonemes"], told["start"], told["end"], strict=True)]


async def test_one_utterance_with_its_words(socket: ClientConnection) -> None:
    await say(socket, TEXT, **LAST)
    heard = await hear(socket, "done")
    assert {each["context_id"] for each in heard} == {"c"}
    assert heard[-1] == {"type": "done", "context_id": "c", "done": True, "status_code": 200}
    spelt, starts, ends = words(heard)
    assert " ".join(spelt) == TEXT
    assert starts == sorted(starts)
    assert all(start < end for start, end in zip(starts, ends, strict=True))
    assert ends[-1] <= audio_s(heard)


@pytest.mark.parametrize("text", ["Bonjour ! Ça va ? Oui : très bien ; merci.", "- « Yes », he said …\n\n# No —\n…"])
async def test_words_join_to_the_text_with_marks_that_stand_alone(socket: ClientConnection, text: str) -> None:
    await say(socket, text, **LAST)
    heard = await hear(socket, "done")
    told, starts, ends = words(heard)
    assert " ".join(told).split() == text.split()
    assert starts == sorted(starts)
    assert ends == sorted(ends)
    assert ends[-1] <= audio_s(heard)


async def test_marks_that_come_behind_the_last_word_are_told(socket: ClientConnection) -> None:
    await say(socket, "Yes. ", max_buffer_delay_ms=0)
    heard = await hear(socket, "timestamps")
    await say(socket, "…", **LAST)
    heard += await hear(socket, "done")
    told, starts, ends = words(heard)
    assert told == ["Yes.", "…"]
    assert 0 < ends[0] <= starts[1] == ends[1] == pytest.approx(audio_s(heard))


async def test_what_is_flushed_is_said_to_be_and_times_go_on(socket: ClientConnection) -> None:
    await say(socket, "Hello there ")
    await say(socket, "my friend. ", flush=True)
    await say(socket, "And more.", flush=False)
    first = await hear(socket, "flush_done")
    assert first[-1]["flush_id"] == 1
    await say(socket, "", **LAST)
    rest = await hear(socket, "done")
    spelt, starts, _ = words(first + rest)
    assert " ".join(spelt) == "Hello there my friend. And more."
    assert starts == sorted(starts)
    assert words(rest)[1][0] >= audio_s(first), "times are counted from the beginning of the context"


async def test_phonemes_come_to_who_asks_and_their_times_go_on(socket: ClientConnection) -> None:
    await say(socket, "Hello there. ", flush=True, add_timestamps=False, add_phoneme_timestamps=True)
    await say(socket, "And more.", **LAST)
    first, rest = await hear(socket, "flush_done"), await hear(socket, "done")
    told = phonemes(first + rest)
    assert "".join(symbol for symbol, _, _ in told) == "hellothereandmore"  # the letters, of a tone
    assert all(start < end for _, start, end in told)
    assert all(before[2] <= after[1] for before, after in pairwise(told))
    assert phonemes(rest)[0][1] >= audio_s(first), "times are counted from the beginning of the context"
    assert told[-1][2] <= audio_s(first + rest)
    assert not words(first + rest)[0]
    types = [each["type"] for each in first]
    assert types.index("phoneme_timestamps") < types.index("chunk")
    await say(socket, "Hello.", "plain", **LAST)
    assert not phonemes(await hear(socket, "done"))


async def test_without_a_buffer_a_sentence_waits_for_nothing(socket: ClientConnection) -> None:
    await say(socket, "Hello there, friend.", max_buffer_delay_ms=0)
    heard = await hear(socket, "chunk")
    await say(socket, " How are you?", max_buffer_delay_ms=0)
    await say(socket, " ", **LAST)
    spelt, *_ = words(heard + await hear(socket, "done"))
    assert " ".join(spelt) == "Hello there, friend. How are you?"


async def test_after_cancel_nothing_of_the_context_follows(socket: ClientConnection) -> None:
    await say(socket, TEXT * 4, "long")
    await hear(socket, "chunk")
    await socket.send('{"cancel":true,"context_id":"long"}')
    await say(socket, "After that.", "next", **LAST)
    while (message := json.loads(await socket.recv()))["context_id"] == "long":
        assert message["type"] in {"chunk", "timestamps"}  # on its way when it was cancelled
    heard = await hear(socket, "done")
    assert {each["context_id"] for each in heard} == {"next"}


async def test_contexts_are_spoken_beside_each_other(socket: ClientConnection) -> None:
    for name in ("one", "two"):
        await say(socket, TEXT, name, **LAST)
    heard = await hear(socket, "done")
    heard += await hear(socket, "done")
    lengths = [audio_s([each for each in heard if each["context_id"] == name]) for name in ("one", "two")]
    assert lengths[0] == pytest.approx(lengths[1])


async def test_nothing_to_say_is_done_at_once(socket: ClientConnection) -> None:
    await say(socket, "", **LAST)
    assert [each["type"] for each in await hear(socket, "done")] == ["done"]


@pytest.mark.parametrize(
    ("fields", "code", "status"),
    [
        ({"voice": "nobody"}, "unknown_voice", 404),
        ({"model_id": "gpt"}, "unknown_model", 404),
        ({"output_format": {**FORMAT, "encoding": "pcm_s8"}}, "unsupported_format", 400),
        ({"output_format": {**FORMAT, "sample_rate": 1}}, "unsupported_format", 400),
    ],
)
async def test_a_refusal_names_its_context_and_the_socket_lives(
    socket: ClientConnection, fields: dict[str, Any], code: str, status: int
) -> None:
    await say(socket, TEXT, "wrong", **fields)
    [error] = await hear(socket, "error")
    assert (error["context_id"], error["error_code"], error["status_code"]) == ("wrong", code, status)
    await say(socket, "Well.", **LAST)
    assert (await hear(socket, "done"))[-1]["context_id"] == "c"


@pytest.mark.parametrize(
    ("text", "fields", "code"),
    [("long text. " * 2_000, {}, "text_too_long"), ("Well. ", {"voice": "nobody"}, "unknown_voice")],
)
async def test_nothing_of_a_context_follows_its_error(
    socket: ClientConnection, text: str, fields: dict[str, Any], code: str
) -> None:
    for _ in range(2):  # a name can be used again once the client has ended its context
        for _ in range(3):
            await say(socket, text, "wrong", **fields)
        await say(socket, "", "wrong", **fields, **LAST)
        await say(socket, "Well.", "next", **LAST)
        heard = await hear(socket, "error") + await hear(socket, "done")
        assert [each["error_code"] for each in heard if each["context_id"] == "wrong"] == [code]
        assert heard[-1]["context_id"] == "next"
    await say(socket, text, "wrong", **fields)
    await hear(socket, "error")
    await socket.send('{"cancel":true,"context_id":"wrong"}')
    await say(socket, "Well.", "wrong", **LAST)
    assert (await hear(socket, "done"))[-1]["context_id"] == "wrong"


@pytest.mark.parametrize(
    ("text", "fields", "code"),
    [("word " * 1_999, {}, "text_too_long"), ("Yes. ", {"flush": True}, "too_many_contexts")],
)
async def test_what_waits_behind_what_is_spoken_is_bounded(
    socket: ClientConnection, text: str, fields: dict[str, Any], code: str
) -> None:
    await say(socket, TEXT * 50, flush=True)
    for _ in range(PARTS_MAX + 1 if fields else 2):
        await say(socket, text, **fields)
    error = (await hear(socket, "error"))[-1]
    assert (error["error_code"], error["context_id"]) == (code, "c")
    await say(socket, "", **LAST)  # the end of the context that has failed
    await say(socket, "Well.", **LAST)
    heard = await hear(socket, "done")
    assert (words(heard)[0], audio_s(heard) < 2) == (["Well."], True)


async def test_of_failed_contexts_the_oldest_is_forgotten(socket: ClientConnection) -> None:
    for number in range(FAILED_MAX + 1):
        await say(socket, "Well.", f"c{number}", voice="nobody")
        await hear(socket, "error")
    await say(socket, "Well.", "c1", **LAST)
    await say(socket, "Well.", "c0", **LAST)
    assert {each["context_id"] for each in await hear(socket, "done")} == {"c0"}


@pytest.mark.parametrize("rubbish", ["", "[]", "{", '{"transcript":7}', '{"output_format":"raw"}', b"\x00\x01"])
async def test_rubbish_is_refused_and_the_socket_lives(socket: ClientConnection, rubbish: str | bytes) -> None:
    await socket.send(rubbish)
    assert (await hear(socket, "error"))[-1]["error_code"] == "bad_message"
    await say(socket, "Well.", **LAST)
    await hear(socket, "done")


async def test_old_packages_put_the_key_into_the_address(served: Served) -> None:
    url = served.url.replace("http", "ws") + f"/tts/websocket?api_key={served.key}&cartesia_version=2024-11-13"
    async with connect(url, proxy=None) as socket:
        await say(socket, "Well.", voice={"id": "alloy"}, **LAST)
        await hear(socket, "done")


async def test_voices_come_in_pages_and_are_searched_for(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.url, headers={"X-API-Key": served.key}, trust_env=False) as http:

        async def ids(**query: Any) -> tuple[list[str], bool]:
            answer = (await http.get("/voices", params=query)).json()
            return [voice["id"] for voice in answer["data"]], answer["has_more"]

        everybody, more = await ids()
        assert (len(everybody) > 100, more) == (True, False)
        first, second = await ids(limit=3), await ids(limit=3, starting_after=everybody[2])
        assert (first, second) == ((everybody[:3], True), (everybody[3:6], True))
        assert await ids(limit=3, ending_before=everybody[5]) == (everybody[2:5], True)
        assert await ids(limit=3, ending_before=everybody[2]) == (everybody[:2], False)
        assert await ids(limit=3, starting_after=everybody[-3]) == (everybody[-2:], False)
        assert await ids(limit=3, starting_after="gone") == ([], False)
        assert await ids(is_owner="true") == ([], False)
        women, _ = await ids(gender="feminine", q="en-us")
        assert women
        for id in women:
            voice = (await http.get(f"/voices/{id}")).json()
            assert voice["gender"] == "feminine"
        alias = (await http.get("/voices/f786b574-daa5-4673-aa0c-cbe3e8534c02")).json()
        assert alias["id"] == "f786b574-daa5-4673-aa0c-cbe3e8534c02"
        refused = await http.get("/voices", params={"limit": "many"})
        assert (refused.status_code, refused.json()["error_code"]) == (400, "bad_message")


async def test_over_http_it_is_the_same_speech(served: Served) -> None:
    async with httpx.AsyncClient(
        base_url=served.url, headers={"X-API-Key": served.key}, timeout=WAIT_S, trust_env=False
    ) as http:
        body = {"model_id": "sonic-2", "transcript": TEXT, "voice": "alloy", "output_format": FORMAT}
        raw = (await http.post("/tts/bytes", json=body)).content
        floats = {**FORMAT, "encoding": "pcm_f32le"}
        samples = np.frombuffer((await http.post("/tts/bytes", json={**body, "output_format": floats})).content, "<f4")
        assert np.allclose(samples, np.frombuffer(raw, "<i2") / (1 << 15), atol=2**-15)
        wav = await http.post("/tts/bytes", json={**body, "output_format": {**floats, "container": "wav"}})
        assert wav.headers["content-type"] == "audio/wav"
        assert wav.content == header(RATE_HZ, codec=Codec.PCM_F32LE) + samples.tobytes()
        events = (await http.post("/tts/sse", json={**body, "add_timestamps": True})).text.strip().split("\n\n")
        heard = [json.loads(event.partition("data: ")[2]) for event in events]
        assert [event.partition("\n")[0] for event in events] == [f"event: {each['type']}" for each in heard]
        assert heard[-1]["done"] is True
        assert audio_s(heard) == pytest.approx(len(raw) / 2 / RATE_HZ)
        assert " ".join(words(heard)[0]) == TEXT
        assert not phonemes(heard)
        smile = {**body, "add_timestamps": True, "transcript": "Well 😀"}
        events = (await http.post("/tts/sse", json=smile)).text.strip().split("\n\n")
        heard = [json.loads(event.partition("data: ")[2]) for event in events]
        assert "".join(words(heard)[0]) == "Well😀"
        assert words(heard)[2][-1] <= audio_s(heard)
        events = (await http.post("/tts/sse", json={**body, "add_phoneme_timestamps": True})).text.strip().split("\n\n")
        heard = [json.loads(event.partition("data: ")[2]) for event in events]
        assert "".join(symbol for symbol, _, _ in phonemes(heard)) == "".join(filter(str.isalnum, TEXT)).lower()
        assert 0 < phonemes(heard)[-1][2] <= audio_s(heard)
        assert not words(heard)[0]
        voices = (await http.get("/voices")).json()
        assert voices["has_more"] is False
        assert (await http.get("/voices", params={"starting_after": voices["data"][-1]["id"]})).json()["data"] == []
        assert (await http.get(f"/voices/{voices['data'][0]['id']}")).json() == voices["data"][0]
        refused = await http.post("/tts/bytes", json={**body, "voice": "nobody"})
        assert (refused.status_code, refused.json()["error_code"]) == (404, "unknown_voice")


@pytest.mark.parametrize("path", ["/tts/bytes", "/tts/sse"])
@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"transcript": ""}, "bad_message", "the message is not valid: transcript is empty"),
        ({"transcript": " \n"}, "bad_message", "the message is not valid: transcript is empty"),
        ({"transcript": None}, "bad_message", "the message is not valid: transcript is empty"),
        ({"output_format": {"container": "zip"}}, "unsupported_format", "the format is not supported: zip"),
        (
            {"output_format": {"container": "raw", "encoding": "mp3"}},
            "unsupported_format",
            "the format is not supported: raw mp3",
        ),
    ],
)
async def test_refusals_over_http(served: Served, path: str, fields: dict[str, Any], code: str, message: str) -> None:
    body = {"model_id": "sonic-2", "transcript": TEXT, "voice": "alloy", "output_format": FORMAT, **fields}
    async with httpx.AsyncClient(base_url=served.url, headers={"X-API-Key": served.key}, trust_env=False) as http:
        answer = await http.post(path, json=body)
    assert (answer.status_code, answer.json()["error_code"], answer.json()["message"]) == (400, code, message)
