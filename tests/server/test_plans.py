"""What plans let tenants do, and what an admin does with them, on a real server that sells."""

from __future__ import annotations

import asyncio
import json
import math
import re
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.conftest import Served
from tests.server.selling import WAIT_S, Tenant, code_of, hear, joins
from voicewire.accounts.audit import events
from voicewire.auth.keys import KeyLimits
from voicewire.commands.operator import Operator


@pytest.fixture
async def free(operator: Operator, selling: Served) -> AsyncIterator[Tenant]:
    tenant = await joins(operator, selling, "free")
    yield tenant
    await tenant.http.aclose()


# requests


async def test_ten_requests_a_minute_and_what_the_answers_say(free: Tenant) -> None:
    before = time.monotonic()
    answers = [await free.speak() for _ in range(13)]
    came_back = math.ceil((time.monotonic() - before) / 6)
    allowed = [each for each in answers if each.status_code == 200]
    refused = [each for each in answers if each.status_code == 429]
    assert 10 <= len(allowed) <= 10 + came_back
    assert len(allowed) + len(refused) == 13
    assert refused, "thirteen requests took half a minute"
    assert allowed[0].headers["ratelimit-policy"] == '"requests";q=10;w=60'
    assert allowed[0].headers["ratelimit"] == '"requests";r=9;t=6'
    assert refused[0].headers["ratelimit"].startswith('"requests";r=0;t=')
    assert code_of(refused[0]) == "rate_limited"
    assert refused[0].headers["retry-after"] == str(math.ceil(refused[0].json()["error"]["retry_after_ms"] / 1000))
    assert 0 < refused[0].json()["error"]["retry_after_ms"] <= 6_000
    assert "ratelimit" not in (await free.http.get("/v1/voices")).headers  # which costs nothing


async def test_a_key_may_have_less_than_its_tenant(operator: Operator, selling: Served) -> None:
    tenant = await joins(operator, selling, "pro", KeyLimits(requests_minute=2))
    answers = [await tenant.speak() for _ in range(3)]
    await tenant.http.aclose()
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"requests";q=2;w=60'


async def test_a_text_that_is_longer_than_the_plan_allows(free: Tenant) -> None:
    answer = await free.speak("a" * 5_001)
    assert (answer.status_code, code_of(answer)) == (413, "text_too_long")


async def test_a_change_holds_on_the_server_at_once(free: Tenant, admin: httpx.AsyncClient) -> None:
    assert (await free.speak()).status_code == 200
    quotas = {"models": ["espeak"], "requests_minute": 500}
    changed = await admin.put(f"/admin/tenants/{free.id}/quotas", json=quotas)
    assert changed.json()["limits"]["requests_minute"] == 500
    answer = await free.speak()
    assert (answer.status_code, code_of(answer)) == (403, "forbidden")
    assert (await free.speak(model="espeak")).headers["ratelimit-policy"] == '"requests";q=500;w=60'


async def test_a_change_holds_on_a_connection_that_lives(free: Tenant, admin: httpx.AsyncClient) -> None:
    async with await free.connect() as socket:
        assert (await hear(socket))["type"] == "ready"
        await socket.send(json.dumps({"type": "open", "context": "before", "model": "tone"}))
        assert (await hear(socket))["type"] == "opened"
        quotas = {"models": ["espeak"], "request_chars": 3}
        assert (await admin.put(f"/admin/tenants/{free.id}/quotas", json=quotas)).status_code == 200
        number, said = 0, {"code": ""}
        async with asyncio.timeout(WAIT_S):
            while said.get("code") != "forbidden":
                number += 1
                await socket.send(json.dumps({"type": "open", "context": f"c{number}", "model": "tone"}))
                said = await hear(socket)
                await asyncio.sleep(0.05)
        assert said["context"] == f"c{number}"
        await socket.send(json.dumps({"type": "speak", "context": "long", "model": "espeak", "text": "Four"}))
        assert ((await hear(socket))["type"], (await hear(socket))["code"]) == ("opened", "text_too_long")


async def opens(socket: ClientConnection, model: str) -> bool:
    """Open a context, and cancel it again; say whether it could be had."""
    context = secrets.token_hex(4)
    await socket.send(json.dumps({"type": "open", "context": context, "model": model}))
    if (said := await hear(socket))["type"] == "error":
        assert said["code"] == "forbidden"
        return False
    await socket.send(json.dumps({"type": "cancel", "context": context}))
    while (await hear(socket))["type"] != "cancelled":
        pass
    return True


