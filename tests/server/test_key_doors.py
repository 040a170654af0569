"""Keys, usage and what operators do, over HTTP, on a real server."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.conftest import Served
from tests.server.two_tenants import SCOPES, Tenant, client, new_tenant
from voicewire.__main__ import main
from voicewire.auth.keys import key_id

WAIT_S = 20


@pytest.fixture(scope="module")
def tenant(served: Served) -> Tenant:
    return new_tenant(served, "t_doors")


@pytest.fixture
async def http(served: Served, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with tenant.client(served) as http:
        yield http


@pytest.fixture
async def operator(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with client(served, served.key) as operator:
        yield operator


async def _made(http: httpx.AsyncClient, **wish: Any) -> dict[str, Any]:
    answer = await http.post("/v1/keys", json=wish)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_key_is_shown_once_and_works(served: Served, http: httpx.AsyncClient, tenant: Tenant) -> None:
    made = await _made(http, label="a reader", environment="test", limits={"streams": 2, "models": ["tone"]})
    key = made.pop("key")
    assert key.startswith("vw_test_")
    assert made["id"] == key_id(key)
    assert (made["tenant"], made["scopes"]) == (tenant.id, ["speak", "tickets:create", "voices:read"])
    assert made["limits"] == {
        "streams": 2, "contexts": None, "text_chars": None, "requests_minute": None, "models": ["tone"],
    }  # fmt: skip
    assert (await http.get(f"/v1/keys/{made['id']}")).json() == made
    async with client(served, key) as reader:
        assert (await reader.get("/v1/voices")).status_code == 200
        assert (await reader.get("/v1/keys")).status_code == 403


async def test_keys_are_listed_by_pages(http: httpx.AsyncClient) -> None:
    for _ in range(3):
        await _made(http)
    everything = (await http.get("/v1/keys")).json()
    assert everything["next"] is None
    seen: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await http.get("/v1/keys", params={"before": cursor, "limit": 2})).json()
        seen += page["items"]
        cursor = page["next"]
    assert [key["id"] for key in seen] == [key["id"] for key in everything["items"]]


async def test_a_rotated_key_and_its_successor_both_work_until_the_overlap_ends(
    served: Served, http: httpx.AsyncClient
) -> None:
    old = await _made(http, scopes=["voices:read"])
    new = (await http.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_s": 600})).json()
    assert (new["replaces"], new["scopes"]) == (old["id"], ["voices:read"])
    for key in (old["key"], new["key"]):
        async with client(served, key) as reader:
            assert (await reader.get("/v1/voices")).status_code == 200
    assert (await http.post(f"/v1/keys/{old['id']}/rotate", json={})).status_code == 409
    soon = await _made(http, scopes=["voices:read"])
    await http.post(f"/v1/keys/{soon['id']}/rotate", json={"overlap_s": 0})
    async with client(served, soon["key"]) as reader:
        assert (await reader.get("/v1/voices")).status_code == 401


WRONG = [
    {"scopes": ["sing"]},
    {"label": "x" * 201},
    {"label": "NUL \0"},
    {"limits": {"streams": 0}},
    {"limits": {"speed": 1}},
    {"environment": "production"},
    {"expires": "2020-01-01T00:00:00Z"},
    {"expires": "2030-01-01T00:00:00"},
    {"unknown": 1},
]


@pytest.mark.parametrize("wish", WRONG, ids=json.dumps)
async def test_a_key_that_cannot_be_is_refused(http: httpx.AsyncClient, wish: dict[str, Any]) -> None:
    answer = await http.post("/v1/keys", json=wish)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_message")


async def test_what_is_changed_holds_at_once(served: Served, http: httpx.AsyncClient) -> None:
    made = await _made(http, scopes=["voices:read", "usage:read"])
    async with client(served, made["key"]) as reader:
        assert (await reader.get("/v1/usage")).status_code == 200
        changed = (await http.patch(f"/v1/keys/{made['id']}", json={"scopes": ["voices:read"]})).json()
        assert (changed["scopes"], changed["label"]) == (["voices:read"], "")
        assert (await reader.get("/v1/usage")).status_code == 403
        assert (await http.delete(f"/v1/keys/{made['id']}")).status_code == 204
        assert (await reader.get("/v1/voices")).status_code == 401
    assert (await http.patch(f"/v1/keys/{made['id']}", json={"scopes": ["admin"]})).status_code == 403


async def _closed(served: Served, key: str, change: Any) -> tuple[dict[str, Any], int | None]:
    """Open a stream with a key, change something, and return the last message and the close code."""
    url = served.url.replace("http", "ws") + "/v1/stream"
    last: dict[str, Any] = {}
    async with connect(url, additional_headers={"X-API-Key": key}) as socket:
        assert json.loads(await socket.recv())["type"] == "ready"
        await change
        try:
            async with asyncio.timeout(WAIT_S):
                while True:
                    last = json.loads(await socket.recv())
        except ConnectionClosed as closed:
            return last, closed.rcvd.code if closed.rcvd else None


async def test_a_revoked_key_ends_its_live_connections(served: Served, http: httpx.AsyncClient) -> None:
    made = await _made(http)
    last, code = await _closed(served, made["key"], http.delete(f"/v1/keys/{made['id']}"))
    assert (last["type"], last["code"], code) == ("error", "unauthorized", 4501)


async def test_a_key_that_may_not_speak_any_more_ends_its_live_connections(
    served: Served, http: httpx.AsyncClient
) -> None:
    made = await _made(http)
    change = http.patch(f"/v1/keys/{made['id']}", json={"scopes": ["voices:read"]})
    last, code = await _closed(served, made["key"], change)
    assert (last["code"], code) == ("forbidden", 4503)


async def test_a_key_ends_its_live_connections_when_it_expires(served: Served, http: httpx.AsyncClient) -> None:
    made = await _made(http, expires=(datetime.now(UTC) + timedelta(seconds=1)).isoformat())
    last, code = await _closed(served, made["key"], asyncio.sleep(0))
    assert (last["code"], code) == ("unauthorized", 4501)


async def test_a_key_that_may_ask_seldom_is_counted_on_the_socket_too(served: Served, http: httpx.AsyncClient) -> None:
    """Without billing, as with it."""
    made = await _made(http, limits={"requests_minute": 1})
    url = served.url.replace("http", "ws") + "/v1/stream"
    ends: list[dict[str, Any]] = []
    async with connect(url, additional_headers={"X-API-Key": made["key"]}) as socket, asyncio.timeout(WAIT_S):
        for name in "ab":
            await socket.send(json.dumps({"type": "speak", "context": name, "text": "Hi."}))
        while len(ends) < 2:
            data = await socket.recv()
            if isinstance(data, str) and (message := json.loads(data))["type"] in ("done", "error"):
                ends.append(message)
        assert sorted(end.get("code", end["type"]) for end in ends) == ["done", "rate_limited"]
        assert max(end.get("retry_after_ms", 0) for end in ends) > 0
        await socket.send(json.dumps({"type": "ping"}))
        assert json.loads(await socket.recv()) == {"type": "pong"}


async def _by_key(http: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get("/v1/usage", params={"by": "key"})).json()
    return found


def _of_key(found: dict[str, Any], key: str) -> list[dict[str, Any]]:
    return [line for line in found["items"] if line["name"] == key]


async def test_what_was_spoken_is_used(served: Served, http: httpx.AsyncClient, operator: httpx.AsyncClient) -> None:
    made = await _made(http, label="=used", scopes=SCOPES.split(","))
    async with client(served, made["key"]) as reader:
        spoken = await reader.post("/v1/tts", json={"text": "Seven eager writers.", "format": "pcm", "rate": 24_000})
        assert spoken.status_code == 200
        spoken_ms = len(spoken.content) // 48
    async with asyncio.timeout(WAIT_S):
        while not (lines := _of_key(found := await _by_key(http), made["id"])):
            await asyncio.sleep(0.1)
    [line] = lines
    assert line == {
        "name": made["id"], "label": "=used", "requests": 1, "audio_ms": line["charged_ms"],
        "charged_ms": spoken_ms, "cached_ms": 0,
    }  # fmt: skip
    assert found["from"] < found["to"]
    table = await http.get("/v1/usage", params={"by": "key", "format": "csv"})
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    [row] = [row for row in csv.DictReader(io.StringIO(table.text)) if row["key"] == made["id"]]
    assert row["label"] == "'=used"  # a spreadsheet runs nothing
    [use] = [each for each in (await http.get("/v1/transactions")).json()["items"] if each["key"] == made["id"]]
    assert (use["kind"], use["audio_ms"], use["model"]) == ("use", spoken_ms, "tone")
    everybody = (await operator.get("/admin/usage", params={"by": "tenant"})).json()
    assert made["tenant"] in {line["name"] for line in everybody["items"]}


SPANS = [
    ({"from": "2026-02-02", "to": "2026-02-01"}, 400),
    ({"from": "2020-01-01", "to": "2026-01-01"}, 400),
    ({"from": "yesterday"}, 400),
    ({"by": "tenant"}, 400),
    ({"from": "2020-01-01", "to": "2021-02-03"}, 200),
    ({"from": "9999-12-31"}, 200),
    ({"to": "0001-01-01"}, 200),
]


@pytest.mark.parametrize(("query", "status"), SPANS)
async def test_spans_of_days_have_bounds(http: httpx.AsyncClient, query: dict[str, str], status: int) -> None:
    answer = await http.get("/v1/usage", params=query)
    assert answer.status_code == status, answer.text


async def test_an_operator_sees_and_ends_any_key(
    served: Served, http: httpx.AsyncClient, operator: httpx.AsyncClient, tenant: Tenant
) -> None:
    made = await _made(http, label="theirs")
    listed = (await operator.get("/admin/keys", params={"tenant": tenant.id})).json()["items"]
    assert made["id"] in {key["id"] for key in listed}
    assert (await operator.delete(f"/admin/keys/{made['id']}")).status_code == 204
    async with client(served, made["key"]) as reader:
        assert (await reader.get("/v1/voices")).status_code == 401
    [event] = (await operator.get("/admin/audit", params={"tenant": tenant.id, "limit": 1})).json()["items"]
    assert (event["action"], event["subject"], event["details"]["label"]) == ("key.revoke", made["id"], "theirs")
    assert event["actor"] == f"key:{key_id(served.key)}"


async def test_an_operator_names_a_voice(http: httpx.AsyncClient, operator: httpx.AsyncClient) -> None:
    path = "/admin/voices/The Reader"
    put = await operator.put(path, json={"model": "espeak", "engine_voice": "cy", "description": "calm"})
    assert put.status_code == 200
    assert (await operator.get(path)).json() == put.json()
    assert (await http.get("/v1/voices/the reader")).json()["id"] == "cy"
    assert (await http.post("/v1/tts", json={"text": "Hello.", "voice": "The Reader"})).status_code == 200
    off = {"model": "espeak", "engine_voice": "cy", "active": False}
    assert (await operator.put(path, json=off)).status_code == 200
    for voice in ("The Reader", "cy"):
        refused = await http.post("/v1/tts", json={"text": "Hello.", "voice": voice})
        assert refused.json()["error"]["code"] == "unknown_voice"
    assert (await operator.delete(path)).status_code == 204
    assert (await http.get("/v1/voices/cy")).status_code == 200
    assert (await operator.get(path)).status_code == 404


async def test_an_operator_changes_a_person(served: Served, operator: httpx.AsyncClient) -> None:
    email = "doors@example.org"
    arguments = ["users", "add", email, "--data", str(served.data_dir)]
    assert await asyncio.to_thread(main, arguments, {}) == 0
    [person] = (await operator.get("/admin/users", params={"search": "doors@"})).json()["items"]
    assert (person["email"], person["role"], person["suspended"]) == (email, "creator", None)
    [tenant] = person["tenants"]
    assert (tenant["role"], tenant["plan"], tenant["audio_ms"]) == ("owner", "free", 0)
    path = f"/admin/users/{person['id']}"
    changed = (await operator.patch(path, json={"role": "admin", "suspended": True, "plan": "pro"})).json()
    assert (changed["role"], changed["tenants"][0]["plan"]) == ("admin", "pro")
    assert changed["suspended"] is not None
    assert (await operator.patch(path, json={"suspended": False})).json()["suspended"] is None
    assert (await operator.get("/admin/users/u_nobody")).status_code == 404
    actions = {event["action"] for event in (await operator.get("/admin/audit")).json()["items"]}
    assert actions >= {"user.change", "user.suspend", "user.restore", "tenant.plan"}
