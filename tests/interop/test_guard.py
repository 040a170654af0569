"""The guard round vendors' packages: what it lets through, and what not, whoever swallows the exception."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parent / "clients"
SWALLOWED = """
import asyncio, contextlib, socket
from guard import STATUS, stay_here

stay_here()
with contextlib.suppress(BaseException):
    {act}
"""
ELSEWHERE = "192.0.2.1"  # RFC 5737: nobody's


async def status(act: str) -> int | None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SWALLOWED.format(act=act), cwd=CLIENTS)
    return await process.wait()


@pytest.mark.parametrize(
    "act",
    [
        f"socket.create_connection(('{ELSEWHERE}', 9), timeout=1)",
        f"socket.socket().connect_ex(('{ELSEWHERE}', 9))",
        f"socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('{ELSEWHERE}', 9))",
        f"asyncio.run(asyncio.wait_for(asyncio.open_connection('{ELSEWHERE}', 9), 1))",
        "socket.getaddrinfo('example.invalid', 443)",
        "socket.gethostbyname('example.invalid')",
    ],
)
async def test_a_call_elsewhere_ends_the_process(act: str) -> None:
    assert await status(act) == 70


async def test_a_call_on_this_machine_is_let_through() -> None:
    assert await status("socket.create_connection(socket.create_server(('127.0.0.1', 0)).getsockname())") == 0
    assert await status("socket.getaddrinfo('localhost', 80)") == 0