async def test_a_plan_that_has_more_or_less_now_has_it_on_a_connection_that_lives(
    operator: Operator, selling: Served, admin: httpx.AsyncClient
) -> None:
    plan: dict[str, Any] = {
        "name": "Changing", "price_cents": 0, "seconds": 60, "requests_minute": 10_000, "streams": 1,
        "request_chars": 100, "models": ["espeak"], "public": False,
    }  # fmt: skip
    assert (await admin.put("/admin/plans/changing", json=plan)).status_code == 200
    tenant = await joins(operator, selling, "changing")
    async with await tenant.connect() as socket:
        assert (await hear(socket))["type"] == "ready"
        for models in (["espeak", "tone"], ["espeak"], None):
            might = await opens(socket, "tone")
            assert (await admin.put("/admin/plans/changing", json=plan | {"models": models})).status_code == 200
            async with asyncio.timeout(WAIT_S):
                while await opens(socket, "tone") == might:
                    await asyncio.sleep(0.05)
        async with await tenant.connect() as second:
            assert (await hear(second))["code"] == "too_many_streams"
        assert (await admin.put("/admin/plans/changing", json=plan | {"streams": 2})).status_code == 200
        async with await tenant.connect() as second:
            assert (await hear(second))["type"] == "ready"
            assert (await admin.put("/admin/plans/changing", json=plan)).status_code == 200
            assert await opens(second, "espeak"), "with fewer streams those that are there stay"
    await tenant.http.aclose()


# streams


async def test_one_stream_at_once_over_socket_and_http(free: Tenant) -> None:
    first = await free.connect()
    assert (await hear(first))["type"] == "ready"
    second = await free.connect()
    assert (await hear(second))["code"] == "too_many_streams"
    with pytest.raises(ConnectionClosed):
        await hear(second)
    assert second.close_code == 4029
    answer = await free.speak()
    assert (answer.status_code, code_of(answer)) == (429, "too_many_streams")
    await first.close()
    async with asyncio.timeout(WAIT_S):
        while (await free.speak()).status_code != 200:
            await asyncio.sleep(0.5)


async def test_one_stream_after_the_other_without_a_pause(free: Tenant) -> None:
    for _ in range(20):
        async with await free.connect() as socket:
            assert (await hear(socket))["type"] == "ready"


async def test_who_resumes_takes_its_own_place(free: Tenant) -> None:
    first = await free.connect()
    ready = await hear(first)
    first.transport.abort()
    async with asyncio.timeout(WAIT_S):
        while True:  # until the server has seen that the other connection is lost
            second = await free.connect()
            if (await hear(second))["type"] == "ready":
                break
    resume = {"type": "resume", "session": ready["session"], "resume_token": ready["resume_token"], "received": {}}
    await second.send(json.dumps(resume))
    again = await hear(second)
    assert (again["type"], again["resumed"], again["session"]) == ("ready", True, ready["session"])
    third = await free.connect()
    assert (await hear(third))["code"] == "too_many_streams"
    await second.close()


async def test_who_resumes_has_the_limits_of_now(free: Tenant, admin: httpx.AsyncClient) -> None:
    lost = await free.connect()
    ready = await hear(lost)
    assert ready["limits"]["text_chars"] == 5_000
    lost.transport.abort()
    assert (await admin.put(f"/admin/tenants/{free.id}/quotas", json={"request_chars": 3})).status_code == 200
    resume = {"type": "resume", "session": ready["session"], "resume_token": ready["resume_token"], "received": {}}
    async with connect(free.url.replace("http", "ws") + "/v1/stream", proxy=None) as socket:
        await socket.send(json.dumps(resume))
        again = await hear(socket)
    assert (again["type"], again["resumed"], again["limits"]["text_chars"]) == ("ready", True, 3)


# plans and credits


async def test_everybody_can_see_what_may_be_had(selling: Served) -> None:
    async with httpx.AsyncClient(base_url=selling.url, trust_env=False) as stranger:
        offer = (await stranger.get("/v1/plans", headers={"X-Forwarded-For": "192.0.2.1"})).json()
    own = [each for each in offer["items"] if not each["id"].startswith(("jobs-", "only-"))]  # which tests add
    assert [each["id"] for each in own] == ["free", "basic", "pro", "enterprise"]
    assert own[1]["seconds"] == 3_600
    assert own[3]["price_cents"] is None


@pytest.mark.parametrize(
    ("plan", "status", "code"),
    [("pro", 402, "payment_required"), ("enterprise", 402, "payment_required"), ("home", 404, "not_found"),
     ("gold", 404, "not_found"), ("", 400, "bad_message")],
)  # fmt: skip
async def test_a_plan_that_cannot_just_be_taken(free: Tenant, plan: str, status: int, code: str) -> None:
    answer = await free.http.put("/v1/me/plan", json={"plan": plan})
    assert (answer.status_code, code_of(answer)) == (status, code)


