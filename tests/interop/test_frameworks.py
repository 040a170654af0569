"""Frameworks for voice agents, unmodified, speak to a real server: `make interop-all` makes the environments."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Served, started

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
WITHIN_S = 110
TEXT = "Hello there, friend. It costs $4.50 today. How are you?"
WORDS = TEXT.split()
BYTES_PER_S = 48_000
ALIGNED = ("voicewire", "cartesia", "elevenlabs")  # these tell their words
WHOLE = ("deepgram", "openai")


@pytest.fixture(scope="module")
def speaking() -> Iterator[Served]:
    if not any((ROOT / ".venv-interop" / framework).exists() for framework in ("pipecat", "livekit")):
        pytest.skip("`make interop-all` has not made its environments")
    with started({"VOICEWIRE_DEFAULT_MODEL": "espeak"}) as served:
        yield served


async def told(framework: str, client: str, served: Served, service: str) -> Any:
    """Run a client in its framework's environment; return what it said."""
    python = ROOT / ".venv-interop" / framework / "bin" / "python"
    if not python.exists():
        pytest.skip("`make interop-all` has not made its environment")
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}  # our own service is in this repository
    process = await asyncio.create_subprocess_exec(
        *(str(python), str(FOLDER / "clients" / f"{client}.py"), served.url, served.key, service),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
    )
    async with asyncio.timeout(WITHIN_S):
        out, err = await process.communicate()
    sys.stderr.write(err.decode())
    assert process.returncode == 0
    said = json.loads(out.decode().splitlines()[-1])
    assert said["version"] == pinned(framework)
    return said


def pinned(framework: str) -> str:
    [version] = re.findall(r"^[\w-]+\[.+\]==(.+)", (FOLDER / f"packages-{framework}.txt").read_text(), re.MULTILINE)
    return str(version)


@pytest.mark.parametrize("service", [*ALIGNED, *WHOLE])
async def test_pipecat(speaking: Served, service: str) -> None:
    said = await told("pipecat", "pipecat_services", speaking, service)
    turn, cut, wrong = said["turn"], said["cut"], said["wrong"]
    assert (turn["started"], turn["stopped"], turn["errors"]) == (1, 1, [])
    assert 3 < turn["bytes"] / BYTES_PER_S < 8
    assert " ".join(turn["words"]) == TEXT
    assert 0 < cut["bytes_cut"] < cut["bytes"]
    assert cut["errors"] == []
    assert " ".join(cut["words_after"]) == "After that."
    assert wrong["bytes"] == 0
    assert any("401" in error or "credential" in error for error in wrong["errors"])
    if service in ALIGNED:
        assert turn["words"] == WORDS
        assert turn["ascending"]
        assert cut["bytes"] - cut["bytes_cut"] < 2 * BYTES_PER_S, "nothing of what was cut comes behind it"


@pytest.mark.parametrize("service", [*ALIGNED, *WHOLE])
async def test_livekit(speaking: Served, service: str) -> None:
    said = await told("livekit", "livekit_plugins", speaking, service)
    turn, after = said["turn"], said["after"]
    assert 3 < turn["duration"] < 8
    assert after["duration"] == pytest.approx(turn["duration"], abs=0.1), "nothing of what was cut is in it"
    assert after["text"] == turn["text"]
    assert 0.5 < said["whole"] < 2
    assert said["wrong"] == ["APIStatusError", 401]
    if service in ALIGNED:
        assert said["aligned"]
        assert turn["text"].strip() == TEXT
        assert turn["starts"] == sorted(turn["starts"])
        assert len(turn["starts"]) == len(WORDS)
        assert turn["starts"][-1] < turn["duration"]
