"""A real server, a real Chromium, and a network between them that can be cut."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.browser.cuttable import Cuttable, open_cuttable
from tests.browser.reader_page import WITHIN_S, ReaderPage

CHROMIUM = os.environ.get("VOICEWIRE_CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
TEXT_CHARS = 300  # a long text becomes several utterances soon
IDLE_S = 2  # a connection is ended soon when nobody speaks
STOPS_S = 20

# Playwright's objects belong to one event loop: all tests here share that of the session.
session_fixture = pytest_asyncio.fixture(scope="session", loop_scope="session")

OpenPage = Callable[..., Awaitable[ReaderPage]]


@dataclass(frozen=True)
class Served:
    """A running server: its own origin, the origin behind the network, and a key for it."""

    origin: str
    network: Cuttable
    key: str


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which(CHROMIUM)
    if found is None:
        pytest.skip(f"there is no Chromium at {CHROMIUM}; VOICEWIRE_CHROMIUM names another")
    return found


@session_fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield browser
        await browser.close()


@session_fixture
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with open_cuttable() as network:
        data = tmp_path_factory.mktemp("data")
        environ = {
            **os.environ,
            "VOICEWIRE_ALLOWED_ORIGINS": network.origin,
            "VOICEWIRE_TEXT_CHARS_MAX": str(TEXT_CHARS),
            "VOICEWIRE_WORKERS": "1",
            "VOICEWIRE_IDLE_S": str(IDLE_S),
        }
        process = await _serve(data, environ)
        try:
            origin, key = await asyncio.wait_for(_announced(process), WITHIN_S)
            network.target = int(origin.rpartition(":")[2])
            yield Served(origin, network, key)
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), STOPS_S)


async def _serve(data: Path, environ: dict[str, str]) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "voicewire", "serve", "--port", "0", "--data", str(data))
    return await asyncio.create_subprocess_exec(*command, env=environ, stdout=asyncio.subprocess.PIPE)


async def _announced(process: asyncio.subprocess.Process) -> tuple[str, str]:
    """Wait for the two lines that a server prints at its first start."""
    assert process.stdout is not None
    text = ""
    while not (found := re.search(r"(http://\S+).*?(vw_live_\S+)\s", text, re.DOTALL)):
        line = await process.stdout.readline()
        assert line, f"the server ended: {text}"
        text += line.decode()
    return found[1], found[2]


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser, served: Served) -> AsyncIterator[OpenPage]:
    """Open the reader: `await open_page(script, origin=…)`. Its console stays empty, but for what is `harmless`."""
    pages: list[ReaderPage] = []

    async def open_page(
        script: str = "", *, origin: str = "", fragment: str = "", harmless: tuple[str, ...] = (), **options: Any
    ) -> ReaderPage:
        context = await browser.new_context(**options)
        await context.add_init_script(script)
        pages.append(ReaderPage(await context.new_page(), harmless))
        await pages[-1].open(origin or served.origin, fragment)
        return pages[-1]

    yield open_page
    for each in pages:
        await each.page.context.close()
    assert [complaint for each in pages for complaint in each.complaints] == []
