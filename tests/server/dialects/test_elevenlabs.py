"""ElevenLabs' dialect on a real server: files, lines of JSON, and both of its sockets."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.conftest import Served

WAIT_S = 30
RATE_HZ = 16_000
PAUSE_S = 0.5  # behind a sentence, at most
TEXT = "It costs $4.50, doesn't it? Yes. It does, indeed."
VOICE = "21m00Tcm4TlvDq8ikWAM"
SPEECH = f"/v1/text-to-speech/{VOICE}"

Opens = Callable[..., Awaitable[ClientConnection]]


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"xi-api-key": served.key}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S, trust_env=False) as client:
        yield client


@pytest.fixture
async def opens(served: Served) -> AsyncIterator[Opens]:
    """Opens one of the sockets, with something in its address."""
    sockets: list[ClientConnection] = []

    async def open_socket(name: str, query: str = "") -> ClientConnection:
        url = f"{served.url.replace('http', 'ws')}{SPEECH}/{name}?output_format=pcm_{RATE_HZ}{query}"
        sockets.append(await connect(url, additional_headers={"xi-api-key": served.key}, proxy=None))
        return sockets[-1]

    yield open_socket
    for socket in sockets:
        await socket.close()


async def say(socket: ClientConnection, **fields: Any) -> None:
    await socket.send(json.dumps(fields))


async def hear(socket: ClientConnection, finals: int = 1) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []
    async with asyncio.timeout(WAIT_S):
        while sum(bool(each.get("isFinal")) for each in heard) < finals:
            heard.append(json.loads(await socket.recv()))
            assert "error" not in heard[-1], heard[-1]
    return heard


def seconds(data: bytes) -> float:
    pcm = np.frombuffer(data, "<i2").astype(np.float32) / (1 << 15)
    assert 0.01 < np.sqrt(np.mean(pcm**2)) < 0.5
    return len(pcm) / RATE_HZ


def audio(heard: list[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(each["audio"]) for each in heard if each.get("audio"))


def spelt(heard: list[dict[str, Any]]) -> str:
    return "".join(char for each in heard if each.get("alignment") for char in each["alignment"]["chars"])


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("mp3_44100_128", "audio/mpeg"),
        ("pcm_16000", "audio/pcm"),
        ("ulaw_8000", "audio/PCMU"),
        ("opus_48000_64", "audio/ogg"),
        ("wav_24000", "audio/wav"),
    ],
)
async def test_files_of_every_name(http: httpx.AsyncClient, name: str, media_type: str) -> None:
    for path in (SPEECH, f"{SPEECH}/stream"):
        body = {"text": TEXT, "model_id": "eleven_flash_v2_5", "voice_settings": {"stability": 0.5, "speed": 1.1}}
        answer = await http.post(path, params={"output_format": name}, json=body)
        assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, media_type)
        assert answer.headers["request-id"] == answer.headers["x-request-id"]
        assert len(answer.content) > 1_000


async def test_every_character_has_its_time(http: httpx.AsyncClient) -> None:
    query = {"output_format": f"pcm_{RATE_HZ}"}
    whole = (await http.post(f"{SPEECH}/with-timestamps", params=query, json={"text": TEXT})).json()
    alignment, length_s = whole["alignment"], seconds(base64.b64decode(whole["audio_base64"]))
    starts, ends = alignment["character_start_times_seconds"], alignment["character_end_times_seconds"]
    assert "".join(alignment["characters"]) == TEXT
    assert starts == sorted(starts)
    assert starts[1:] == ends[:-1]
    assert length_s - PAUSE_S < ends[-1] <= length_s
    lines = (await http.post(f"{SPEECH}/stream/with-timestamps", params=query, json={"text": TEXT})).text.splitlines()
    parts = [json.loads(line) for line in lines]
    assert b"".join(base64.b64decode(part["audio_base64"]) for part in parts) == base64.b64decode(whole["audio_base64"])
    assert "".join(char for part in parts if part["alignment"] for char in part["alignment"]["characters"]) == TEXT


async def test_the_lists_are_theirs_for_who_shows_a_key_as_they_do(http: httpx.AsyncClient, served: Served) -> None:
    models, voices = (await http.get("/v1/models")).json(), (await http.get("/v1/voices")).json()["voices"]
    assert {"model_id", "name", "can_do_text_to_speech", "languages"} < models[0].keys()
    assert {voice["category"] for voice in voices} == {"premade"}
    assert (await http.get("/v2/voices")).json()["has_more"] is False
    assert (await http.get(f"/v1/voices/{voices[0]['voice_id']}")).json() == voices[0]
    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as ours:
        answer = await ours.get("/v1/models", headers={"Authorization": f"Bearer {served.key}"})
        assert [model["id"] for model in answer.json()["models"]] == [model["model_id"] for model in models]


async def test_a_voice_that_is_spoken_with_is_found(http: httpx.AsyncClient) -> None:
    """Rachel's id, which everybody's program has, is in no list; voices have ids, and friendly names."""
    voice = (await http.get(f"/v1/voices/{VOICE}")).json()
    assert (voice["voice_id"], voice["category"]) == (VOICE, "premade")
    listed = (await http.get("/v1/voices")).json()["voices"]
    assert voice["name"] in {each["name"] for each in listed}
    assert (await http.get(f"/v1/voices/{listed[-1]['name']}")).json() == listed[-1]
    assert (await http.get("/v1/voices/nobody")).json()["detail"]["status"] == "unknown_voice"


@pytest.mark.parametrize("path", ["/v1/voices", "/v2/voices"])
async def test_voices_come_in_pages(http: httpx.AsyncClient, path: str) -> None:
    everybody = (await http.get(path)).json()
    assert (everybody["has_more"], everybody["next_page_token"]) == (False, None)
    assert everybody["total_count"] == len(everybody["voices"])
    query: dict[str, Any] = {"page_size": 70, "sort": "name", "sort_direction": "desc"}
    pages = [(await http.get(path, params=query)).json()]
    while token := pages[-1]["next_page_token"]:
        assert pages[-1]["has_more"] is True
        pages.append((await http.get(path, params={**query, "next_page_token": token})).json())
    names = [voice["name"].casefold() for page in pages for voice in page["voices"]]
    assert names == sorted((voice["name"].casefold() for voice in everybody["voices"]), reverse=True)
    assert {len(page["voices"]) for page in pages[:-1]} == {70}
    assert len((await http.get(path, params={"page_size": 1_000})).json()["voices"]) == 100, "their most"
    assert (await http.get(path, params={"page_size": 5, "next_page_token": "gone"})).json()["voices"] == []
    for wrong in ("0", "-1", "ten"):
        refused = await http.get(path, params={"page_size": wrong})
        assert (refused.status_code, refused.json()["detail"]["status"]) == (400, "bad_message")


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ({"search": "aVa"}, lambda voice: "ava" in str(voice).casefold()),
        ({"language": ["de", "eo"]}, lambda voice: voice["labels"]["language"][:2] in {"de", "eo"}),
        ({"gender": "female", "search": "en-us"}, lambda voice: "'female'" in str(voice) and "en-us" in str(voice)),
        ({"voice_ids": ["de", "en-us"]}, lambda voice: voice["voice_id"] in {"de", "en-us"}),
        ({"category": "cloned"}, lambda voice: False),  # noqa: ARG005 - there is none
    ],
)
async def test_voices_are_searched_for(
    http: httpx.AsyncClient, query: dict[str, Any], fits: Callable[[dict[str, Any]], bool]
) -> None:
    everybody = (await http.get("/v2/voices")).json()["voices"]
    found = (await http.get("/v2/voices", params=query)).json()
    assert {voice["voice_id"] for voice in found["voices"]} == {each["voice_id"] for each in everybody if fits(each)}
    assert found["total_count"] == len(found["voices"]) < len(everybody)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/text-to-speech/nobody", {"text": TEXT}, 404),
        (SPEECH, {"text": 7}, 400),
        (SPEECH, {"text": ""}, 400),
        (f"{SPEECH}/stream/with-timestamps", {"text": " "}, 400),
        (f"{SPEECH}?output_format=midi_1", {"text": TEXT}, 400),
        (f"{SPEECH}?output_format=pcm_", {"text": TEXT}, 400),
    ],
)
async def test_refusals_over_http(http: httpx.AsyncClient, path: str, body: dict[str, Any], status: int) -> None:
    answer = await http.post(path, json=body)
    assert (answer.status_code, bool(answer.json()["detail"]["message"])) == (status, True)


@pytest.mark.parametrize("path", ["/v1/voices", "/v1/voices/nobody", "/v1/models", "/v2/voices", SPEECH])
async def test_a_wrong_key_is_refused_as_they_read_it(served: Served, path: str) -> None:
    method = "POST" if path == SPEECH else "GET"
    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as http:
        answer = await http.request(method, path, headers={"xi-api-key": "wrong"})
        assert (answer.status_code, answer.json()["detail"]["status"]) == (401, "unauthorized")
        ours = await http.get("/v1/voices", headers={"Authorization": "Bearer wrong"})
        assert (ours.status_code, ours.json()["error"]["code"]) == (401, "unauthorized")


async def test_one_utterance_ends_its_connection(opens: Opens) -> None:
    socket = await opens("stream-input", "&model_id=eleven_flash_v2_5")
    await say(socket, text=" ", try_trigger_generation=True, voice_settings=None)
    for word in TEXT.split():
        await say(socket, text=word + " ", try_trigger_generation=True)
    await say(socket, text="")
    heard = await hear(socket)
    assert spelt(heard).strip() == TEXT
    assert seconds(audio(heard)) > 2
    assert all("contextId" not in each for each in heard)
    with pytest.raises(ConnectionClosed) as ended:
        await asyncio.wait_for(socket.recv(), WAIT_S)
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1000


@pytest.mark.parametrize("from_start", [False, True])
async def test_sentences_of_a_turn_join_and_their_times_go_on(opens: Opens, *, from_start: bool) -> None:
    """As pipecat reads them each alignment begins where the last ended; LiveKit asks for times from the start."""
    socket = await opens("multi-stream-input", "&auto_mode=true" + "&sync_alignment=true" * from_start)
    await say(socket, text=" ", context_id="c", voice_settings={"stability": 0.5})
    await say(socket, text="Hello there, friend.", context_id="c")
    await say(socket, text="")  # keeps the connection alive
    await say(socket, text="How are you?", context_id="c")
    await say(socket, context_id="c", flush=True)
    await say(socket, context_id="c", close_context=True)
    heard = await hear(socket)
    assert {each["contextId"] for each in heard} == {"c"}
    assert spelt(heard) == "Hello there, friend. How are you? "
    elapsed = 0
    for alignment in [each["alignment"] for each in heard if each.get("alignment")]:
        starts, lengths = alignment["charStartTimesMs"], alignment["charDurationsMs"]
        assert starts[0] == (elapsed if from_start else 0)
        elapsed = (0 if from_start else elapsed) + starts[-1] + lengths[-1]
    length_s = seconds(audio(heard))
    assert length_s - PAUSE_S < elapsed / 1000 <= length_s
    await say(socket, close_socket=True)
    with pytest.raises(ConnectionClosed):
        await asyncio.wait_for(socket.recv(), WAIT_S)


@pytest.mark.parametrize(
    ("kind", "mode", "joined"),
    [
        ("multi-stream-input", "&auto_mode=true", "Bonjo ur le monde. "),
        ("multi-stream-input", "", "Bonjour le monde."),
        ("stream-input", "&auto_mode=true", "Bonjour le monde."),
    ],
)
async def test_only_where_each_message_is_a_phrase_a_cut_word_is_two(
    opens: Opens, kind: str, mode: str, joined: str
) -> None:
    socket = await opens(kind, mode)
    for text in ("Bonjo", "ur le monde."):
        await say(socket, text=text, context_id="c")
    if kind == "stream-input":
        await say(socket, text="")
    else:
        await say(socket, context_id="c", flush=True)
        await say(socket, context_id="c", close_context=True)
    assert spelt(await hear(socket)) == joined


@pytest.mark.parametrize("flushed", [False, True])
async def test_a_context_that_is_interrupted_is_silent(opens: Opens, *, flushed: bool) -> None:
    socket = await opens("multi-stream-input")
    await say(socket, text=TEXT * 4, context_id="long")
    if flushed:
        await say(socket, context_id="long", flush=True)
        await say(socket, context_id="long", close_context=True)
    await say(socket, context_id="long", close_context=True)
    await say(socket, text="After that.", context_id="next", flush=True)
    await say(socket, context_id="next", close_context=True)
    heard = await hear(socket, finals=2)
    final = next(at for at, each in enumerate(heard) if each.get("isFinal"))
    assert heard[final]["contextId"] == "long"
    assert {each["contextId"] for each in heard[final + 1 :]} == {"next"}
    assert seconds(audio(heard[final + 1 :])) < 3


async def test_mp3_and_opus_are_made_for_the_socket(served: Served) -> None:
    for name, begins in (("mp3_22050_32", b"\xff"), ("opus_48000_32", b"OggS")):
        url = f"{served.url.replace('http', 'ws')}{SPEECH}/multi-stream-input?output_format={name}"
        async with connect(url, additional_headers={"xi-api-key": served.key}, proxy=None) as socket:
            await say(socket, text=TEXT, context_id="c", flush=True)
            await say(socket, context_id="c", close_context=True)
            file = audio(await hear(socket))
        assert file.startswith(begins)
        assert len(file) > 5_000


@pytest.mark.parametrize("rubbish", ["", "[]", '{"text":7}', b"\x00"])
async def test_rubbish_is_refused_and_several_live_on(opens: Opens, rubbish: str | bytes) -> None:
    socket = await opens("multi-stream-input")
    await socket.send(rubbish)
    assert json.loads(await asyncio.wait_for(socket.recv(), WAIT_S))["error"] == "bad_message"
    await say(socket, text="Well.", context_id="c", flush=True)
    await say(socket, context_id="c", close_context=True)
    assert seconds(audio(await hear(socket))) > 0


async def test_an_unknown_voice_ends_the_single_one_with_its_reason(served: Served) -> None:
    url = served.url.replace("http", "ws") + "/v1/text-to-speech/nobody/stream-input"
    async with connect(url, additional_headers={"xi-api-key": served.key}, proxy=None) as socket:
        await say(socket, text="Well. ")
        assert json.loads(await asyncio.wait_for(socket.recv(), WAIT_S))["error"] == "unknown_voice"
        with pytest.raises(ConnectionClosed) as ended:
            await asyncio.wait_for(socket.recv(), WAIT_S)
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.reason == "unknown_voice"
