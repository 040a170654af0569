"""A server that is killed in the midst of jobs: the next one ends them, each text whole, and billed once."""

from __future__ import annotations

import asyncio
import contextlib
import io
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile

from tests.faults.serving import KEY, Server, serving

WAIT_S = 60
HEADERS = {"Authorization": f"Bearer {KEY}"}
TEXTS = [
    f"Text number {number} begins. " + "It has some more words to say, and then some. " * 60 for number in range(5)
]
SECONDS_EACH = 120.0  # that a server gets to speak
LEASE_S = 3.0
TONE = {"rtf": 0.004}  # a text takes about half a second: each server is killed with some spoken, some not, some begun


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="voicewire-"))  # short: sockets live in it
    yield folder
    shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, headers=HEADERS, trust_env=False, timeout=WAIT_S) as client:
        yield client


async def job_of(http: httpx.AsyncClient, id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(f"/v1/jobs/{id}")).raise_for_status().json()
    return found


async def spoken(server: Server, id: str, seconds: float) -> None:
    """Wait until so many seconds are spoken."""
    async with client_of(server) as http, asyncio.timeout(WAIT_S):
        while (await job_of(http, id))["seconds_done"] < seconds:
            await asyncio.sleep(0.02)


async def audio_ms(http: httpx.AsyncClient, id: str) -> list[int]:
    """How long the file of each text lasts; each is what its item says."""
    found = []
    for item in (await http.get(f"/v1/jobs/{id}/items")).raise_for_status().json()["items"]:
        data = (await http.get(item["audio"])).raise_for_status().content
        info = soundfile.info(io.BytesIO(data))
        found.append(info.frames * 1_000 // info.samplerate)
        assert found[-1] == round(item["seconds_done"] * 1_000)
    return found


async def used_ms(http: httpx.AsyncClient, least: int) -> int:
    """What is recorded, once it is at least so much and grows no more."""
    before, total = -1, 0
    async with asyncio.timeout(WAIT_S):
        while total != before or total < least:
            await asyncio.sleep(0.8)
            before, total = total, (await http.get("/v1/usage")).json()["total"]["audio_ms"]
    return total


async def outlive(folder: Path, *ends: signal.Signals) -> None:
    """Do a batch with servers that end so, one after the other, and one that ends it."""
    body = {"items": [{"text": text} for text in TEXTS], "seed": 1}
    id, heard = "", 0.0
    for end in ends:
        async with serving(folder, tone=TONE, jobs_at_once=2, lease_s=LEASE_S) as server:
            async with client_of(server) as http:
                id = id or (await http.post("/v1/batch", json=body)).raise_for_status().json()["job_id"]
            heard += SECONDS_EACH
            await spoken(server, id, heard)
            await server.end(end)
    async with serving(folder, tone=TONE, jobs_at_once=2, lease_s=LEASE_S) as server, client_of(server) as http:
        async with asyncio.timeout(WAIT_S):
            while (job := await job_of(http, id))["state"] in {"queued", "running"}:
                await asyncio.sleep(0.05)
        assert (job["state"], job["items"]["done"]) == ("done", len(TEXTS))
        lasts = await audio_ms(http, id)
        alone = await http.post("/v1/tts", json={"text": TEXTS[0], "seed": 1})
        assert (len(alone.content) - 44) // 48 == lasts[0]
        assert await used_ms(http, sum(lasts) + lasts[0]) == sum(lasts) + lasts[0]


@pytest.mark.nightly
@pytest.mark.timeout(120)
async def test_a_job_outlives_a_server_that_is_killed(folder: Path) -> None:
    await outlive(folder, signal.SIGKILL)


@pytest.mark.nightly
@pytest.mark.timeout(300)
async def test_a_job_outlives_many_servers(folder: Path) -> None:
    await outlive(folder, signal.SIGTERM, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)
