"""The catalogue, tickets, health and pages, on a real server, by whom they may be had."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Served
from voicewire.server.metrics import ELSEWHERE, OWN, READ


@pytest.fixture
async def stranger(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without a key, whom nothing shows to be at this machine."""
    headers = {"X-Forwarded-For": "192.0.2.1"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers) as client:
        yield client


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {served.key}", "X-Forwarded-For": "192.0.2.1"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers) as client:
        yield client


async def test_models_and_their_voices(http: httpx.AsyncClient) -> None:
    models = (await http.get("/v1/models")).json()["models"]
    assert [model["id"] for model in models] == ["tone", "espeak"]
    voices = (await http.get("/v1/models/espeak/voices")).json()["voices"]
    assert {voice["model"] for voice in voices} == {"espeak"}
    assert len(voices) > 100
    everybody = (await http.get("/v1/voices")).json()["voices"]
    assert len(everybody) > len(voices)
    german = (await http.get("/v1/voices?language=de")).json()["voices"]
    assert german
    assert all(voice["language"].startswith("de") for voice in german)
    women = (await http.get("/v1/voices?gender=female")).json()["voices"]
    assert {voice["gender"] for voice in women} == {"female"}


async def test_a_voice_by_id_and_by_name(http: httpx.AsyncClient) -> None:
    voice = (await http.get("/v1/voices/en-us")).json()
    assert (await http.get(f"/v1/voices/{voice['name'].upper()}")).json() == voice
    assert (await http.get("/v1/voices/nobody")).status_code == 404
    assert (await http.get("/v1/models/nothing/voices")).json()["error"]["code"] == "unknown_model"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/voices", "/v1/voices/en-us", "/v1/models/tone/voices"])
async def test_a_stranger_is_asked_for_a_key(stranger: httpx.AsyncClient, path: str) -> None:
    answer = await stranger.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert (await stranger.post("/v1/tts", json={"text": "Hello."})).status_code == 401
    assert (await stranger.post("/v1/tickets", json={})).status_code == 401


async def test_the_servers_own_page_on_this_machine_needs_no_key(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.url) as client:
        assert (await client.get("/v1/voices")).status_code == 200
        ticket = await client.post("/v1/tickets", json={}, headers={"Origin": served.url})
        assert len(ticket.json()["ticket"]) == 43
        assert ticket.json()["expires_ms"] == 30_000
        assert (await client.post("/v1/tickets", json={})).status_code == 401
        foreign = await client.post("/v1/tickets", json={}, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
        rebound = await client.get("/v1/voices", headers={"Host": "evil.example"})
        assert rebound.status_code == 401


async def test_a_secret_in_an_address_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/voices?api_key=vw_live_x")
    assert answer.status_code == 400
    assert "vw_live_x" not in answer.text


async def test_health_and_readiness(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/health")).json() == {"status": "ok"}
    assert (await stranger.get("/ready")).json() == {"ready": True, "missing": []}
    for path in ("/health", "/ready"):
        looked = await stranger.head(path)
        assert (looked.status_code, looked.content) == (200, b"")


async def test_metrics_are_those_of_the_table(http: httpx.AsyncClient) -> None:
    await http.post("/v1/tts", json={"text": "Hello."})
    page = (await http.get("/metrics")).text
    families = {
        family.name: family for family in text_string_to_metric_families(page) if not family.name.endswith("_created")
    }
    assert set(families) == {name.removesuffix("_total") for name in (*OWN, *READ, *ELSEWHERE)}
    [spoken] = [
        s
        for s in families["voicewire_audio_seconds"].samples
        if s.labels == {"transport": "http"} and s.name.endswith("_total")
    ]
    assert spoken.value > 0.3


async def test_every_answer_guards_its_page(stranger: httpx.AsyncClient) -> None:
    for path in ("/", "/docs", "/health", "/nothing"):
        headers = (await stranger.get(path)).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


async def test_the_reader_and_the_docs_load_from_here(stranger: httpx.AsyncClient) -> None:
    reader = await stranger.get("/")
    assert "voicewire" in reader.text
    assert "https://" not in reader.text
    for path in ("/docs", "/docs/page.js", "/docs/assets/swagger-ui-bundle.js", "/docs/assets/swagger-ui.css"):
        assert (await stranger.get(path)).status_code == 200, path


async def test_the_api_describes_itself(stranger: httpx.AsyncClient) -> None:
    description = (await stranger.get("/openapi.json")).json()
    assert set(description["paths"]) >= {"/v1/tts", "/v1/models", "/v1/voices", "/v1/tickets", "/health", "/ready"}
    assert all(operation["summary"] for path in description["paths"].values() for operation in path.values())


async def test_the_doors_of_calls_stand_in_the_description_with_examples(stranger: httpx.AsyncClient) -> None:
    described = (await stranger.get("/openapi.json")).json()
    token, voice = (described["paths"][path]["post"] for path in ("/v1/calls", "/v1/twilio/voice"))
    assert [each["tags"] for each in (token, voice)] == [["calls"]] * 2
    for name in ("CallWanted", "TokenIssued"):
        assert described["components"]["schemas"][name]["examples"]
    assert {"401", "403"} < token["responses"].keys()
    assert voice["security"] == []
    assert "<Connect><Stream url=" in voice["responses"]["200"]["content"]["text/xml"]["example"]
    assert voice["requestBody"]["content"]["application/x-www-form-urlencoded"]["example"]["CallSid"]
