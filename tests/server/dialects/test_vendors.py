"""Who asks is answered in the words of that vendor: by a prefix, by the address, also where no door was reached."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import Message, Scope
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.conftest import Served
from voicewire.errors import OverQuota
from voicewire.server.bounds import RequestsAtOnce
from voicewire.server.dialects.refusals import refusal
from voicewire.server.dialects.vendors import VENDORS, vendor_of

PAGE = (Path(__file__).parents[3] / "docs" / "clients.md").read_text(encoding="utf-8")
WAIT_S = 30
TOO_LARGE = 1024 * 1024 + 1  # `body_bytes_max`, and one more
VOICE = "21m00Tcm4TlvDq8ikWAM"
SPEECH: dict[str, tuple[str, dict[str, Any]]] = {
    "openai": ("/v1/audio/speech", {"input": "Well.", "voice": "alloy"}),
    "elevenlabs": (f"/v1/text-to-speech/{VOICE}", {"text": "Well."}),
    "cartesia": ("/tts/bytes", {"transcript": "Well.", "voice": "alloy"}),
    "deepgram": ("/v1/speak", {"text": "Well."}),
}
SOCKETS = [
    ("elevenlabs", f"/v1/text-to-speech/{VOICE}/multi-stream-input"),
    ("cartesia", "/tts/websocket"),
    ("deepgram", "/v1/speak"),
    ("deepgram", "/v2/speak"),
]


def code_of(vendor: str, body: dict[str, Any]) -> str:
    """What an error is called, read where that vendor's clients do, and nowhere else."""
    match vendor:
        case "openai":
            assert {"message", "type", "param", "code"} == set(body["error"])
            return str(body["error"]["code"])
        case "elevenlabs":
            assert {"status", "message"} == set(body["detail"])
            return str(body["detail"]["status"])
        case "cartesia":
            assert {"title", "message", "error_code"} == set(body)
            return str(body["error_code"])
        case "deepgram":
            assert {"err_code", "err_msg", "request_id"} == set(body)
            return str(body["err_code"]).lower()
    assert "retryable" in body["error"], "ours"
    return str(body["error"]["code"])


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {served.key}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("vendor", SPEECH)
async def test_a_prefix_says_whose_address_it_is(http: httpx.AsyncClient, vendor: str) -> None:
    path, body = SPEECH[vendor]
    spoken = await http.post(f"/{vendor}{path}", json=body)
    assert (spoken.status_code, len(spoken.content) > 1_000) == (200, True)
    missing = await http.get(f"/{vendor}/v1/nothing")
    assert (missing.status_code, code_of(vendor, missing.json())) == (404, "not_found")


@pytest.mark.parametrize(("vendor", "path"), SOCKETS)
async def test_a_prefix_of_a_socket(served: Served, vendor: str, path: str) -> None:
    url = f"{served.url.replace('http', 'ws')}/{vendor}{path}"
    async with connect(url, additional_headers={"xi-api-key": served.key}, proxy=None) as socket:
        await socket.send("rubbish")
        assert await asyncio.wait_for(socket.recv(), WAIT_S)
    with pytest.raises(InvalidStatus) as denied:
        await connect(url, additional_headers={"xi-api-key": "wrong"}, proxy=None)
    assert denied.value.response.status_code == 401
    assert code_of(vendor, json.loads(denied.value.response.body or b"")) == "unauthorized"


@pytest.mark.parametrize(
    ("vendor", "path"), [("deepgram", "/deepgram/v1/nope"), ("cartesia", "/tts/nope"), ("", "/v1/nope")]
)
async def test_a_socket_that_is_not_there_is_no_wrong_key(served: Served, vendor: str, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"{served.url.replace('http', 'ws', 1)}{path}", proxy=None):
            pass
    assert refused.value.response.status_code == 404
    assert code_of(vendor, json.loads(refused.value.response.body)) == "not_found"


async def test_a_prefix_decides_where_two_have_the_same_address(http: httpx.AsyncClient, served: Served) -> None:
    theirs = await http.get("/elevenlabs/v1/models")
    assert {"model_id", "can_do_text_to_speech"} < set(theirs.json()[0])
    assert "voice_id" in (await http.get("/elevenlabs/v1/voices")).json()["voices"][0]
    keyed = {"xi-api-key": served.key}
    assert (await http.get("/openai/v1/models", headers=keyed)).json()["object"] == "list"
    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as stranger:
        for path in ("/v1/voices", "/v1/models"):
            refused = await stranger.get(f"/elevenlabs{path}", headers={"Authorization": "Bearer wrong"})
            assert (refused.status_code, code_of("elevenlabs", refused.json())) == (401, "unauthorized")


