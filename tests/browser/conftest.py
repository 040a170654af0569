"""A real server, a real Chromium, and a network between them that can be cut."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.browser.cuttable import Cuttable, open_cuttable
from tests.browser.example_page import Folder, folder_served
from tests.browser.reader_page import ReaderPage
from tests.browser.serving import serving

CHROMIUM = os.environ.get("VOICEWIRE_CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
TEXT_CHARS = 300  # a long text becomes several utterances soon
IDLE_S = 2  # a connection is ended soon when nobody speaks

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
async def folder(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Folder]:
    async with folder_served(tmp_path_factory.mktemp("examples")) as folder:
        yield folder


@session_fixture
async def served(tmp_path_factory: pytest.TempPathFactory, folder: Folder) -> AsyncIterator[Served]:
    async with open_cuttable() as network:
        environ = {
            folder.variable: f"{network.origin},{folder.origin}",
            "VOICEWIRE_TEXT_CHARS_MAX": str(TEXT_CHARS),
            "VOICEWIRE_WORKERS": "1",
            "VOICEWIRE_IDLE_S": str(IDLE_S),
        }
        async with serving(tmp_path_factory.mktemp("data"), environ) as (origin, key):
            network.target = int(origin.rpartition(":")[2])
            yield Served(origin, network, key)


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
