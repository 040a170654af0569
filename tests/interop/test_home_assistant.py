"""Home Assistant's own provider, unmodified, over Wyoming: `make interop-all` makes its environment."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import started

FOLDER = Path(__file__).parent
PYTHON = FOLDER.parents[1] / ".venv-interop" / "ha" / "bin" / "python"
WITHIN_S = 110
LONG_BYTES = 30_000  # of what was left after 10,000: an utterance of this length has a million


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def told(port: int) -> Any:
    """Run the client in its environment; return what it said."""
    process = await asyncio.create_subprocess_exec(
        *(str(PYTHON), str(FOLDER / "clients" / "home_assistant.py"), "127.0.0.1", str(port)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin"},
    )
    async with asyncio.timeout(WITHIN_S):
        out, err = await process.communicate()
    sys.stderr.write(err.decode())
    assert process.returncode == 0
    return json.loads(out.decode().splitlines()[-1])


async def test_home_assistant() -> None:
    if not PYTHON.exists():
        pytest.skip("`make interop-all` has not made its environment, which needs Python 3.13")
    port = free_port()
    with started({"VOICEWIRE_DEFAULT_MODEL": "espeak", "VOICEWIRE_WYOMING_PORT": str(port)}):
        said = await told(port)
    [pinned] = re.findall(r"^homeassistant==(.+)", (FOLDER / "packages-ha.txt").read_text(), re.MULTILINE)
    assert said["version"] == pinned
    assert said["platforms"] == ["tts"]
    assert said["languages"]
    assert said["voices"]
    assert said["streaming"] is True
    assert said["kind"] == "wav"
    whole, streamed, after = said["whole"], said["streamed"], said["after"]
    assert (whole["width"], whole["channels"]) == (2, 1)
    assert 3 < whole["seconds"] < 8
    assert streamed["rate_hz"] == whole["rate_hz"]
    assert streamed["seconds"] == pytest.approx(whole["seconds"], abs=1)
    assert said["cut"] < LONG_BYTES
    assert after == streamed, "nothing of what was cut is in it"
    assert said["nothing"] == ["wav", 0]
    assert said["unknown"] == [None, None]
