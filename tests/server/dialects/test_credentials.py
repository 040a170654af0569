"""Every place where a vendor's client can put a key: it lets in, a wrong one does not, and neither is ever logged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.fuzz.gateway import Watched, watched
from voicewire.errors import BadRequest
from voicewire.server.dialects.credentials import echoed_protocol, without_scheme
from voicewire.server.dialects.elevenlabs_forms import introduced

WAIT_S = 30
HELLO_S = 0.5
STRANGERS = 3
WRONG = "vw_live_wrongwrong_" + "w" * 43
CARTESIA, DEEPGRAM = "/tts/websocket", "/v1/speak"
SINGLE, SEVERAL = (f"/v1/text-to-speech/alloy/{name}" for name in ("stream-input", "multi-stream-input"))
PROTOCOLS = [(("token",), "token"), (("bearer",), "bearer"), (("realtime", "openai-insecure-api-key."), "realtime")]
FIRST = ("xi_api_key", "xi-api-key", "authorization")


@pytest.fixture(scope="module")
def server() -> Iterator[Watched]:
    settings = {"VOICEWIRE_HELLO_S": str(HELLO_S), "VOICEWIRE_ADDRESS_UNAUTHENTICATED_MAX": str(STRANGERS)}
    with watched(settings) as server:
        yield server


def reach(server: Watched, path: str, offered: tuple[str, ...] = ()) -> connect:
    protocols = [Subprotocol(each) for each in offered] or None
    return connect(server.socket_url + path, subprotocols=protocols, proxy=None, max_queue=None)


def offer(names: tuple[str, ...], key: str) -> tuple[str, ...]:
    """The protocols that a browser's client offers: the key is the last, or behind a prefix."""
    return (*names[:-1], names[-1] + key) if names[-1].endswith(".") else (*names, key)


async def spoken(socket: ClientConnection, first: dict[str, Any]) -> None:
    """Have a sentence spoken on a socket of ElevenLabs."""
    async with asyncio.timeout(WAIT_S):
        await socket.send(json.dumps({"text": " ", "context_id": "c", **first}))
        await socket.send(json.dumps({"text": "Well.", "context_id": "c", "flush": True}))
        while not (said := json.loads(await socket.recv())).get("audio"):
            assert "error" not in said, said


async def refused(socket: ClientConnection, code: str, close: int) -> None:
    async with asyncio.timeout(WAIT_S):
        assert json.loads(await socket.recv())["error"] == code
        with pytest.raises(ConnectionClosed) as ended:
            await socket.recv()
    assert ended.value.rcvd is not None
    assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (close, code)


@pytest.mark.parametrize("path", [CARTESIA, DEEPGRAM, SINGLE])
@pytest.mark.parametrize(("names", "echoed"), PROTOCOLS)
async def test_a_browser_shows_a_key_as_a_protocol(
    server: Watched, path: str, names: tuple[str, ...], echoed: str
) -> None:
    async with reach(server, path, offer(names, server.key)) as socket:
        assert socket.subprotocol == echoed
    with pytest.raises(InvalidStatus) as denied:
        await reach(server, path, offer(names, WRONG))
    assert denied.value.response.status_code == 401


@pytest.mark.parametrize("name", ["access_token", "api_key", "authorization"])
async def test_an_address_has_a_key_where_nothing_else_can(server: Watched, name: str) -> None:
    async with reach(server, f"{CARTESIA}?{name}={server.key}") as socket:
        await socket.send("{}")
        assert json.loads(await asyncio.wait_for(socket.recv(), WAIT_S))["type"]
    with pytest.raises(InvalidStatus) as denied:
        await reach(server, f"{CARTESIA}?{name}={WRONG}")
    assert denied.value.response.status_code == 401


async def test_two_keys_that_differ_are_none(server: Watched) -> None:
    with pytest.raises(InvalidStatus) as denied:
        await reach(server, f"{DEEPGRAM}?access_token={WRONG}", ("token", server.key))
    assert denied.value.response.status_code == 400
    async with reach(server, f"{DEEPGRAM}?access_token={server.key}", ("token", server.key)) as socket:
        assert socket.subprotocol == "token"


