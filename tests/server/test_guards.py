"""What stands before every endpoint, on a real server: who may ask, how much, and what every answer carries."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.conftest import Served
from tests.faults.serving import KEY, Server, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

ELSEWHERE = {"X-Forwarded-For": "192.0.2.1"}  # what a proxy adds: nobody local
FRIEND = "https://friend.example"


def codes(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.fixture
async def stranger(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.url, headers=ELSEWHERE) as client:
        yield client


@pytest.fixture
async def known(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.url, headers=ELSEWHERE | {"X-API-Key": served.key}) as client:
        yield client


def own(url: str) -> str:
    return f"http://127.0.0.1:{url.rsplit(':', 1)[1]}"


# methods and addresses


async def test_a_method_that_is_not_taken_is_said_with_those_that_are(known: httpx.AsyncClient) -> None:
    answer = await known.get("/v1/tts")
    assert codes(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    assert (await known.put("/v1/voices")).headers["allow"] == "GET"
    assert (await known.post("/", content=b"x")).headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/account", "/v1/keys/", "/reader"])
async def test_no_host_that_somebody_made_up_is_where_they_are_sent(served: Served, path: str) -> None:
    headers = {"Host": "evil.example", "X-API-Key": served.key}
    async with httpx.AsyncClient(base_url=served.url, headers=headers) as client:
        answer = await client.get(path)
    assert answer.headers.get("location", "/").startswith("/")
    assert (answer.status_code == 307) == (path == "/account")


async def test_the_socket_asked_for_without_a_socket(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/v1/stream")
    assert codes(answer) == (426, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"
    assert "upgrade" in answer.headers["connection"].lower()


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"text": 7}', b"\xff"])
async def test_a_stranger_hears_nothing_about_the_body(stranger: httpx.AsyncClient, body: bytes) -> None:
    answer = await stranger.post("/v1/tts", content=body, headers={"Content-Type": "application/json"})
    assert codes(answer) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/v1/tts", "/v1/tickets", "/v1/nothing", "/v1/voices/x"])
async def test_a_stranger_is_asked_who_he_is_wherever_it_is(stranger: httpx.AsyncClient, path: str) -> None:
    assert codes(await stranger.post(path, json={})) == (401, "unauthorized")


async def test_the_taken_address_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "{}:{}".format(*taken.getsockname())
        command = ["serve", "--port", address.rpartition(":")[2], "--data", str(tmp_path)]
        status, said = await voicewire(*command)
    assert status == 2
    assert said.strip() == f"voicewire: {address}: Address already in use"


async def voicewire(*arguments: str) -> tuple[int, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "voicewire", *arguments, stderr=pipe)
    _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


# origins


ORIGINS = [
    "https://evil.example",
    "null",
    "",
    "{own}.evil.example",
    "http://sub.127.0.0.1:{port}",
    "HTTP://127.0.0.1:{port}",
    "http://LOCALHOST:{port}",
    "http://127.0.0.1",
    "http://127.0.0.1:1{port}",
    "https://127.0.0.1:{port}",
    "http://127.0.0.1:{port}/",
    "http://user@127.0.0.1:{port}",
    "http://[::ffff:127.0.0.1]:{port}",
]


@pytest.mark.parametrize("origin", ORIGINS)
async def test_a_page_from_elsewhere_gets_no_socket_and_no_ticket(
    served: Served, known: httpx.AsyncClient, origin: str
) -> None:
    shown = origin.format(own=own(served.url), port=served.url.rsplit(":", 1)[1])
    headers = {"Origin": shown, "X-API-Key": served.key}
    with pytest.raises(InvalidStatus) as refused:
        await connect(served.url.replace("http", "ws") + "/v1/stream", additional_headers=headers)
    assert refused.value.response.status_code == 403
    assert codes(await known.post("/v1/tickets", json={}, headers={"Origin": shown})) == (403, "forbidden")


@pytest.mark.parametrize("origin", [None, "http://127.0.0.1:{port}", "http://localhost:{port}"])
async def test_our_own_page_and_no_page_at_all_get_a_socket(served: Served, origin: str | None) -> None:
    headers = {"X-API-Key": served.key}
    if origin:
        headers["Origin"] = origin.format(port=served.url.rsplit(":", 1)[1])
    async with connect(served.url.replace("http", "ws") + "/v1/stream", additional_headers=headers) as ws:
        assert json.loads(await ws.recv())["type"] == "ready"
        assert ws.response is not None
        assert ws.response.headers["X-Request-ID"].startswith("r_")


async def test_what_pages_of_three_origins_may_read(narrow: Server) -> None:
    mine = own(narrow.url)
    async with httpx.AsyncClient(base_url=narrow.url, headers={"X-API-Key": KEY}) as client:
        answers = {each: await client.get("/v1/models", headers={"Origin": each}) for each in (FRIEND, mine)}
        evil = await client.get("/v1/models", headers={"Origin": "https://evil.example", "Cookie": "a=b"})
        asking = {"Origin": FRIEND, "Access-Control-Request-Method": "POST"}
        asked = await client.options("/v1/tts", headers=asking)
        asked_by_evil = await client.options("/v1/tts", headers=asking | {"Origin": "https://evil.example"})
    assert answers[FRIEND].headers["access-control-allow-origin"] == FRIEND
    assert answers[mine].status_code == 200
    assert "access-control-allow-origin" not in answers[mine].headers
    assert codes(evil) == (403, "forbidden")
    assert "access-control-allow-origin" not in evil.headers
    assert asked.headers["access-control-allow-origin"] == FRIEND
    assert "access-control-allow-origin" not in asked_by_evil.headers
    for answer in (*answers.values(), evil, asked, asked_by_evil):
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers.get("access-control-allow-origin") != "*"


# headers


async def test_every_page_is_kept_to_itself(served: Served, stranger: httpx.AsyncClient) -> None:
    port = served.url.rsplit(":", 1)[1]
    for path in ("/", "/reader/app.js", "/docs", "/health", "/nothing", "/v1/tts"):
        headers = (await stranger.get(path)).headers
        policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'", path
        assert policy["script-src"] == policy["worker-src"] == policy["form-action"] == "'self'"
        assert policy["connect-src"] == f"'self' ws://127.0.0.1:{port} ws://localhost:{port}"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert ("'unsafe-inline'" in policy["style-src"]) == (path == "/docs")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers
        assert (headers.get("cache-control") == "no-store") == path.startswith("/v1/")


async def test_a_request_has_an_id_and_may_bring_one(stranger: httpx.AsyncClient) -> None:
    for given in ("3f0f0b9e-8f6a-4c1e-9d4b-1d2a5c7e9f00", "4bf92f3577b34da6a3ce929d0e0e4736", f"r_{'0a' * 12}"):
        assert (await stranger.get("/health", headers={"X-Request-ID": given})).headers["x-request-id"] == given
    ids = [(await stranger.get("/health")).headers["x-request-id"] for _ in range(2)]
    assert len({*ids}) == 2
    for wrong in ("abc123", "a" * 65, "what somebody said", "new\tline 0123456789", "vw_live_abcdefgh"):
        assert (await stranger.get("/health", headers={"X-Request-ID": wrong})).headers["x-request-id"].startswith("r_")


# how much


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def narrow(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    bounds = {"requests_max": 2, "address_unauthenticated_max": 3, "messages_max": 20}
    async with serving(tmp_path_factory.mktemp("data"), allowed_origins=FRIEND, **bounds) as server:  # type: ignore[arg-type]  # of Config
        yield server


async def test_messages_of_one_connection_are_bounded(narrow: Server) -> None:
    address = narrow.url.replace("http", "ws") + "/v1/stream"
    async with connect(address, additional_headers={"X-API-Key": KEY}) as ws:
        for _ in range(20):
            await ws.send('{"type":"ping"}')
        said = [json.loads(await ws.recv())["type"] for _ in range(21)]
        assert said == ["ready"] + ["pong"] * 20
        for _ in range(5):
            await ws.send('{"type":"ping"}')
        told = [message.get("code", message["type"]) for message in await rest(ws)]
        assert told[-1] == "rate_limited"
        assert set(told[:-1]) <= {"pong"}
        assert ws.close_code == 4029


async def rest(ws: ClientConnection) -> list[dict[str, str]]:
    """Return what comes until the connection ends."""
    messages = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            messages.append(json.loads(await ws.recv()))
    return messages


async def test_sockets_without_a_name_are_bounded_by_the_real_address(narrow: Server) -> None:
    address = narrow.url.replace("http", "ws") + "/v1/stream"

    async def come(number: int) -> int:
        spoofed = {"X-Forwarded-For": f"192.0.2.{number}", "X-Real-IP": f"192.0.2.{number}"}
        try:
            waiting.append(await connect(address, additional_headers=spoofed))
        except InvalidStatus as refused:
            return refused.response.status_code if refused.response.headers["Retry-After"] else 0
        return 101

    waiting: list[ClientConnection] = []
    assert [await come(number) for number in range(5)] == [101, 101, 101, 429, 429]
    async with connect(address, additional_headers={"X-API-Key": KEY}) as named:  # who shows a key is no stranger
        assert json.loads(await named.recv())["type"] == "ready"
    await waiting.pop().close()
    assert await come(9) == 101


async def test_a_proxy_that_is_believed_says_who_calls(tmp_path: Path) -> None:
    async with serving(tmp_path, address_unauthenticated_max=1, forwarded_allow="127.0.0.1") as server:
        address = server.url.replace("http", "ws") + "/v1/stream"
        for chain in ("192.0.2.1", "192.0.2.2", "6.6.6.6, 192.0.2.3"):
            await connect(address, additional_headers={"X-Forwarded-For": chain})
        with pytest.raises(InvalidStatus) as refused:  # the nearest that is no proxy counts, whatever stands before it
            await connect(address, additional_headers={"X-Forwarded-For": "7.7.7.7, 192.0.2.3"})
        assert refused.value.response.status_code == 429


async def test_requests_at_once_are_bounded(narrow: Server) -> None:
    head = f"POST /v1/tts HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n"
    held = [await asyncio.open_connection("127.0.0.1", narrow.port) for _ in range(2)]
    for _, writer in held:
        writer.write(f"{head}Content-Length: 20\r\n\r\n{{".encode())
        await writer.drain()
    async with httpx.AsyncClient(base_url=narrow.url, headers={"X-API-Key": KEY}) as client:
        for _ in range(100):
            answer = await client.get("/v1/models")
            if answer.status_code == 503:
                break
        assert codes(answer) == (503, "busy")
        assert answer.headers["retry-after"] == "1"
        assert (await client.get("/health")).status_code == 200  # whoever looks after it must be able to
        for _, writer in held:
            writer.close()
        for _ in range(100):
            if (answer := await client.get("/v1/models")).status_code == 200:
                break
            await asyncio.sleep(0.02)
        assert answer.status_code == 200
