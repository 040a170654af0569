"""Vendors' sockets that can be interrupted are sent little ahead, also of a chain of utterances: so little is lost."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.conftest import Served
from tests.server.two_tenants import Tenant, new_tenant
from voicewire.server.dialects.ahead import LEAST_MS, Ahead

LEAD_MS = 3_000
GROUP_MS = 80  # what goes together, and a frame may be begun
PARTS = 4
ENOUGH_MS = 4_500  # far more than the lead: without one it comes at once
TEXT = "One two three four five six seven eight nine ten. " * 2
RATE_HZ = 16_000
WAIT_S = 60
VOICE = {"mode": "id", "id": "f786b574-daa5-4673-aa0c-cbe3e8534c02"}
FORMAT = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": RATE_HZ}


def test_what_was_before_counts_until_it_was_heard() -> None:
    ahead = Ahead(LEAD_MS)
    assert ahead.lead_ms(10.0) == LEAD_MS
    ahead.sent(2_000, 10.0)
    assert (ahead.lead_ms(10.0), ahead.lead_ms(11.0), ahead.lead_ms(20.0)) == (1_000, 2_000, LEAD_MS)
    ahead.sent(2_500, 11.0)
    assert ahead.lead_ms(11.0) == LEAST_MS
    ahead.clear()
    assert ahead.lead_ms(11.0) == LEAD_MS


def cartesia(part: int) -> list[dict[str, Any]]:
    fields = {"context_id": "c", "model_id": "sonic-3", "voice": VOICE, "output_format": FORMAT}
    return [{**fields, "transcript": TEXT, "continue": True, "flush": part >= 0}]


def deepgram(part: int) -> list[dict[str, Any]]:
    return [{"type": "Speak", "text": TEXT}, *([{"type": "Flush"}] if part >= 0 else [])]


def elevenlabs(part: int) -> list[dict[str, Any]]:
    return [{"text": TEXT, "context_id": "c", "flush": part >= 0}]


def base64_of(field: str) -> Callable[[str | bytes], bytes]:
    return lambda data: base64.b64decode(json.loads(data).get(field) or "")


def binary(data: str | bytes) -> bytes:
    return data if isinstance(data, bytes) else b""


SOCKETS = {
    "/tts/websocket": (cartesia, base64_of("data")),
    f"/v1/speak?encoding=linear16&sample_rate={RATE_HZ}": (deepgram, binary),
    f"/v2/speak?model=flux-alexis-en&encoding=linear16&sample_rate={RATE_HZ}": (deepgram, binary),
    f"/v1/text-to-speech/21m00Tcm4TlvDq8ikWAM/multi-stream-input?output_format=pcm_{RATE_HZ}": (
        elevenlabs,
        base64_of("audio"),
    ),
}


async def keeps_to_it(served: Served, path: str) -> None:
    say, sound = SOCKETS[path]
    url, headers = served.url.replace("http", "ws") + path, {"Authorization": f"Bearer {served.key}"}
    async with connect(url, additional_headers=headers, proxy=None) as socket, asyncio.timeout(WAIT_S):
        started = time.monotonic()  # before their clock starts, however late all comes here
        for part in range(PARTS):
            for message in say(part):
                await socket.send(json.dumps(message))
        got_ms = 0.0
        while got_ms < ENOUGH_MS:
            data = await socket.recv()
            assert "rror" not in str(data)[:200], data
            got_ms += len(sound(data)) * 1000 / 2 / RATE_HZ
            most_ms = LEAD_MS + PARTS * LEAST_MS + GROUP_MS
            assert got_ms <= (time.monotonic() - started) * 1000 + most_ms, path


async def test_no_socket_is_far_ahead_of_the_clock(served: Served) -> None:
    async with asyncio.TaskGroup() as tasks:
        for path in SOCKETS:
            tasks.create_task(keeps_to_it(served, path))


@pytest.fixture(scope="module")
def tenant(served: Served) -> Tenant:
    """One that has used nothing yet."""
    return new_tenant(served, "t_ahead")


async def test_an_interruption_costs_what_was_sent(served: Served, tenant: Tenant) -> None:
    path = f"/v1/speak?encoding=linear16&sample_rate={RATE_HZ}"
    url, headers = served.url.replace("http", "ws") + path, {"Authorization": f"Token {tenant.key}"}
    async with connect(url, additional_headers=headers, proxy=None) as socket, asyncio.timeout(WAIT_S):
        for part in (-1, -1, -1, 0):
            for message in deepgram(part):
                await socket.send(json.dumps(message))
        audio = b""
        while len(audio) < RATE_HZ:  # half a second
            audio += binary(await socket.recv())
        await socket.send('{"type":"Clear"}')
        while isinstance(data := await socket.recv(), bytes):
            audio += data
        assert json.loads(data)["type"] == "Cleared"
    got_ms = len(audio) * 1000 // 2 // RATE_HZ
    async with tenant.client(served) as http, asyncio.timeout(WAIT_S):
        while (used := (await http.get("/v1/usage")).json()["total"]["audio_ms"]) != got_ms:
            assert used < got_ms
            await asyncio.sleep(0.1)
