"""A real server for a browser to look at."""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.browser.reader_page import WITHIN_S
from tests.fresh_database import lay_database

STARTS_S = 60
STOPS_S = 20


@asynccontextmanager
async def serving(data: Path, environ: Mapping[str, str]) -> AsyncIterator[tuple[str, str]]:
    """Serve with `environ` beside our own, and everything kept in `data`; gives the origin and the first key."""
    command = (sys.executable, "-m", "voicewire", "serve", "--port", "0", "--data", str(data))
    lay_database(data)
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **environ}, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield await asyncio.wait_for(_announced(process), STARTS_S)
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), STOPS_S)


async def _announced(process: asyncio.subprocess.Process) -> tuple[str, str]:
    """Wait for the two lines that a server prints at its first start."""
    assert process.stdout is not None
    text = ""
    while not (found := re.search(r"(http://\S+).*?(vw_live_\S+)\s", text, re.DOTALL)):
        line = await process.stdout.readline()
        assert line, f"the server ended: {text}"
        text += line.decode()
    return found[1], found[2]


async def link_in_mail(data: Path, to: str, holding: str = "") -> str:
    """Wait for a mail to somebody with a link that holds something, and return the link."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            for path in sorted((data / "mail").glob("*.eml")):
                letter = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                body = letter.get_body(("plain",))
                assert body is not None
                link = re.search(r"http\S+", body.get_content())
                if letter["To"] == to and link and holding in link[0]:
                    return link[0]
            await asyncio.sleep(0.05)
