"""Where guards meet the rest: answers that cannot go on, operators' own port, and who may still come in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.faults.serving import KEY, Server, serving
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAIL = "Xfail"
KNOWN = {"X-API-Key": KEY, "X-Forwarded-For": "192.0.2.1"}


@pytest.fixture(scope="module")
def admin_port() -> int:
    return free_port()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory, admin_port: int) -> AsyncIterator[Server]:
    folder = tmp_path_factory.mktemp("data")
    tone = {"fail_on": FAIL}
    async with serving(folder, tone=tone, admin_port=admin_port, streams_max=2, log_format="json") as started:
        yield started


async def ticket(server: Server) -> str:
    async with httpx.AsyncClient(base_url=server.url, headers=KNOWN) as client:
        return str((await client.post("/v1/tickets", json={})).json()["ticket"])


async def come(server: Server, **headers: str) -> ClientConnection:
    return await connect(server.url.replace("http", "ws") + "/v1/stream", additional_headers=headers)


async def end_of(ws: ClientConnection) -> tuple[str, int | None]:
    """Return the last error that is told, and the close code."""
    code = ""
    try:
        while True:
            code = json.loads(await ws.recv()).get("code", code)
    except ConnectionClosed:
        return code, ws.close_code


async def test_what_cannot_go_on_ends_short_and_quietly(server: Server) -> None:
    text = "".join(f"This is sentence number {number}, which is spoken well. " for number in range(12)) + f"{FAIL}."
    async with httpx.AsyncClient(base_url=server.url, headers=KNOWN) as client:
        with pytest.raises(httpx.RemoteProtocolError):  # the end of the chunks is missing
            await client.post("/v1/tts", json={"text": text, "format": "pcm"})
        failed = await client.post("/v1/tts", json={"text": f"{FAIL}."})
    assert failed.status_code == 502  # what fails at once has a status
    lines = [json.loads(line) for line in server.log]
    [cut] = [line for line in lines if line["event"] == "an answer was cut short"]
    assert (cut["level"], cut["code"]) == ("warning", "engine_failed")
    assert not [line for line in lines if "traceback" in line or line["level"] == "error"]


async def test_operators_have_a_port_of_their_own(server: Server, admin_port: int) -> None:
    operators = f"http://127.0.0.1:{admin_port}"
    async with httpx.AsyncClient(headers=KNOWN) as client:
        for path in ("/metrics", "/%6detrics", "/admin", "/admin/users", "/admin/nothing"):
            answer = await client.get(f"{server.url}{path}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), path
        page = await client.get(f"{operators}/metrics")
        assert page.status_code == 200
        assert "voicewire_streams" in page.text
        forged = await client.get(f"{server.url}/metrics", headers={"Host": f"127.0.0.1:{admin_port}"})
        assert forged.status_code == 404
        assert (await client.get(f"{operators}/v1/models")).status_code == 200
        assert [(await client.get(f"{where}/v1/me")).json()["admin"] for where in (server.url, operators)] == [
            False,
            True,
        ]
        assert str(admin_port) not in (await client.get(server.url)).headers["content-security-policy"]


async def room(server: Server) -> None:
    """Wait until those who left are counted no more."""
    for _ in range(100):
        with contextlib.suppress(InvalidStatus):
            await (await come(server, **KNOWN)).close()
            return
        await asyncio.sleep(0.02)
    raise AssertionError("there is no room")


async def test_who_says_late_who_they_are_finds_it_full(server: Server) -> None:
    """Room is looked for once more: any number may come before any of them is counted."""
    good = await ticket(server)
    early = await come(server)
    known = [await come(server, **KNOWN) for _ in range(2)]
    assert [json.loads(await each.recv())["type"] for each in known] == ["ready"] * 2
    await early.send(json.dumps({"type": "hello", "ticket": good}))
    assert await end_of(early) == ("busy", 4013)
    with pytest.raises(InvalidStatus) as refused:
        await come(server, **KNOWN)
    assert refused.value.response.status_code == 503
    for each in known:
        await each.close()
    await room(server)


async def test_first_messages_are_few(server: Server) -> None:
    ws = await come(server)
    for _ in range(6):
        await ws.send('{"type":"resume","session":"s_x","resume_token":"y","received":{}}')
    code, close = await end_of(ws)
    assert (code, close) == ("no_hello", 4504)


async def test_who_came_before_the_signal_and_says_hello_behind_it_is_sent_on(tmp_path: Path) -> None:
    async with serving(tmp_path, tone={"rtf": 0.5}) as server:
        good = await ticket(server)
        early, resuming = await come(server), await come(server)
        busy = await come(server, **KNOWN)
        await busy.send(json.dumps({"type": "speak", "context": "c", "text": "This keeps the server. " * 4}))
        assert json.loads(await busy.recv())["type"] == "ready"
        server.process.send_signal(signal.SIGTERM)
        while isinstance(message := await busy.recv(), bytes) or json.loads(message)["type"] != "draining":
            pass
        await early.send(json.dumps({"type": "hello", "ticket": good}))
        await resuming.send('{"type":"resume","session":"s_x","resume_token":"y","received":{}}')
        assert await end_of(early) == ("draining", 1012)
        assert await end_of(resuming) == ("draining", 1012)
        await busy.close()
        assert await server.ended() == 0
