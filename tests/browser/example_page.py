"""The page among the examples, as its first lines say to open it."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.browser.serving import STARTS_S, STOPS_S

PAGE = Path(__file__).parents[2] / "examples" / "page.html"
SERVER, PORT = "http://127.0.0.1:8080", "8000"  # which the page names; here they may be taken
SERVE = re.compile(r"^python3 (-m http\.server .*) -->$", re.MULTILINE)
ALLOW = re.compile(r"^(\w+)=(http\S+) make run$", re.MULTILINE)


@dataclass(frozen=True)
class Folder:
    """Where the page is served: the setting that lets it in, and its origin."""

    path: Path
    variable: str
    origin: str

    def put(self, server: str) -> str:
        """Put the page there, with the address of `server`; returns its own."""
        (self.path / PAGE.name).write_text(PAGE.read_text().replace(SERVER, server))
        return f"{self.origin}/{PAGE.name}"


@asynccontextmanager
async def folder_served(path: Path) -> AsyncIterator[Folder]:
    """Serve a folder by the command that the page gives, on a free port."""
    text = PAGE.read_text()
    [command], [(variable, allowed)] = SERVE.findall(text), ALLOW.findall(text)
    assert allowed.endswith(f":{PORT}")
    assert f"open {allowed}/{PAGE.name}" in text
    assert command.endswith(f" {PORT} --bind 127.0.0.1 --directory examples")
    arguments = command.replace(f" {PORT} ", " 0 ").removesuffix("examples").split()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", *arguments, path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield Folder(path, variable, await asyncio.wait_for(_announced(process), STARTS_S))
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), STOPS_S)


async def _announced(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    said = (await process.stdout.readline()).decode()
    found = re.search(r"\((http://127\.0\.0\.1:\d+)/\)", said)
    assert found, said
    return found[1]
