"""The reader over a network that breaks: it goes on by itself, exactly, or begins again at the word being heard."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest
from playwright.async_api import WebSocketRoute

from tests.browser.conftest import OpenPage, Served
from tests.browser.reader_page import ReaderPage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

TEXT = (
    "One thing after the other. The first of them is a long sentence, long enough to be cut in the middle of it. "
    "The second is shorter, and the third is the last: here it ends."
)
LITTLE_LEAD = """
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function (data) {
    send.call(this, data.replace(/"lead_ms":\\d+/, '"lead_ms":1500'));
  };
"""  # so that much is still to come when the connection breaks
STREAM = "**/v1/stream"


async def play_to_the_end(reader: ReaderPage) -> float:
    """Return how much audio the server announced, once all of it was played."""
    await reader.until("idle")
    assert await reader.notice() == "That was the end."
    return float(sum(message["audio_ms"] for message in reader.told if message["type"] == "done"))


async def test_it_goes_on_exactly_when_the_connection_breaks(open_page: OpenPage, served: Served) -> None:
    reader = await open_page(LITTLE_LEAD, origin=served.network.origin, fragment=f"#key={served.key}")
    await reader.play(TEXT)
    for reconnects, part in enumerate(("thing", "other", "first"), 1):
        await reader.until_heard(part)
        served.network.cut()
        await reader.page.wait_for_function("(count) => window.voicewire.reconnects === count", arg=reconnects)
    audio_ms = await play_to_the_end(reader)
    assert await reader.get("window.voicewire.playedMs") == pytest.approx(audio_ms, abs=1)
    assert len(reader.spoken()) == 1
    received = [seq for _, first, count in reader.frames for seq in range(first, first + count)]
    assert all(after <= before + 1 for before, after in pairwise(received)), "there is a hole"
    assert set(received) == set(range(round(audio_ms / 20)))


@pytest.mark.nightly
async def test_an_outage_is_told_and_outlived(open_page: OpenPage, served: Served) -> None:
    harmless = ("WebSocket connection to", "Failed to load resource")
    reader = await open_page(
        LITTLE_LEAD, origin=served.network.origin, fragment=f"#key={served.key}", harmless=harmless
    )
    await reader.page.select_option("#speed", "2")
    await reader.play(TEXT)
    await reader.until_heard("thing")
    served.network.down(True)
    served.network.cut()
    await reader.page.wait_for_function("() => document.querySelector('#notice p').textContent.includes('Connecting')")
    served.network.down(False)
    await reader.page.wait_for_function("() => !document.querySelector('#notice p').textContent")
    audio_ms = await play_to_the_end(reader)
    assert await reader.get("window.voicewire.playedMs") == pytest.approx(audio_ms, abs=1)


@pytest.mark.nightly
async def test_a_break_during_a_pause_is_not_noticed(open_page: OpenPage, served: Served) -> None:
    reader = await open_page(LITTLE_LEAD, origin=served.network.origin, fragment=f"#key={served.key}")
    await reader.page.select_option("#speed", "2")
    await reader.play(TEXT)
    await reader.until_heard("other")
    await reader.page.keyboard.press("Space")
    await reader.until("paused")
    served.network.cut()
    await reader.page.wait_for_function("() => window.voicewire.reconnects === 1")
    assert await reader.page.locator("#notice[data-kind]").count() == 0
    await reader.page.keyboard.press("Space")
    audio_ms = await play_to_the_end(reader)
    assert await reader.get("window.voicewire.playedMs") == pytest.approx(audio_ms, abs=1)
    assert len(reader.spoken()) == 1


async def test_a_connection_that_the_server_ended_is_opened_again_when_it_is_wanted(open_page: OpenPage) -> None:
    reader = await open_page()
    await reader.play("Once.")
    await reader.until("idle")
    if not reader.sockets[0].is_closed():
        await reader.sockets[0].wait_for_event("close")  # nothing was said for VOICEWIRE_IDLE_S
    await reader.page.keyboard.press("Space")
    await reader.until("playing")
    await reader.until("idle")
    assert [message["type"] for message in reader.said if message["type"] in {"hello", "resume"}] == ["hello", "hello"]


async def test_a_session_that_is_gone_is_begun_again_at_the_word(open_page: OpenPage) -> None:
    reader = await open_page()
    sockets: list[WebSocketRoute] = []
    said: list[dict[str, Any]] = []

    async def forge(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        sockets.append(route)

        def to_server(data: str | bytes) -> None:
            message = json.loads(data)
            said.append(message)
            if message["type"] == "speak":
                message["lead_ms"] = 1500  # so that much is still to come
            if message["type"] == "resume":
                message["resume_token"] = "forged"
            server.send(json.dumps(message))

        route.on_message(to_server)

    await reader.page.route_web_socket(STREAM, forge)
    await reader.play(TEXT)
    await reader.until_heard("first")
    await sockets[-1].close(code=1012, reason="replaced")
    await reader.until_heard("cut")
    spoken = [message["text"] for message in said if message["type"] == "speak"]
    assert [message["type"] for message in said if message["type"] in {"hello", "resume"}] == [
        "hello",
        "resume",
        "hello",
    ]
    assert len(spoken) == 2
    assert TEXT.endswith(spoken[1])
    assert spoken[1].startswith(("first", "of them", "them", "is"))


async def test_a_busy_server_is_asked_again(open_page: OpenPage) -> None:
    reader = await open_page()
    refusals = 2

    async def refuse(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def to_server(data: str | bytes) -> None:
            nonlocal refusals
            message = json.loads(data)
            if message["type"] == "speak" and refusals:
                refusals -= 1
                error = {"code": "busy", "message": "busy", "retryable": True, "retry_after_ms": 50}
                route.send(json.dumps({"type": "error", "context": message["context"], **error}))
            else:
                server.send(data)

        route.on_message(to_server)

    await reader.page.route_web_socket(STREAM, refuse)
    await reader.play("It speaks in the end.")
    await reader.until("idle")
    assert refusals == 0
    assert await reader.notice() == "That was the end."


async def test_where_there_are_no_words_the_sentence_is_marked(open_page: OpenPage) -> None:
    reader = await open_page()

    async def wordless(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        route.on_message(lambda data: server.send(str(data).replace('"speed":1', '"speed":1,"words":false')))

    await reader.page.route_web_socket(STREAM, wordless)
    await reader.play("A sentence without words. And then another one of them.")
    await reader.until_heard("A sentence")
    await reader.until_heard("another one of them.")


async def test_what_cannot_be_mended_is_said_in_a_sentence(open_page: OpenPage) -> None:
    reader = await open_page()

    async def refuse(route: WebSocketRoute) -> None:
        await asyncio.sleep(0)
        error = {"code": "insufficient_credit", "message": "the credit is used up", "retryable": False}
        route.send(json.dumps({"type": "error", **error}))
        await route.close(code=4502, reason="insufficient_credit")

    await reader.page.route_web_socket(STREAM, refuse)
    await reader.page.fill("#editor", TEXT)
    await reader.page.click("#play")
    await reader.page.wait_for_selector("#notice[data-kind=error]")
    assert await reader.notice() == "Your listening time is used up."
    assert (await reader.moment()).state == "idle"


async def test_a_page_of_another_origin_is_asked_for_a_key(open_page: OpenPage, served: Served) -> None:
    reader = await open_page(origin=served.network.origin, harmless=("401 (Unauthorized)",))
    await reader.page.wait_for_selector("#about[open]")
    assert await reader.page.inner_text("#key-hint") == "This server wants an API key before it speaks."
    await reader.page.fill("#key", served.key)
    await reader.page.keyboard.press("Enter")
    await reader.play("Now it speaks.")
    await reader.page.reload()
    await reader.page.wait_for_function("() => window.voicewire")
    await reader.page.click("#settings")
    await reader.page.click("#forget")
    assert served.key not in await reader.get("JSON.stringify(localStorage)")


async def test_a_key_in_the_address_is_taken_out_of_it(open_page: OpenPage, served: Served) -> None:
    reader = await open_page(origin=served.network.origin, fragment=f"#key={served.key}")
    await reader.play("The address is clean.")
    assert reader.page.url == f"{served.network.origin}/"
