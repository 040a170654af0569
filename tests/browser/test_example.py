"""The page among the examples, in a real browser."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

from tests.browser.conftest import Served
from tests.browser.example_page import Folder

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_it_opens_as_it_says_and_shows_words_as_they_are_heard(
    browser: Browser, folder: Folder, served: Served
) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(folder.put(served.origin))
    await page.click("#speak")  # without a key
    await page.wait_for_function("() => document.querySelector('#word').textContent.includes('credential')")
    await page.fill("#key", served.key)
    await page.click("#speak")
    await page.wait_for_function("() => document.querySelector('#word').textContent === 'heard'")
    [complaint] = complaints
    assert "credential" in complaint
    await context.close()
