"""Every example runs, as it is, against a real server, and is short enough to be read at once."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest
import soundfile

from tests.conftest import Served
from tests.telephony.app import new_call, token_for
from tests.telephony.carrier import connected

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
LINES_MAX = 30
WITHIN_S = 60
ENOUGH_MS = 2_000  # of sound, a second of it heard, for the first words


async def run(served: Served, *command: str | Path) -> str:
    environ = {**os.environ, "VOICEWIRE_URL": served.url, "VOICEWIRE_KEY": served.key}
    process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(WITHIN_S):
        out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name}")
    return found


@pytest.mark.parametrize("example", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_it_is_short(example: Path) -> None:
    assert len(example.read_text().splitlines()) <= LINES_MAX


async def test_a_language_model_is_interrupted(served: Served) -> None:
    said = await run(served, sys.executable, EXAMPLES / "agent.py")
    assert said.startswith("heard: Well, let me")
    assert len(said) < 200


async def test_on_the_telephone_a_key_interrupts(served: Served) -> None:
    call = new_call()
    token = await token_for(served, call)
    async with connected(served.url, call, token) as phone, asyncio.TaskGroup() as running:
        agent = running.create_task(run(served, sys.executable, EXAMPLES / "telephone.py", call))
        async with asyncio.timeout(WITHIN_S):
            while phone.sent_ms < ENOUGH_MS:
                await asyncio.sleep(0.02)
        await phone.press("1")
        said = await agent
        assert said.startswith("heard: Well, let me")
        assert len(said) < 200
        assert phone.said.count("clear") == 1


async def test_so_it_is_from_javascript(served: Served, tmp_path: Path) -> None:
    packages = tmp_path / "node_modules" / "@voicewire"
    packages.mkdir(parents=True)
    (packages / "client").symlink_to(ROOT / "clients" / "javascript")
    shutil.copy(EXAMPLES / "agent.mjs", tmp_path)
    said = await run(served, program("node"), tmp_path / "agent.mjs")
    assert said.startswith("heard: Well, let me")
    assert len(said) < 200


async def test_curl_makes_a_file(served: Served, tmp_path: Path) -> None:
    program("curl")
    await run(served, "sh", EXAMPLES / "speak.sh", 'He said "hi", and then \\o/.\nBye.', tmp_path / "speech.wav")
    samples, rate_hz = soundfile.read(tmp_path / "speech.wav")
    assert 0.3 < len(samples) / rate_hz < 5
