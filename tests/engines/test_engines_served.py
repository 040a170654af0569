"""A real server with engines over servers of others, and with one in an environment of its own."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import subprocess
import sys
import wave
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from tests.conftest import Served, started
from tests.engines import upstream_protocols as protocols
from tests.engines.upstream_protocols import KEY
from tests.engines.upstream_server import Asked, Handler, UpstreamServer, serving
from voicewire.client import connect
from voicewire.config import Config, ConfigError
from voicewire.engines.consent import record
from voicewire.frames import BlockStart, Done, Opened, Words
from voicewire.server.pools import open_pools

ROOT = Path(__file__).parent.parent.parent
PACKAGE = """
from _pytest.monkeypatch import MonkeyPatch
import sys
sys.modules.pop("chatterbox.tts", None)
from tests.engines.stand_ins import install
install(MonkeyPatch())
from chatterbox.tts import ChatterboxTTS
"""


def everywhere(handler: Handler, asked: Asked) -> None:
    """All protocols at one address."""
    if "xi-api-key" in asked.headers:
        protocols.elevenlabs(handler, asked)
    else:
        protocols.openai(handler, asked)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has what this one lacks: stand-ins for packages, which are nowhere on this one's path."""
    folder = tmp_path_factory.mktemp("environment")
    (folder / "chatterbox").mkdir()
    (folder / "chatterbox/__init__.py").write_text("")
    (folder / "chatterbox/tts.py").write_text(PACKAGE)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}:{ROOT}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o700)
    (folder / "samples").mkdir()
    (folder / "samples/ada.wav").write_bytes(b"RIFF and so on")
    record(folder / "samples/ada.wav", who="Ada Example", when="2026-01-31", text="I agree.")
    return folder


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamServer]:
    with serving(everywhere) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(upstream: UpstreamServer, environment: Path) -> Iterator[Served]:
    settings = {
        "ENGINES": "openai,elevenlabs,chatterbox",
        "DEFAULT_MODEL": "openai",
        "OPENAI_URL": f"{upstream.url}/v1",
        "OPENAI_KEY": KEY,
        "ELEVENLABS_URL": upstream.url,
        "ELEVENLABS_KEY": KEY,
        "CHATTERBOX_PYTHON": str(environment / "python"),
        "CHATTERBOX_SAMPLES": str(environment / "samples"),
    }
    with started({f"VOICEWIRE_{name}": value for name, value in settings.items()}) as served:
        yield served


async def test_the_catalogue_says_how_well_word_times_are_known(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.url, headers={"X-API-Key": served.key}) as client:
        models = (await client.get("/v1/models")).json()["models"]
        voices = (await client.get("/v1/voices")).json()["voices"]
    assert {model["id"]: model["words"] for model in models} == {
        "openai": "none",
        "elevenlabs": "measured",
        "chatterbox": "estimated",
    }
    assert {(voice["model"], voice["id"]) for voice in voices} >= {
        ("openai", "af_sky"),
        ("elevenlabs", "v1"),
        ("chatterbox", "ada"),
    }


@pytest.mark.parametrize("model", ["openai", "elevenlabs", "chatterbox"])
async def test_each_is_heard_live_and_says_what_its_words_are(served: Served, model: str) -> None:
    text = "A few words, and some more."
    async with (
        asyncio.timeout(60),
        connect(served.url, served.key) as client,
        client.speak(text, model=model) as speech,
    ):
        events = [event async for event in speech]
    [opened] = [event for event in events if isinstance(event, Opened)]
    words = [text[start:stop] for event in events if isinstance(event, Words) for start, stop, _, _ in event.words]
    assert opened.words == {"openai": "none", "elevenlabs": "measured", "chatterbox": "estimated"}[model]
    assert words == ([] if model == "openai" else ["A", "few", "words", "and", "some", "more"])
    [done] = [event for event in events if isinstance(event, Done)]
    assert done.audio_ms > 1_000


