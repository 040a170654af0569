"""The Wyoming protocol on a real server, as Home Assistant speaks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from zeroconf import ServiceStateChange

from tests.conftest import started
from tests.ports import free_port
from tests.server.dialects.test_announcement import browsing
from voicewire.server.dialects.wyoming_events import Event, read, serialize

WAIT_S = 30
TEXT = "It costs $4.50, doesn't it? Yes. It does, indeed."
Talk = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def port(module_port: int) -> Iterator[int]:
    with started({"VOICEWIRE_WYOMING_PORT": str(module_port), "VOICEWIRE_WYOMING_ANNOUNCE": "on"}):
        yield module_port


@pytest.fixture(scope="module")
def module_port() -> int:
    return free_port()


@pytest.fixture
async def talk(port: int) -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    yield reader, writer
    writer.close()


async def hear(talk: Talk, until: str) -> list[Event]:
    heard: list[Event] = []
    async with asyncio.timeout(WAIT_S):
        while not heard or heard[-1].type != until:
            event = await read(talk[0])
            assert event is not None, f"it ended, after {[each.type for each in heard]}"
            heard.append(event)
    return heard


def say(talk: Talk, type: str, **data: object) -> None:
    talk[1].write(serialize(Event(type, data)))


def seconds(heard: list[Event]) -> float:
    pcm = np.frombuffer(b"".join(each.payload for each in heard), "<i2").astype(np.float32) / (1 << 15)
    assert 0.01 < np.sqrt(np.mean(pcm**2)) < 0.5
    return len(pcm) / int(heard[0].data["rate"])


async def test_it_is_found_where_it_is(port: int) -> None:
    async with browsing() as browser:
        name = await browser.until(ServiceStateChange.Added, port)
        assert await browser.asked(name) == (["127.0.0.1"], port)


async def test_it_says_what_can_be_spoken(talk: Talk) -> None:
    say(talk, "describe")
    [info] = await hear(talk, "info")
    program = info.data["tts"][0]
    assert program["supports_synthesize_streaming"] is True
    assert program["installed"] is True
    assert all(voice["name"] and voice["languages"] for voice in program["voices"])


async def test_one_text_has_one_start_and_one_stop(talk: Talk) -> None:
    say(talk, "synthesize", text=TEXT)
    heard = await hear(talk, "audio-stop")
    assert [each.type for each in heard].count("audio-start") == 1
    assert {(each.data["rate"], each.data["width"], each.data["channels"]) for each in heard[:-1]} == {
        (heard[0].data["rate"], 2, 1)
    }
    assert seconds(heard[:-1]) > 2
    say(talk, "synthesize", text="")
    assert [each.type for each in await hear(talk, "audio-stop")] == ["audio-start", "audio-stop"]
    say(talk, "ping", text="still there?")
    assert (await hear(talk, "pong"))[-1].data == {"text": "still there?"}


async def test_a_text_is_spoken_while_it_is_written_and_its_double_is_not(talk: Talk) -> None:
    say(talk, "synthesize-start", voice={"name": "alloy"})
    for piece in ("It costs ", "$4.50, does", "n't it? "):
        say(talk, "synthesize-chunk", text=piece)
    first = await hear(talk, "audio-chunk")
    say(talk, "select-program", name="whatever")
    say(talk, "synthesize-chunk", text="Yes. It does, indeed.")
    say(talk, "synthesize", text=TEXT, voice={"name": "alloy"})
    say(talk, "synthesize-stop")
    heard = first + await hear(talk, "synthesize-stopped")
    assert heard[-2].type == "audio-stop"
    assert 2 < seconds(heard[:-2]) < 5


@pytest.mark.parametrize("rubbish", [b"rubbish\n", b'{"type":7}\n', b'{"type":"x","data_length":-1}\n', b"[" * 70_000])
async def test_rubbish_ends_its_connection_and_no_other(talk: Talk, port: int, rubbish: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(rubbish)
    assert (await hear((reader, writer), "error"))[-1].data["code"] in {"bad_message", "too_large"}
    assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
    writer.close()
    say(talk, "synthesize", text="Well.")
    assert seconds((await hear(talk, "audio-stop"))[:-1]) > 0


async def test_an_unknown_voice_is_said_and_ends_the_connection(talk: Talk) -> None:
    say(talk, "synthesize", text=TEXT, voice={"name": "nobody"})
    assert (await hear(talk, "error"))[-1].data["code"] == "unknown_voice"
    assert await asyncio.wait_for(talk[0].read(), WAIT_S) == b""
