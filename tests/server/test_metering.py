"""What is spoken is paid for, on a real server that sells: on the socket, over HTTP, cut, cancelled, and to the end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from tests.conftest import Served
from tests.server.selling import WAIT_S, Tenant, code_of, hear, joins
from voicewire.commands.operator import Operator
from voicewire.frames import unpack_audio

FREE_MS = 600_000
FRAME_MS = 20
OVERRUN_MS = 1_500  # a sentence may take half as long again as was held for it
SENTENCES = [f"Here is the sentence with the number {number}." for number in ("one", "two", "three", "four", "five")]
TEXT = " ".join(SENTENCES)


Joins = Callable[[int], Awaitable[Tenant]]


@pytest.fixture
async def joined(operator: Operator, selling: Served, admin: httpx.AsyncClient) -> AsyncIterator[Joins]:
    """Makes somebody with so many seconds."""
    tenants: list[Tenant] = []

    async def join(seconds: int) -> Tenant:
        plan = f"only-{seconds}"
        row = {"name": plan, "price_cents": 0, "seconds": seconds, "requests_minute": 600, "streams": 5}
        (await admin.put(f"/admin/plans/{plan}", json=row | {"request_chars": 5_000})).raise_for_status()
        tenants.append(await joins(operator, selling, plan))
        return tenants[-1]

    yield join
    for tenant in tenants:
        await tenant.http.aclose()


async def listen(socket: ClientConnection) -> tuple[dict[str, Any], int]:
    """Take everything of an utterance; return what it ended with, and how many milliseconds came."""
    frames = 0
    async with asyncio.timeout(WAIT_S):
        while True:
            data = await socket.recv()
            if isinstance(data, bytes):
                frames += len(unpack_audio(data)[4])
                continue
            message = json.loads(data)
            if message["type"] in {"done", "cancelled", "error"}:
                return message, FRAME_MS * frames


async def frames_of(socket: ClientConnection, count: int) -> int:
    """Take so many frames at least; return how many milliseconds came."""
    frames = 0
    async with asyncio.timeout(WAIT_S):
        while frames < count:
            data = await socket.recv()
            if isinstance(data, bytes):
                frames += len(unpack_audio(data)[4])
    return FRAME_MS * frames


async def speak(socket: ClientConnection, text: str, **fields: object) -> None:
    await socket.send(json.dumps({"type": "speak", "context": "c", "text": text, "lead_ms": 30_000, **fields}))


async def credit(tenant: Tenant) -> tuple[int, int]:
    """What is left, and how much of it is held."""
    answer = (await tenant.http.get("/v1/users/me/credits")).json()
    return answer["balance_ms"], answer["held_ms"]


async def until_nothing_is_held(tenant: Tenant) -> int:
    async with asyncio.timeout(WAIT_S):
        while (now := await credit(tenant))[1]:
            await asyncio.sleep(0.05)
    return now[0]


async def is_recorded(tenant: Tenant, ms: int) -> bool:
    """Whether the record comes to so much, and stays there; it is written four times a second."""

    async def charged_ms() -> int:
        return int((await tenant.http.get("/v1/usage")).json()["total"]["charged_ms"])

    async with asyncio.timeout(WAIT_S):
        while await charged_ms() < ms:
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.6)
    return await charged_ms() == ms


async def test_done_says_what_it_cost_and_what_is_left(joined: Joins) -> None:
    tenant = await joined(FREE_MS // 1000)
    socket = await tenant.connect()
    assert (await hear(socket))["balance_ms"] == FREE_MS
    await speak(socket, TEXT)
    done, heard_ms = await listen(socket)
    assert done["billed_ms"] == done["audio_ms"] == heard_ms > 0
    assert done["balance_ms"] == FREE_MS - heard_ms
    for times in range(2, 8):
        await speak(socket, TEXT)  # it was made before, and costs the same
        again, _ = await listen(socket)
        assert (again["cached_ms"], again["billed_ms"]) == (heard_ms, heard_ms)
        assert again["balance_ms"] == FREE_MS - times * heard_ms
    assert await credit(tenant) == (FREE_MS - 7 * heard_ms, 0)
    assert await is_recorded(tenant, 7 * heard_ms)
    await socket.close()


async def test_what_was_not_heard_is_given_back(joined: Joins) -> None:
    tenant = await joined(FREE_MS // 1000)
    socket = await tenant.connect()
    await hear(socket)
    await speak(socket, TEXT, lead_ms=2_000)
    came_ms = await frames_of(socket, 20)
    await asyncio.sleep(0.3)
    await socket.send(json.dumps({"type": "cancel", "context": "c", "played_ms": 200}))
    cancelled, more_ms = await listen(socket)
    heard_ms = came_ms + more_ms
    assert cancelled["billed_ms"] == 200
    assert cancelled["refunded_ms"] == heard_ms - 200 > 0
    assert cancelled["balance_ms"] == FREE_MS - 200
    assert await credit(tenant) == (FREE_MS - 200, 0)
    assert await is_recorded(tenant, 200)
    await socket.close()


async def test_who_is_always_interrupted_pays_for_what_was_sent(joined: Joins) -> None:
    tenant = await joined(FREE_MS // 1000)
    socket = await tenant.connect()
    await hear(socket)
    given_back = []
    paid_ms = 0
    for _ in range(200):
        await speak(socket, TEXT, lead_ms=3_000)
        while not isinstance(await asyncio.wait_for(socket.recv(), WAIT_S), bytes):
            pass
        await socket.send(json.dumps({"type": "cancel", "context": "c", "played_ms": 0}))
        end, _ = await listen(socket)
        assert end["type"] == "cancelled"
        given_back.append(end["refunded_ms"] > 0)
        paid_ms += end["billed_ms"]
        if not given_back[-1]:
            break
    assert given_back[0]
    assert not given_back[-1]
    assert await credit(tenant) == (FREE_MS - paid_ms, 0)
    await socket.close()


async def test_numbers_are_held_for_as_long_as_they_take_to_say(joined: Joins) -> None:
    tenant = await joined(9)
    socket = await tenant.connect()
    await hear(socket)
    await speak(socket, "987654321987 876543219876 765432198765 654321987654.", model="espeak")
    refused, heard_ms = await listen(socket)
    assert (refused["type"], heard_ms) == ("error", 0)
    assert refused["code"] == "insufficient_credit"
    await socket.close()


async def test_speech_ends_behind_a_sentence_that_is_paid(joined: Joins) -> None:
    tenant = await joined(6)
    socket = await tenant.connect()
    await hear(socket)
    await socket.send(json.dumps({"type": "speak", "context": "c", "text": TEXT, "lead_ms": 30_000}))
    spans: list[list[int]] = []
    frames = 0
    while True:
        data = await asyncio.wait_for(socket.recv(), WAIT_S)
        if isinstance(data, bytes):
            frames += len(unpack_audio(data)[4])
        elif (message := json.loads(data))["type"] == "block":
            spans.append(message["span"])
        elif message["type"] in {"error", "done"}:
            break
    assert (message["code"], message["context"]) == ("insufficient_credit", "c")
    assert TEXT[: spans[-1][1]].rstrip().endswith((".", ","))
    assert spans[-1][1] < len(TEXT)
    assert 0 < FRAME_MS * frames <= 6_000 + OVERRUN_MS
    assert await until_nothing_is_held(tenant) == max(0, 6_000 - FRAME_MS * frames)
    await socket.send('{"type":"ping"}')
    assert (await hear(socket))["type"] == "pong"  # the socket lives
    await socket.close()


async def test_who_surely_has_enough_waits_for_no_redis(joined: Joins, selling: Served) -> None:
    tenant = await joined(FREE_MS // 1000)
    socket = await tenant.connect()
    await hear(socket)
    await speak(socket, SENTENCES[0])
    _, before_ms = await listen(socket)
    redis = int((selling.data_dir / "redis/redis.pid").read_text())
    os.kill(redis, signal.SIGSTOP)
    try:
        await speak(socket, SENTENCES[1])
        async with asyncio.timeout(WAIT_S):
            while not isinstance(data := await socket.recv(), bytes):
                pass
    finally:
        os.kill(redis, signal.SIGCONT)
    _, heard_ms = await listen(socket)
    assert await until_nothing_is_held(tenant) == FREE_MS - before_ms - FRAME_MS * len(unpack_audio(data)[4]) - heard_ms
    await socket.close()


async def test_a_resume_is_not_billed_twice(joined: Joins) -> None:
    tenant = await joined(FREE_MS // 1000)
    first = await tenant.connect()
    ready = await hear(first)
    await speak(first, SENTENCES[0], lead_ms=1_500)
    seq, received = -1, 0
    while received < 60:
        data = await asyncio.wait_for(first.recv(), WAIT_S)
        if isinstance(data, bytes):
            _, _, seq, _, packets = unpack_audio(data)
            received += len(packets)
    first.transport.abort()
    second = await tenant.connect()
    resume = {"type": "resume", "session": ready["session"], "resume_token": ready["resume_token"]}
    await second.send(json.dumps(resume | {"received": {"c": {"seq": received - 1}}}))
    done, more_ms = await listen(second)
    assert seq >= 0
    assert done["type"] == "done", done
    assert done["audio_ms"] == done["billed_ms"] == FRAME_MS * received + more_ms
    assert done["balance_ms"] == FREE_MS - done["billed_ms"]
    assert await until_nothing_is_held(tenant) == done["balance_ms"]
    assert await is_recorded(tenant, done["billed_ms"])
    await second.close()


async def test_a_lost_listener_pays_for_what_was_handed_over(joined: Joins) -> None:
    tenant = await joined(FREE_MS // 1000)
    socket = await tenant.connect()
    await hear(socket)
    await speak(socket, TEXT, lead_ms=1_000)
    heard_ms = await frames_of(socket, 30)
    socket.transport.abort()
    await asyncio.sleep(0.5)
    left = await until_nothing_is_held(tenant)
    assert heard_ms <= FREE_MS - left <= 3_000
    assert await is_recorded(tenant, FREE_MS - left)


async def test_one_shot_speech_costs_what_it_lasts_and_ends_with_the_credit(joined: Joins) -> None:
    tenant = await joined(6)
    answer = await tenant.speak(SENTENCES[0])
    lasts_ms = (len(answer.content) - 44) // 2 // 24
    assert await until_nothing_is_held(tenant) == 6_000 - lasts_ms
    with pytest.raises(httpx.RemoteProtocolError):  # truncated audio never ends as success
        await tenant.speak(TEXT + " Never spoken.")
    left = await until_nothing_is_held(tenant)
    assert 0 <= left < 6_000 - lasts_ms
    refused = await tenant.speak("This is a sentence that nobody can pay any more.")
    assert (refused.status_code, code_of(refused)) == (402, "insufficient_credit")
    assert await is_recorded(tenant, 6_000 - left)


async def test_where_nothing_is_sold_all_is_recorded(served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.key}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, trust_env=False, timeout=WAIT_S) as client:
        before = (await client.get("/v1/usage")).json()["total"]["audio_ms"]
        answer = await client.post("/v1/tts", json={"text": "Nobody pays for this, and it counts.", "model": "tone"})
        lasts_ms = (len(answer.content) - 44) // 2 // 24
        async with asyncio.timeout(WAIT_S):
            while (await client.get("/v1/usage")).json()["total"]["audio_ms"] < before + lasts_ms:
                await asyncio.sleep(0.1)
        assert (await client.get("/v1/users/me/credits")).json()["balance_ms"] is None