async def test_going_down_to_a_plan_that_is_free(operator: Operator, selling: Served) -> None:
    tenant = await joins(operator, selling, "pro")
    answer = (await tenant.http.put("/v1/me/plan", json={"plan": "free"})).json()
    assert (answer["plan"], answer["next_plan"]) == ("pro", "free")
    assert (await tenant.http.get("/v1/me/plan")).json() == answer
    await tenant.http.aclose()


async def test_what_is_left(free: Tenant, admin: httpx.AsyncClient) -> None:
    gift = {"tenant": free.id, "seconds": 30, "id": "a", "expires": "2999-01-01T00:00:00Z"}
    assert (await admin.post("/admin/grants", json=gift)).status_code == 201
    credits = (await free.http.get("/v1/users/me/credits")).json()
    assert (credits["plan"], credits["balance_ms"], credits["held_ms"]) == ("free", 630_000, 0)
    assert [(each["kind"], each["left_ms"]) for each in credits["grants"]] == [("plan", 600_000), ("admin", 30_000)]


async def test_the_servers_own_tenant_is_not_limited(admin: httpx.AsyncClient) -> None:
    credits = (await admin.get("/v1/users/me/credits")).json()
    assert (credits["balance_ms"], credits["plan"], credits["period_end"]) == (None, "home", None)


# admins


ROUTES = [
    ("GET", "/admin/plans"), ("GET", "/admin/plans/free"), ("PUT", "/admin/plans/free"), ("PUT", "/admin/packages/a"),
    ("GET", "/admin/prices"), ("PUT", "/admin/prices/tone"), ("GET", "/admin/tenants/home/plan"),
    ("PUT", "/admin/tenants/home/plan"), ("GET", "/admin/tenants/home/quotas"), ("PUT", "/admin/tenants/home/quotas"),
    ("POST", "/admin/grants"), ("POST", "/admin/grants/a/reverse"), ("POST", "/admin/refunds"),
]  # fmt: skip
BODIES: dict[str, Any] = {
    "/admin/plans/free": {
        "name": "F", "price_cents": 0, "seconds": 1, "requests_minute": 1, "streams": 1, "request_chars": 1,
    },
    "/admin/packages/a": {"name": "A", "price_cents": 1, "seconds": 1},
    "/admin/prices/tone": {"permille": 0},
    "/admin/tenants/home/plan": {"plan": "pro"},
    "/admin/tenants/home/quotas": {"streams": 1},
    "/admin/grants": {"tenant": "home", "seconds": 1},
    "/admin/refunds": {"tenant": "home", "seconds": 1},
}  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_only_admins(free: Tenant, method: str, path: str) -> None:
    answer = await free.http.request(method, path, json=BODIES.get(path) if method != "GET" else None)
    assert (answer.status_code, code_of(answer)) == (403, "forbidden")


async def test_a_plan_of_ones_own(admin: httpx.AsyncClient, free: Tenant) -> None:
    plan = {
        "name": "Team", "price_cents": 15_000, "currency": "EUR", "seconds": 50_000, "requests_minute": 200,
        "streams": 20, "request_chars": 9_000, "models": ["tone"], "rollover_months": 1, "public": False,
    }  # fmt: skip
    made = (await admin.put("/admin/plans/team", json=plan)).json()
    assert made.items() >= plan.items()
    assert (await admin.get("/admin/plans/team")).json() == made
    assert made in (await admin.get("/admin/plans")).json()["items"]
    has = (await admin.put(f"/admin/tenants/{free.id}/plan", json={"plan": "team"})).json()
    assert (has["plan"], has["limits"]["streams"]) == ("team", 20)
    assert (await free.speak()).headers["ratelimit-policy"] == '"requests";q=200;w=60'
    for wrong in ({"streams": 0}, {"currency": "euro"}, {"cached_percent": 101}, {"gold": True}):
        assert (await admin.put("/admin/plans/team", json=plan | wrong)).status_code == 400
    assert (await admin.put("/admin/plans/Team%20A", json=plan)).status_code == 400


async def test_what_is_given_once_and_otherwise(admin: httpx.AsyncClient, free: Tenant, operator: Operator) -> None:
    gift = {"tenant": free.id, "seconds": 30, "id": "ticket-7", "note": "sorry"}
    given = [await admin.post("/admin/grants", json=gift) for _ in range(2)]
    assert [each.status_code for each in given] == [201, 201]
    assert given[0].json() == given[1].json()
    other = await admin.post("/admin/grants", json=gift | {"seconds": 31})
    assert (other.status_code, code_of(other)) == (409, "conflict")
    lost = await admin.post("/admin/grants", json=gift | {"tenant": "t_nobody"})
    assert (lost.status_code, code_of(lost)) == (404, "not_found")
    await admin.put("/admin/packages/hour", json={"name": "An hour", "price_cents": 900, "seconds": 3_600})
    packed = await admin.post("/admin/grants", json={"tenant": free.id, "package": "hour"})
    assert (packed.json()["kind"], packed.json()["ms"], packed.json()["expires"]) == ("package", 3_600_000, None)
    audit = "SELECT count(*) FROM audit WHERE tenant = $1 AND action = 'grant.create'"
    assert await operator.store.fetchval(audit, free.id) == 2


