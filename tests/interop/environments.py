"""The environments that vendors' packages run in."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Served

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
ENVIRONMENTS = ROOT / ".venv-interop"
WITHIN_S = 110
PIN = re.compile(r"^([\w-]+)(?:\[.+\])?==(.+)$", re.MULTILINE)


def made(environment: str) -> bool:
    """Whether an environment is there, whole."""
    return (ENVIRONMENTS / environment / ".made").exists()


def pinned(environment: str) -> dict[str, str]:
    """Return the versions that are installed there, by package."""
    return dict(PIN.findall((FOLDER / f"packages-{environment}.txt").read_text()))


async def told(environment: str, client: str, served: Served, *arguments: str) -> Any:
    """Run a client of a server in an environment; return what it said."""
    return await run(environment, client, served.url, served.key, *arguments)


async def run(environment: str, client: str, *arguments: str) -> Any:
    """Run a client in an environment, with no way to anything but this machine; return what it said."""
    if not made(environment):
        pytest.skip("`make interop` or `make interop-all` has not made its environment")
    process = await asyncio.create_subprocess_exec(
        *(
            str(ENVIRONMENTS / environment / "bin" / "python"),
            str(FOLDER / "clients" / f"{client}.py"),
            *arguments,
        ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},  # our own services are in this repository
    )
    out, err = await ended(process, WITHIN_S)
    sys.stderr.write(err.decode())
    assert process.returncode == 0
    return json.loads(out.decode().splitlines()[-1])


async def ended(process: asyncio.subprocess.Process, within_s: float) -> tuple[bytes, bytes]:
    """Wait for what a process says until its end. Raises `TimeoutError`, when the process is no more."""
    try:
        async with asyncio.timeout(within_s):
            return await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
