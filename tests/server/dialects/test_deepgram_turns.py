"""Deepgram's turns on a real server: Speak, Flush, Interrupt, Configure and Close, and files over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.conftest import Served
from tests.server.dialects.deepgram import RATE_HZ, WAIT_S, Heard, dial, hear, say

BYTES_PER_MS = RATE_HZ * 2 // 1_000
TEXT = "It costs $4.50, doesn't it? Yes. It does, indeed."
LONG = "This sentence goes on for a while. And this one follows it. "
SHORT = "It does, indeed."
VOICE = "flux-alexis-en"
PATH = "/v2/speak"


@pytest.fixture
async def socket(served: Served) -> AsyncIterator[ClientConnection]:
    async with dial(served, PATH, VOICE) as socket:
        [connected] = (await hear(socket, "Connected"))[1]
        assert connected["model_name"] == VOICE
        assert connected["model_uuids"]
        yield socket


async def turn(socket: ClientConnection, text: str) -> Heard:
    await say(socket, "Speak", text=text)
    await say(socket, "Flush")
    return await hear(socket, "SpeechMetadata")


async def interrupt(socket: ClientConnection, offset_ms: int | None = None) -> tuple[bytes, dict[str, Any]]:
    offset = {"playback_offset": {"type": "time_ms", "value": offset_ms}}
    await say(socket, "Interrupt", **({} if offset_ms is None else offset))
    audio, messages = await hear(socket, "SpeechInterrupted")
    return audio, messages[-1]


async def test_all_of_the_audio_of_a_turn_stands_between_its_start_and_its_metadata(socket: ClientConnection) -> None:
    for word in TEXT.split():
        await say(socket, "Speak", text=word + " ")
    await say(socket, "Flush")
    audio, messages = await hear(socket, "SpeechMetadata")
    assert [message["type"] for message in messages] == ["SpeechStarted", "Flushed", "SpeechMetadata"]
    assert len({message["speech_id"] for message in messages}) == 1
    metadata = messages[-1]
    assert 2_000 < metadata["audio_duration_ms"] == len(audio) / BYTES_PER_MS < 6_000
    assert metadata["input_character_count"] == metadata["billable_character_count"] == len(TEXT) + 1


async def test_turns_wait_for_one_another(socket: ClientConnection) -> None:
    for _ in range(3):
        await say(socket, "Speak", text=SHORT)
        await say(socket, "Flush")
    turns = [await hear(socket, "SpeechMetadata") for _ in range(3)]
    assert len({messages[0]["speech_id"] for _, messages in turns}) == 3
    for audio, messages in turns:
        assert [message["type"] for message in messages] == ["SpeechStarted", "Flushed", "SpeechMetadata"]
        assert messages[-1]["audio_duration_ms"] == len(audio) / BYTES_PER_MS > 500


async def test_an_interruption_says_what_was_heard_and_is_followed_by_silence(socket: ClientConnection) -> None:
    text = LONG * 40
    await say(socket, "Speak", text=text)
    await hear(socket, "SpeechStarted")
    size = 0
    while size < 2_000 * BYTES_PER_MS:
        data = await asyncio.wait_for(socket.recv(), WAIT_S)
        assert isinstance(data, bytes)
        size += len(data)
    await say(socket, "Speak", text="And behind it.")
    await say(socket, "Flush")
    await say(socket, "Speak", text="Never begun.")
    _, told = await interrupt(socket, 1_500)
    assert told["audio_played_ms"] == 1_500
    assert 0 < len(told["text_spoken"]) < len(LONG)
    assert told["text_spoken"] + told["text_remaining"] == text + "And behind it.Never begun."
    assert told["metadata"]["input_character_count"] == len(text) + len("And behind it.")
    audio, messages = await turn(socket, "Yes.")
    assert [message["type"] for message in messages] == ["SpeechStarted", "Flushed", "SpeechMetadata"]
    assert messages[-1]["audio_duration_ms"] == len(audio) / BYTES_PER_MS < 2_000


async def test_what_was_sent_whole_can_be_interrupted_until_it_is_heard(socket: ClientConnection) -> None:
    first, _ = await turn(socket, SHORT)
    second, _ = await turn(socket, LONG)
    before_ms, all_ms = len(first) // BYTES_PER_MS, len(first + second) // BYTES_PER_MS
    audio, told = await interrupt(socket, before_ms + 1_000)
    assert audio == b""
    assert told["audio_played_ms"] == before_ms + 1_000
    assert told["metadata"]["audio_duration_ms"] == all_ms - before_ms
    spoken = told["text_spoken"]
    assert "This" in spoken
    assert "follows" not in spoken
    assert LONG[len(spoken)] == " ", "it is cut between words"
    assert spoken + told["text_remaining"] == LONG
    await say(socket, "Interrupt", playback_offset={"type": "time_ms", "value": before_ms})
    assert (await hear(socket, "Warning"))[1][-1]["code"] == "INVALID_INTERRUPT_OFFSET"
    await turn(socket, SHORT)  # the clock goes on from where it was interrupted
    assert (await interrupt(socket, before_ms + 1_000))[1]["text_remaining"] == SHORT


async def test_an_interruption_in_one_turn_takes_the_next_with_it(socket: ClientConnection) -> None:
    await turn(socket, TEXT)
    await say(socket, "Speak", text=LONG * 20)
    await hear(socket, "SpeechStarted")
    _, told = await interrupt(socket, 500)
    assert told["text_spoken"] + told["text_remaining"] == TEXT + LONG * 20
    assert 0 < len(told["text_spoken"]) < len(TEXT)
    assert told["metadata"]["input_character_count"] == len(TEXT)


async def test_without_an_offset_all_that_came_was_played(socket: ClientConnection) -> None:
    await say(socket, "Speak", text=LONG * 40)
    await hear(socket, "SpeechStarted")
    early = await asyncio.wait_for(socket.recv(), WAIT_S)
    assert isinstance(early, bytes)
    audio, told = await interrupt(socket)
    assert told["audio_played_ms"] == told["metadata"]["audio_duration_ms"] == len(early + audio) / BYTES_PER_MS
    assert not {"text_spoken", "text_remaining"} & told.keys()


async def test_what_cannot_be_done_is_a_warning(socket: ClientConnection) -> None:
    await say(socket, "Flush")
    assert (await hear(socket, "Warning"))[1][-1]["code"] == "NO_ACTIVE_SPEECH"
    await say(socket, "Interrupt")
    assert (await hear(socket, "Warning"))[1][-1]["code"] == "NO_AUDIO_GENERATED"
    for nothing in (" ", "..."):
        audio, messages = await turn(socket, nothing)
        assert [message["type"] for message in messages] == ["SpeechStarted", "Warning", "Flushed", "SpeechMetadata"]
        assert messages[1]["code"] == "NO_SYNTHESIZABLE_TEXT"
        assert (audio, messages[-1]["audio_duration_ms"]) == (b"", 0)
    await turn(socket, "Yes.")
    await say(socket, "Interrupt")
    assert (await hear(socket, "Warning"))[1][-1]["code"] == "NO_ACTIVE_SPEECH"


async def test_a_speed_holds_from_the_next_turn_on(socket: ClientConnection) -> None:
    slow, _ = await turn(socket, TEXT)
    await say(socket, "Configure", speed=2.0)
    assert (await hear(socket, "ConfigureSuccess"))[1][-1]["applied"] == {"speed": 2.0}
    fast, _ = await turn(socket, TEXT)
    assert 0.4 < len(fast) / len(slow) < 0.7
    await say(socket, "Configure", speed=9)
    failure = (await hear(socket, "ConfigureFailure"))[1][-1]
    assert (failure["code"], failure["field"], failure["value"]) == ("SPEED_OUT_OF_RANGE", "speed", 9)
    await say(socket, "Configure")
    assert (await hear(socket, "ConfigureSuccess"))[1][-1]["applied"] == {"speed": 2.0}


async def test_close_speaks_what_is_there_and_tells_the_totals(socket: ClientConnection) -> None:
    first, _ = await turn(socket, TEXT)
    await say(socket, "Speak", text="Yes.")
    await say(socket, "Close")
    last, messages = await hear(socket, "SessionMetadata")
    assert [message["type"] for message in messages][1:] == ["Flushed", "SpeechMetadata", "SessionMetadata"]
    totals = messages[-1]
    assert totals["total_audio_duration_ms"] == len(first + last) / BYTES_PER_MS
    assert totals["total_input_character_count"] == len(TEXT) + len("Yes.")
    with pytest.raises(ConnectionClosed) as ended:
        await asyncio.wait_for(socket.recv(), WAIT_S)
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1000


@pytest.mark.parametrize(
    ("rubbish", "code"),
    [
        ("[]", "bad_message"),
        ('{"type":"Sing"}', "bad_message"),
        ('{"type":"Configure","speed":"fast"}', "bad_message"),
        ('{"type":"Interrupt","playback_offset":{"type":"words","value":1}}', "bad_message"),
        ('{"type":"Interrupt","playback_offset":{"type":"time_ms","value":-1}}', "bad_message"),
        (json.dumps({"type": "Speak", "text": "long " * 3_000}), "text_too_long"),
    ],
)
async def test_rubbish_is_refused_and_the_socket_lives(socket: ClientConnection, rubbish: str, code: str) -> None:
    await socket.send(rubbish)
    assert (await hear(socket, "Error"))[1][-1]["code"] == code
    assert (await turn(socket, "Yes."))[0]


async def test_files_over_http(served: Served) -> None:
    headers = {"Authorization": f"Token {served.key}"}
    address = f"{PATH}?model={VOICE}&encoding=linear16&container=none&sample_rate={RATE_HZ}"
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S, trust_env=False) as http:
        answer = await http.post(address, json={"text": TEXT})
    assert (answer.status_code, answer.headers["dg-model-name"]) == (200, VOICE)
    assert 2_000 < len(answer.content) / BYTES_PER_MS < 6_000