async def test_a_grant_for_nobody_is_told_what_it_lacks(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/admin/grants", json={"seconds": 1})
    assert answer.status_code == 400, answer.text
    assert "either tenant or email must be given" in answer.json()["error"]["message"]


async def test_what_was_given_is_taken_back_once(admin: httpx.AsyncClient, free: Tenant, operator: Operator) -> None:
    gift = {"tenant": free.id, "seconds": 30, "id": "a/b", "note": "by mistake"}
    granted = (await admin.post("/admin/grants", json=gift)).json()["id"]
    reverse = f"/admin/grants/{granted}/reverse"
    taken = [await admin.post(reverse, json={"note": "it was one"}), await admin.post(reverse)]
    assert [each.status_code for each in taken] == [200, 200]
    assert taken[0].json() == taken[1].json() == {"id": granted, "tenant": free.id, "ms": 30_000}
    assert (await free.http.get("/v1/users/me/credits")).json()["balance_ms"] == 600_000
    async with asyncio.timeout(WAIT_S):
        while (latest := (await free.http.get("/v1/transactions")).json()["items"][0])["kind"] != "reverse":
            await asyncio.sleep(0.1)  # until it is recorded
    assert (latest["ms"], latest["grant"], latest["note"]) == (30_000, granted, "by mistake")
    lines = await events(operator.store, tenant=free.id, action="grant.reverse")
    assert [(each.subject, each.details) for each in lines] == [(granted, {"ms": 30_000, "note": "it was one"})]
    lost = await admin.post("/admin/grants/admin:t_nobody:a/reverse")
    assert (lost.status_code, code_of(lost)) == (404, "not_found")


@pytest.mark.parametrize(
    "wrong",
    [{"seconds": 1}, {"tenant": "home"}, {"tenant": "home", "email": "a@b.example", "seconds": 1},
     {"tenant": "home", "seconds": 1, "package": "hour"}, {"tenant": "home", "seconds": -1},
     {"tenant": "home", "seconds": 2**40}, {"tenant": "home", "package": "hour", "expires": "2030-01-01T00:00:00Z"},
     {"tenant": "home", "seconds": 1, "expires": "2030-01-01T00:00:00"}, {"tenant": "home", "seconds": True}],
)  # fmt: skip
async def test_what_cannot_be_given(admin: httpx.AsyncClient, wrong: dict[str, Any]) -> None:
    answer = await admin.post("/admin/grants", json=wrong)
    assert (answer.status_code, code_of(answer)) == (400, "bad_message")


async def test_seconds_are_found_by_the_address_of_who_owns_them(
    admin: httpx.AsyncClient, free: Tenant, operator: Operator
) -> None:
    address = f"{free.id}@example.org"
    await operator.store.execute("INSERT INTO users (id, email) VALUES ($1, $2)", free.id, address)
    await operator.store.execute("INSERT INTO members (tenant, user_id) VALUES ($1, $1)", free.id)
    given = await admin.post("/admin/grants", json={"email": address.upper(), "seconds": 5})
    assert given.json()["tenant"] == free.id
    assert (await admin.post("/admin/grants", json={"email": "no@body.example", "seconds": 5})).status_code == 404
    refund = await admin.post("/admin/refunds", json={"email": address, "seconds": 2, "note": "it crackled"})
    assert (refund.json()["kind"], refund.json()["ms"]) == ("refund", 2_000)


async def test_the_price_of_a_model(admin: httpx.AsyncClient) -> None:
    assert (await admin.put("/admin/prices/kokoro", json={"permille": 2_500})).status_code == 200
    assert {"model": "kokoro", "permille": 2_500} in (await admin.get("/admin/prices")).json()["items"]
    assert (await admin.put("/admin/prices/kokoro", json={"permille": -1})).status_code == 400


async def test_they_are_described(admin: httpx.AsyncClient) -> None:
    paths = (await admin.get("/openapi.json")).json()["paths"]
    described = {re.sub(r"\{\w+\}", "{}", path) for path in paths}
    ours = {"/v1/plans", "/v1/me/plan", "/v1/users/me/credits", "/admin/grants", "/admin/tenants/{}/quotas"}
    assert ours <= described