@pytest.mark.parametrize(("model", "times"), [("elevenlabs", "measured"), ("chatterbox", "estimated")])
async def test_a_text_over_http_is_whole_and_says_what_its_words_are(served: Served, model: str, times: str) -> None:
    wanted = {"text": "One sentence. And another one.", "model": model, "format": "wav"}
    async with httpx.AsyncClient(base_url=served.url, headers={"X-API-Key": served.key}, timeout=60) as client:
        answer = await client.post("/v1/tts", params={"timestamps": "true"}, json=wanted)
        words = (await client.get(answer.headers["Words-Location"])).json()
    assert answer.status_code == 200, answer.text
    with wave.open(BytesIO(answer.content)) as sound:
        assert sound.getnframes() > sound.getframerate()
    assert (len(words["words"]), words["times"]) == (5, times)


def test_keys_of_upstreams_stand_in_no_command_line(served: Served) -> None:
    lines = subprocess.check_output(["ps", "-wweo", "args"], text=True).splitlines()
    workers = [line for line in lines if re.search(r"-m voicewire\.worker --fd", line)]
    assert workers
    assert served.url
    assert not [line for line in workers if KEY in line]


async def test_an_upstream_that_refuses_the_key_stops_the_start_and_says_so(
    upstream: UpstreamServer, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config(engines=("openai",), workers=1, openai_url=f"{upstream.url}/v1", openai_key="wrong-key-5")
    async with asyncio.timeout(60), contextlib.AsyncExitStack() as stack:
        with pytest.raises(ConfigError, match="openai does not start: the upstream answers HTTP 401 invalid_api_key"):
            await open_pools(config, stack)
    assert "wrong-key-5" not in caplog.text


async def test_a_consent_that_is_taken_away_takes_what_was_kept_with_it(served: Served, environment: Path) -> None:
    consent = environment / "samples/ada.consent.json"
    text = f"{secrets.token_hex(8)} was said with consent."
    async with httpx.AsyncClient(base_url=served.url, headers={"X-API-Key": served.key}, timeout=60) as client:

        async def speak(voice: str, format: str) -> int:
            wanted = {"text": text, "model": "chatterbox", "voice": voice, "format": format}
            return (await client.post("/v1/tts", json=wanted)).status_code

        async def listed(*voices: str) -> None:
            async with asyncio.timeout(30):
                while [*voices] != [voice["id"] for voice in await _voices(client, "chatterbox")]:
                    await asyncio.sleep(0.05)

        async def door(audio: str) -> int:
            return (await client.get(f"/v1/audio/{audio}")).status_code

        hers, own = [await _hear(served, text, voice) for voice in ("ada", "default")]
        assert [await speak("ada", "opus"), await door(hers), await door(own)] == [200, 200, 200]
        given = consent.read_bytes()
        consent.unlink()
        try:
            await listed("default")
            assert [await speak("ada", "opus"), await speak("ada", "flac")] == [404, 404]
            assert [await speak("default", "flac"), await door(hers), await door(own)] == [200, 404, 200]
            record(environment / "samples/ada.wav", who="Ada Example", when="2026-02-02", text="I agree anew.")
            await listed("default", "ada")
            assert await door(hers) == 404, "what was made with another consent"
            assert await _hear(served, text, "ada") != hers
        finally:
            consent.write_bytes(given)
        async with asyncio.timeout(30):
            while await door(hers) == 404:
                await asyncio.sleep(0.05)


async def _voices(client: httpx.AsyncClient, model: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = (await client.get(f"/v1/models/{model}/voices")).json()["voices"]
    return found


async def _hear(served: Served, text: str, voice: str) -> str:
    """Speak live; return the name of the one block's clip."""
    async with (
        asyncio.timeout(60),
        connect(served.url, served.key) as client,
        client.speak(text, model="chatterbox", voice=voice) as speech,
    ):
        [name] = [event.audio async for event in speech if isinstance(event, BlockStart)]
    assert isinstance(name, str)
    return name
