"""Our clients speak into calls: they are told of keys, and what else they say comes to themselves."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Served
from tests.telephony.app import new_call, token_for
from tests.telephony.carrier import Phone, connected
from voicewire.client import StreamClient, connect
from voicewire.frames import Call, Cancelled, Done, FormatRequest
from voicewire.script import Audio
from voicewire.types import CallEvent, Codec, Marks
from voicewire.utterance import Speech

CLIENT = Path(__file__).parents[2] / "clients/javascript/src/node.js"
STORY = "One two three four five six seven eight. " * 9
WITHIN_S = 60
PROGRAM = """
const [source, url, key, call, story] = process.argv.slice(1);
const { Client } = await import(source);
const client = new Client(url, { key });
const here = client.speak("Hello there.", { format: { codec: "pcm_s16le", rate: 8000 } });
const there = client.speak(story, { to: `call:${call}`, marks: "word" });
let samples = 0;
for await (const event of here)
  if (event.type === "audio") samples += event.packets.reduce((sum, packet) => sum + packet.length / 2, 0);
const heard = [];
for await (const event of there) {
  heard.push(event.type === "call" ? event.event : event.type);
  if (event.event === "heard") console.error("heard");
  if (event.event === "digit") there.cancel();
}
const { audio_ms } = await here.finished;
console.log(JSON.stringify({ samples, audio_ms, heard, text: there.textOf((await there.finished).heard) }));
client.close();
"""


@asynccontextmanager
async def telling(answering: Served, **options: Any) -> AsyncIterator[tuple[Phone, StreamClient, Speech]]:
    """Have our client tell the story into a call."""
    call = new_call()
    token = await token_for(answering, call)
    async with (
        connected(answering.url, call, token) as phone,
        connect(answering.url, answering.key) as client,
        asyncio.timeout(WITHIN_S),
        client.speak(STORY, to=f"call:{call}", **options) as speech,
    ):
        yield phone, client, speech


async def test_python_is_told_of_a_call_and_keeps_its_own_audio(answering: Served) -> None:
    async with (
        telling(answering, marks=Marks.WORD) as (phone, client, there),
        client.speak("Hello there.", format=FormatRequest(Codec.MULAW, 8_000)) as here,
    ):
        events = [event async for event in here]
        audio = b"".join(packet for event in events if isinstance(event, Audio) for packet in event.packets)
        assert isinstance(events[-1], Done)
        assert len(audio) / 8 == events[-1].audio_ms > 0
        told = []
        async for event in there:
            assert not isinstance(event, Audio)
            if isinstance(event, Call):
                told.append(event.event)
                if event.event is CallEvent.HEARD and told.count(CallEvent.HEARD) == 1:
                    await phone.press("1")
                elif event.event is CallEvent.DIGIT:
                    await there.cancel()
        assert {CallEvent.HEARD, CallEvent.DIGIT} == set(told)
        assert isinstance(event, Cancelled)
        assert there.text_of(event.heard).startswith("One")


async def test_python_is_told_that_the_caller_hung_up(answering: Served) -> None:
    async with telling(answering) as (phone, _, speech):
        await phone.sounding.wait()
        await phone.hang_up()
        *_, before, last = [event async for event in speech]
        assert isinstance(before, Call)
        assert before.event is CallEvent.ENDED
        assert isinstance(last, Cancelled)


@pytest.mark.nightly
@pytest.mark.parametrize("happens", ["digit", "ended"])
async def test_so_is_javascript(answering: Served, happens: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    call = new_call()
    token = await token_for(answering, call)
    async with connected(answering.url, call, token) as phone, asyncio.timeout(WITHIN_S):
        command = (
            node,
            "--input-type=module",
            "-e",
            PROGRAM,
            CLIENT.as_uri(),
            answering.url,
            answering.key,
            call,
            STORY,
        )
        program = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert program.stderr
        assert program.stdout
        assert await program.stderr.readline() == b"heard\n"
        await (phone.press("1") if happens == "digit" else phone.hang_up())
        told = json.loads(await program.stdout.read())
        await program.stderr.read()
        assert await program.wait() == 0
    assert told["samples"] / 8 == told["audio_ms"] > 0
    assert {"opened", "words", "heard", happens} < set(told["heard"])
    assert told["heard"][-1] == "cancelled"
    assert told["text"].startswith("One")
