"""Clients in environments of their own: none is left behind."""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.interop.environments import ended


async def _started(program: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)


async def test_what_it_said_comes_with_its_end() -> None:
    out, _ = await ended(await _started("print('here')"), within_s=60)
    assert out == b"here\n"


async def test_one_that_does_not_end_is_ended() -> None:
    process = await _started("import time; time.sleep(600)")
    with pytest.raises(TimeoutError):
        await ended(process, within_s=0.1)
    assert process.returncode is not None
