"""The page among the examples, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, Route

from tests.browser.conftest import Served

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PAGE = Path(__file__).parents[2] / "examples" / "page.html"


async def test_its_words_are_shown_as_they_are_heard(browser: Browser, served: Served) -> None:
    # a page that the test puts there has no address, and Chromium asks before such a one may reach this machine
    context = await browser.new_context(permissions=["local-network-access"])
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))

    async def example(route: Route) -> None:
        await route.fulfill(body=PAGE.read_text(), content_type="text/html")

    await page.route("**/example", example)
    await page.goto(f"{served.origin}/example")
    await page.click("#speak")
    await page.wait_for_function("() => document.querySelector('#word').textContent === 'heard'")
    assert complaints == []
    await context.close()