@pytest.mark.parametrize("path", [CARTESIA, DEEPGRAM])
async def test_without_a_key_only_elevenlabs_waits_for_one(server: Watched, path: str) -> None:
    with pytest.raises(InvalidStatus) as denied:
        await reach(server, path)
    assert denied.value.response.status_code == 401


@pytest.mark.parametrize("path", [SINGLE, SEVERAL])
@pytest.mark.parametrize("name", FIRST)
async def test_a_first_message_shows_a_key(server: Watched, path: str, name: str) -> None:
    async with reach(server, path) as socket:
        await spoken(socket, {name: f"Bearer {server.key}" if name == "authorization" else server.key})
    async with reach(server, path) as socket:
        await socket.send(json.dumps({"text": " ", name: WRONG}))
        await refused(socket, "unauthorized", 1008)


@pytest.mark.parametrize(
    ("first", "code", "close"),
    [
        ('{"text":" "}', "unauthorized", 1008),
        ("rubbish", "bad_message", 4500),
        (b"\xff\xfe", "bad_message", 4500),
        ('{"xi_api_key":7}', "bad_message", 4500),
        ('{"xi_api_key":"a","authorization":"b"}', "bad_message", 4500),
        (json.dumps({"text": " ", "xi_api_key": WRONG, "more": "x" * 10_000}), "too_large", 1009),
    ],
)
async def test_a_first_message_that_shows_none_ends_it(
    server: Watched, first: str | bytes, code: str, close: int
) -> None:
    async with reach(server, SEVERAL) as socket:
        await socket.send(first)
        await refused(socket, code, close)


async def test_who_says_nothing_is_not_waited_for_and_strangers_are_few(server: Watched) -> None:
    silent = [await reach(server, SINGLE) for _ in range(STRANGERS)]
    with pytest.raises(InvalidStatus) as denied:
        await reach(server, SINGLE)
    assert denied.value.response.status_code == 429
    for socket in silent:
        await refused(socket, "unauthorized", 1008)
    async with reach(server, SINGLE) as socket:
        await spoken(socket, {"xi_api_key": server.key})


async def test_no_key_is_logged(server: Watched) -> None:
    """What the tests before sent is in the log too, when they ran."""
    for key in (server.key, WRONG):
        for names, _ in PROTOCOLS:
            await _try(server, f"{DEEPGRAM}?access_token={key}", offer(names, key))
        for name in FIRST:
            await _try(server, SINGLE, first=json.dumps({"text": 7, name: key}))
            await _try(server, SINGLE, first=json.dumps({"text": " ", name: key})[:-1])
    said = server.log.read_text(encoding="utf-8")
    assert said.count("method=WS") > 2 * len(PROTOCOLS)
    for key in (server.key, WRONG):
        assert key not in said
        assert key.split("_", 3)[3] not in said, "nor its secret part"


async def _try(server: Watched, path: str, offered: tuple[str, ...] = (), first: str = "") -> None:
    try:
        async with asyncio.timeout(WAIT_S), reach(server, path, offered) as socket:
            if first:
                await socket.send(first)
                await socket.recv()
    except (InvalidStatus, ConnectionClosed):
        pass


def test_a_protocol_that_is_answered_is_none_of_a_key() -> None:
    assert echoed_protocol(["token", "k"]) == "token"
    assert echoed_protocol(["openai-insecure-api-key.k", "realtime", "beta"]) == "realtime"
    assert echoed_protocol(["openai-insecure-api-key.k"]) is None
    assert echoed_protocol(["token"]) is None
    assert echoed_protocol(["chat", "superchat"]) is None, "nobody asked for what we do not speak"


def test_a_scheme_before_a_credential_is_left_out() -> None:
    assert [without_scheme(each) for each in ("Bearer k", "token  k ", " k", "Bearer", "")] == [*"kkk", "Bearer", ""]


def test_a_first_message_has_one_credential() -> None:
    assert introduced('{"xi_api_key":"k","xi-api-key":"k","authorization":"Bearer k"}') == "k"
    assert introduced("{}") == ""
    with pytest.raises(BadRequest):
        introduced('{"xi_api_key":"k","xi-api-key":"l"}')
