"""Vendors' own packages, unmodified, speak to a real server: `make interop` makes the environments that they run in."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Served, started

FOLDER = Path(__file__).parent
ENVIRONMENTS = FOLDER.parents[1] / ".venv-interop"
PINNED = dict(
    line.replace("[websockets]", "").split("==") for line in (FOLDER / "packages-core.txt").read_text().split()
)
WITHIN_S = 90


@pytest.fixture(scope="module")
def speaking() -> Iterator[Served]:
    if not ENVIRONMENTS.exists():
        pytest.skip("`make interop` has not made its environment")
    with started({}) as served:
        yield served


async def told(client: str, served: Served, environment: str = "core") -> Any:
    """Run a client in its environment; return what it said."""
    python = ENVIRONMENTS / environment / "bin" / "python"
    if not python.exists():
        pytest.skip("`make interop` has not made its environment")
    command = (str(python), str(FOLDER / "clients" / f"{client}.py"), served.url, served.key)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={"PATH": "/usr/bin:/bin"}
    )
    async with asyncio.timeout(WITHIN_S):
        out, err = await process.communicate()
    sys.stderr.write(err.decode())
    assert process.returncode == 0
    return json.loads(out.decode().splitlines()[-1])


async def test_openai(speaking: Served) -> None:
    said = await told("openai_sdk", speaking)
    assert said["version"] == PINNED["openai"]
    assert "espeak" in said["models"]
    pcm = said["sizes"].pop("pcm")
    assert 2 < pcm / 48_000 < 6
    assert all(0 < size < pcm + 100 for size in said["sizes"].values())
    assert said["streamed"] == pytest.approx(pcm / 1.25, rel=0.1)
    assert said["request_id"]
    assert said["events"] == ["speech.audio.delta", "speech.audio.done"]
    assert said["refused"] == {
        "voice": ["NotFoundError", "unknown_voice", "voice"],
        "speed": ["BadRequestError", "bad_message", None],
        "key": ["AuthenticationError", "unauthorized", None],
    }


async def test_cartesia(speaking: Served) -> None:
    said = await told("cartesia_sdk", speaking)
    assert said["version"] == PINNED["cartesia"]
    turn, after = said["turn"], said["after"]
    assert turn["words"] == ["Hello", "there", "my", "friend.", "And", "more."]
    assert turn["starts"] == sorted(turn["starts"])
    assert turn["starts"][-1] < turn["bytes"] / 32_000 < 4
    assert turn["types"] == ["chunk", "done", "flush_done", "timestamps"]
    assert turn["last"] == after["last"] == "done"
    assert after["words"] == ["After", "that."]
    assert said["error"] == [["error", "unknown_model"]]
    assert said["bytes"] > 32_000
    assert said["voices"]
    assert said["key"] == "AuthenticationError"


async def test_deepgram(speaking: Served) -> None:
    said = await told("deepgram_sdk", speaking)
    assert said["version"] == PINNED["deepgram-sdk"]
    assert said["first"] == "Metadata"
    assert 2 < said["bytes"] / 48_000 < 6
    assert (said["flushed"], said["cleared"], said["flushed_again"]) == (0, 1, 2)
    assert 0 < said["after"] < said["bytes"] / 2
    assert said["file"] > 1_000
    assert said["key"] == 401


async def test_elevenlabs(speaking: Served) -> None:
    said = await told("elevenlabs_sdk", speaking)
    assert said["version"] == PINNED["elevenlabs"]
    assert "espeak" in said["models"]
    assert said["voice"] == said["voices"][0]
    assert said["found"] >= 3
    seconds = said["pcm"] / 32_000
    assert 2 < seconds < 6
    assert said["ulaw"] / 8_000 == pytest.approx(seconds, abs=0.05)
    assert said["live"] / 32_000 == pytest.approx(seconds, abs=0.5)
    assert said["whole"] == ["OggS", "It costs $4.50, doesn't it? Yes."]
    assert said["parts"] == "It costs $4.50, doesn't it? Yes."
    assert (said["refused"], said["key"]) == (404, 401)
