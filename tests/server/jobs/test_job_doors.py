"""Jobs on a real server that sells: asked for, spoken, paid, fetched, told of, cancelled, heard."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from websockets.asyncio.client import connect

from tests.conftest import Served
from tests.server.jobs.receiving import receiving
from tests.server.selling import Tenant, code_of, joins
from voicewire.commands.operator import Operator
from voicewire.frames import unpack_audio

WAIT_S = 30
FRAME_MS = 20
TEXT = "It costs $4.50, doesn't it? Yes. It does, indeed."
LONG = "And so it goes on, and on, and on, without an end. " * 6_000  # hours of it
SECONDS = 3_600

Joins = Callable[..., Awaitable[Tenant]]


@pytest.fixture
async def joined(operator: Operator, selling: Served, admin: httpx.AsyncClient) -> AsyncIterator[Joins]:
    """Makes somebody with so many seconds."""
    tenants: list[Tenant] = []

    async def join(seconds: int = SECONDS, requests_minute: int = 600) -> Tenant:
        plan = f"jobs-{seconds}-{requests_minute}"
        row = {"name": plan, "price_cents": 0, "seconds": seconds, "requests_minute": requests_minute, "streams": 5}
        (await admin.put(f"/admin/plans/{plan}", json=row | {"request_chars": 1_000_000})).raise_for_status()
        tenants.append(await joins(operator, selling, plan))
        return tenants[-1]

    yield join
    for tenant in tenants:
        await tenant.http.aclose()


async def ask(tenant: Tenant, **fields: object) -> dict[str, Any]:
    answer = await tenant.http.post("/v1/models/tone/tts", json={"text": TEXT} | fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{made['job_id']}"
    return made


async def state(tenant: Tenant, job: str) -> dict[str, Any]:
    found: dict[str, Any] = (await tenant.http.get(f"/v1/jobs/{job}")).raise_for_status().json()
    return found


async def over(tenant: Tenant, job: str) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_S):
        while (found := await state(tenant, job))["state"] in {"queued", "running"}:
            await asyncio.sleep(0.05)
    return found


async def spent_ms(tenant: Tenant, seconds: int = SECONDS) -> int:
    """What is gone of the balance, once nothing of it is held."""
    async with asyncio.timeout(WAIT_S):
        while (credit := (await tenant.http.get("/v1/users/me/credits")).json())["held_ms"]:
            await asyncio.sleep(0.05)
    return int(seconds * 1_000 - credit["balance_ms"])


async def test_a_job_becomes_a_file_that_costs_what_it_lasts(joined: Joins) -> None:
    tenant = await joined()
    made = await ask(tenant, format="flac")
    assert (made["webhook_secret"], made["est_sec"] > 0) == (None, True)
    job = await over(tenant, made["job_id"])
    assert (job["state"], job["error"], job["items"]["done"]) == ("done", None, 1)
    assert job["seconds_done"] == job["seconds_total"] > 1
    audio = await tenant.http.get(job["audio"])
    assert audio.headers["content-type"] == "audio/flac"
    samples, rate_hz = soundfile.read(io.BytesIO(audio.content), dtype="int16")
    assert len(samples) / rate_hz == pytest.approx(job["seconds_done"], abs=0.001)
    assert np.abs(samples).max() > 5_000
    words = (await tenant.http.get(job["words"])).json()
    assert [TEXT[a:b] for a, b, _, _ in words["words"]] == ["It", "costs", "$4.50", "doesn't", "it", "Yes", "It",
                                                            "does", "indeed"]  # fmt: skip
    assert words["audio_ms"] == round(job["seconds_done"] * 1_000) == await spent_ms(tenant)


async def test_a_file_is_had_in_parts_and_only_when_it_is_new(joined: Joins) -> None:
    tenant = await joined()
    job = await over(tenant, (await ask(tenant))["job_id"])
    whole = await tenant.http.get(job["audio"])
    etag = f'"{hashlib.sha256(whole.content).hexdigest()}"'
    assert (whole.headers["etag"], whole.headers["accept-ranges"]) == (etag, "bytes")
    size = len(whole.content)
    for asked, part in (
        ("bytes=0-9", slice(0, 10)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-7", slice(-7, None)),
        (f"bytes={size - 3}-{size + 50}", slice(-3, None)),
    ):
        some = await tenant.http.get(job["audio"], headers={"Range": asked, "If-Range": etag})
        assert (some.status_code, some.content) == (206, whole.content[part])
        assert some.headers["content-range"].endswith(f"/{size}")
    for ignored in ("bytes=9-0", "bytes=-", "lines=1-2", "bytes=0-1,5-6", "bytes=x-y"):
        assert (await tenant.http.get(job["audio"], headers={"Range": ignored})).content == whole.content
    other = await tenant.http.get(job["audio"], headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert (other.status_code, len(other.content)) == (200, size)
    beyond = await tenant.http.get(job["audio"], headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, code_of(beyond)) == (416, "range_not_satisfiable")
    known = await tenant.http.get(job["audio"], headers={"If-None-Match": f'"other", {etag}'})
    assert (known.status_code, known.content) == (304, b"")


async def test_of_many_texts_each_ends_by_itself_and_what_fails_costs_nothing(joined: Joins) -> None:
    seconds = 30
    tenant = await joined(seconds)
    items: list[dict[str, object]] = [
        {"text": "One.", "name": "first"},
        {"text": TEXT * 100, "name": "too long for what is paid"},
        {"text": "👍"},
        {"text": "Two.", "speed": 2.0, "voice": "high"},
    ]
    async with receiving() as receiver:
        body = {"items": items, "model": "tone", "webhook": receiver.url}
        made = (await tenant.http.post("/v1/batch", json=body)).raise_for_status().json()
        assert made["ws_url"] is None
        job = await over(tenant, made["job_id"])
        message = await receiver.next()
    assert (job["state"], job["error"]["code"]) == ("done", "insufficient_credit")
    assert job["items"] == {"queued": 0, "running": 0, "done": 3, "failed": 1, "cancelled": 0}
    assert message.signed_with(made["webhook_secret"])
    assert message.told["data"]["items"] == job["items"]
    page = (await tenant.http.get(f"/v1/jobs/{made['job_id']}/items?limit=3")).json()
    rest = (await tenant.http.get(f"/v1/jobs/{made['job_id']}/items?after={page['next']}")).json()
    found = [*page["items"], *rest["items"]]
    assert [each["state"] for each in found] == ["done", "failed", "done", "done"]
    assert [each["name"] for each in found] == [each.get("name", "") for each in items]
    assert found[1]["error"]["code"] == "insufficient_credit"
    assert found[1]["audio"] is None
    assert (await tenant.http.get(f"/v1/jobs/{made['job_id']}/audio?item=1")).status_code == 404
    lasts_ms = 0
    for each in (found[0], found[2], found[3]):
        data = (await tenant.http.get(each["audio"])).raise_for_status().content
        lasts_ms += (len(data) - 44) // 2 // 24
        assert len(data) == each["size_bytes"]
    assert round(1_000 * sum(each["seconds_done"] for each in found if each["audio"])) == lasts_ms
    assert await spent_ms(tenant, seconds) == lasts_ms


async def test_nothing_to_say_is_an_empty_file(joined: Joins) -> None:
    tenant = await joined()
    for text, kind in (("", "wav"), (" \n ", "mp3"), ("", "opus")):
        job = await over(tenant, (await ask(tenant, text=text, format=kind))["job_id"])
        assert (job["state"], job["error"], job["seconds_done"]) == ("done", None, 0)
        spoken = await tenant.http.post("/v1/tts", json={"text": text, "model": "tone", "format": kind})
        assert spoken.status_code == 200
        assert len((await tenant.http.get(job["audio"])).raise_for_status().content) == len(spoken.content)
        assert (await tenant.http.get(job["words"])).json()["words"] == []


async def test_a_cancelled_job_stops_and_keeps_what_it_cost(joined: Joins) -> None:
    tenant = await joined(100 * SECONDS)
    async with receiving() as receiver:
        made = await ask(tenant, text=LONG, webhook=receiver.url)
        async with asyncio.timeout(WAIT_S):
            while not (await state(tenant, made["job_id"]))["seconds_done"]:
                await asyncio.sleep(0.05)
        job = (await tenant.http.delete(f"/v1/jobs/{made['job_id']}")).raise_for_status().json()
        assert (job["state"], job["audio"]) == ("cancelled", None)
        assert job["seconds_done"] < job["seconds_total"]
        assert (await receiver.next()).told["type"] == "job.cancelled"
    before = -1
    async with asyncio.timeout(WAIT_S):
        while (spent := await spent_ms(tenant, 100 * SECONDS)) != before:
            before = spent
            await asyncio.sleep(1.5)  # longer than it takes to hear of it
    assert 0 < spent < 3_600_000
    assert (await state(tenant, made["job_id"]))["state"] == "cancelled"
    forgotten = await tenant.http.delete(f"/v1/jobs/{made['job_id']}")
    assert forgotten.json()["state"] == "cancelled"
    assert (await tenant.http.get(f"/v1/jobs/{made['job_id']}")).status_code == 404


async def test_a_job_waits_where_a_plan_allows_no_more_requests(joined: Joins) -> None:
    tenant = await joined(requests_minute=2)
    body = {"items": [{"text": "One."}, {"text": "Two."}, {"text": "Three."}], "model": "tone"}
    made = (await tenant.http.post("/v1/batch", json=body)).raise_for_status().json()
    async with asyncio.timeout(WAIT_S):
        while (job := await state(tenant, made["job_id"]))["items"]["done"] < 2:
            await asyncio.sleep(0.05)
    assert job["items"]["failed"] == 0
    assert job["state"] == "running"


async def test_what_is_asked_again_is_the_same_job(joined: Joins) -> None:
    tenant = await joined()
    headers = {"Idempotency-Key": "once"}
    body = {"text": TEXT}
    answers = [await tenant.http.post("/v1/models/tone/tts", json=body, headers=headers) for _ in range(3)]
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    other = await tenant.http.post("/v1/models/tone/tts", json={"text": "Another."}, headers=headers)
    assert (other.status_code, code_of(other)) == (409, "conflict")
    listed = (await tenant.http.get("/v1/jobs")).json()["items"]
    assert [job["job_id"] for job in listed] == [answers[0].json()["job_id"]]


async def test_its_text_is_heard_live(joined: Joins) -> None:
    tenant, stranger = await joined(), await joined()
    made = await ask(tenant)
    assert made["ws_url"].startswith(str(tenant.http.base_url).replace("http", "ws", 1)), "as it was asked itself"
    headers = {"Authorization": f"Bearer {tenant.key}"}
    frames = 0
    said: list[dict[str, Any]] = []
    async with connect(made["ws_url"], additional_headers=headers, proxy=None) as socket, asyncio.timeout(WAIT_S):
        while not said or said[-1]["type"] not in {"done", "error"}:
            data = await socket.recv()
            if isinstance(data, bytes):
                frames += len(unpack_audio(data)[4])
            else:
                said.append(json.loads(data))
    assert [said[0]["type"], said[1]["type"], said[-1]["type"]] == ["ready", "opened", "done"]
    assert said[-1]["context"] == made["job_id"]
    job = await over(tenant, made["job_id"])
    assert FRAME_MS * frames == said[-1]["audio_ms"] == round(job["seconds_done"] * 1_000)
    headers = {"Authorization": f"Bearer {stranger.key}"}
    async with connect(made["ws_url"], additional_headers=headers, proxy=None) as socket, asyncio.timeout(WAIT_S):
        messages = [json.loads(await socket.recv()) for _ in range(2)]
        assert [message.get("code") for message in messages] == [None, "not_found"]


REFUSED: list[tuple[str, dict[str, object], int, str]] = [
    ("/v1/models/nothing/tts", {"text": TEXT}, 404, "unknown_model"),
    ("/v1/models/tone/tts", {"text": TEXT, "voice": "nobody"}, 404, "unknown_voice"),
    ("/v1/models/tone/tts", {"text": TEXT, "format": "opus", "rate": 44_100}, 400, "unsupported_format"),
    ("/v1/models/tone/tts", {"text": "a\0b"}, 400, "bad_message"),
    ("/v1/models/tone/tts", {"text": "\ud800"}, 400, "bad_message"),
    ("/v1/models/tone/tts", {"text": TEXT, "webhook": "http://127.0.0.1/"}, 400, "bad_message"),
    ("/v1/models/tone/tts", {"text": TEXT, "webhook": "https://example.org:22/"}, 400, "bad_message"),
    ("/v1/models/tone/tts", {"text": TEXT, "webhook": "HTTP://LOCALHOST./"}, 400, "bad_message"),
    ("/v1/models/tone/tts", {"text": TEXT, "seed": True}, 400, "bad_message"),
    ("/v1/models/tone/tts", {"text": TEXT, "speed": True}, 400, "bad_message"),
    ("/v1/batch", {"items": [{"text": TEXT}], "rate": "8000"}, 400, "bad_message"),
    ("/v1/batch", {"items": []}, 400, "bad_message"),
    ("/v1/batch", {"items": [{"text": TEXT, "voice": "nobody"}]}, 400, "bad_message"),
    ("/v1/batch", {"items": [{"text": "x"}] * 1_001}, 400, "bad_message"),
]


@pytest.mark.parametrize(("path", "body", "status", "code"), REFUSED)
async def test_what_cannot_be_done_is_said_at_once(
    served: Served, path: str, body: dict[str, object], status: int, code: str
) -> None:
    headers = {"X-API-Key": served.key, "Content-Type": "application/json"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, trust_env=False) as client:
        answer = await client.post(path, content=json.dumps(body))
    assert (answer.status_code, code_of(answer)) == (status, code), answer.text