def test_the_documentation_names_every_prefix_and_what_is_behind_it() -> None:
    rows = re.findall(r"^\| `/(\w+)` \| (`/.+`) \|$", PAGE, re.MULTILINE)
    told = {vendor: {path.strip("`").removesuffix("/…") for path in paths.split(", ")} for vendor, paths in rows}
    assert told.pop("cartesia") == {"/tts/bytes", "/tts/sse", "/tts/websocket", "/voices"}
    assert told == {each.name: {*each.own, *each.shared} for each in VENDORS if each.name != "cartesia"}


@pytest.mark.parametrize(("vendor", "path"), [*SOCKETS, ("elevenlabs", SOCKETS[0][1].replace("multi-", ""))])
async def test_a_socket_takes_ten_thousand_characters(served: Served, vendor: str, path: str) -> None:
    text = "Never again. " * 800
    said = {"type": "Speak", "text": text, "transcript": text, "voice": "alloy", "context_id": "c", "continue": False}
    url = served.url.replace("http", "ws") + path
    async with connect(url, additional_headers={"xi-api-key": served.key}, proxy=None) as socket:
        await socket.send(json.dumps(said))
        async with asyncio.timeout(WAIT_S):
            while "text_too_long" not in str(heard := await socket.recv()):
                assert vendor == "deepgram", heard  # which greets


@pytest.mark.parametrize("path", ["/metrics", "/admin/plans", "/v1/keys", "/health", "/v1/tts", "/", ""])
async def test_nothing_else_is_behind_a_prefix(http: httpx.AsyncClient, path: str) -> None:
    for vendor in (each.name for each in VENDORS):
        assert (await http.get(f"/{vendor}{path}")).status_code == 404
    assert (await http.get(f"/openai/openai{path}")).status_code == 404


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("vendor", [*SPEECH, ""])
async def test_a_body_that_is_too_large_is_refused_as_they_read_it(
    http: httpx.AsyncClient, vendor: str, declared: bool
) -> None:
    path = SPEECH[vendor][0] if vendor else "/v1/tts"
    body = b'{"text": "' + b"a" * TOO_LARGE
    answer = await http.post(path, content=body if declared else _pieces(body))
    assert (answer.status_code, code_of(vendor, answer.json())) == (413, "too_large")


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(body), 1 << 16):
        yield body[begin : begin + (1 << 16)]


@pytest.mark.parametrize("vendor", [*SPEECH, ""])
async def test_who_comes_when_all_is_full_is_told_when_to_come_again(vendor: str) -> None:
    path = SPEECH[vendor][0] if vendor else "/v1/tts"
    status, headers, body = await _asked(path)
    assert (status, code_of(vendor, body)) == (503, "busy")
    assert int(headers["retry-after"]) >= 1


async def _asked(path: str) -> tuple[int, dict[str, str], dict[str, Any]]:
    said: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        said.append(message)

    await RequestsAtOnce(PlainTextResponse("reached"), requests_max=0, refusal=refusal)(_scope(path), receive, send)
    headers = {name.decode(): value.decode() for name, value in said[0]["headers"]}
    return said[0]["status"], headers, json.loads(said[1]["body"])


def _scope(path: str) -> Scope:
    return {"type": "http", "method": "POST", "path": path, "headers": [], "state": {"request_id": "r_1"}}


@pytest.mark.parametrize("vendor", [*SPEECH, ""])
def test_too_many_requests_are_refused_as_they_read_it(vendor: str) -> None:
    for path in _addresses(vendor):
        answer = refusal(HTTPConnection(_scope(path)), OverQuota(retry_after_ms=1_500))
        assert (answer.status_code, code_of(vendor, json.loads(bytes(answer.body)))) == (429, "rate_limited")
        assert answer.headers["retry-after"] == "2"


def _addresses(vendor: str) -> Iterator[str]:
    yield from (address for each in VENDORS if each.name == vendor for address in each.own)
    if not vendor:
        yield from ("/v1/voices", "/v1/models", "/v1/speaker", "/v1/audio/abc", "/ttsx", "/v1/tts", "/voicesx")


def test_a_shared_address_is_theirs_who_show_a_key_as_their_clients_do() -> None:
    keyed = {**_scope("/v1/voices/x"), "headers": [(b"xi-api-key", b"k")]}
    assert vendor_of(keyed) == "elevenlabs"
    assert vendor_of({**keyed, "path": "/v1/keys"}) == ""
    assert vendor_of({**keyed, "path": "/v1/audio/speech"}) == "openai"
    assert vendor_of({**keyed, "state": {"vendor": "openai"}}) == "openai"


async def test_a_method_that_is_not_taken_is_said_with_those_that_are(http: httpx.AsyncClient) -> None:
    answer = await http.put("/elevenlabs/v1/text-to-speech/alloy")
    assert (answer.status_code, code_of("elevenlabs", answer.json())) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
