"""The account's page in a real Chromium: from signing up to the end of the free seconds, and what it says of them."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.browser.reader_page import WITHIN_S, ReaderPage
from tests.browser.serving import serving

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FREE_S = 14
PASSWORD = "a riddle of eels"
SENTENCES = [
    f"Number {number} of these sentences is about as long as any." for number in ("one", "two", "three", "four", "five")
]
USED_UP = "Your listening time is used up."
IMAGES = Path(__file__).parents[2] / "docs" / "images"


class Sold(NamedTuple):
    """A server that sells: its origin, its first key, and its folder."""

    origin: str
    key: str
    data: Path


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sold(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sold]:
    data = tmp_path_factory.mktemp("sold")
    async with serving(data, {"VOICEWIRE_BILLING": "on", "VOICEWIRE_WORKERS": "1"}) as (origin, key):
        async with httpx.AsyncClient(base_url=origin, headers={"Authorization": f"Bearer {key}"}) as admin:
            plans = (await admin.get("/admin/plans")).json()["items"]
            free = next(plan for plan in plans if plan["id"] == "free")
            changed = {name: value for name, value in free.items() if name != "id"} | {"seconds": FREE_S}
            (await admin.put("/admin/plans/free", json=changed)).raise_for_status()
        yield Sold(origin, key, data)


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": 1180, "height": 900})
    page = await context.new_page()
    page.set_default_timeout(1000 * WITHIN_S)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    await context.close()
    assert complaints == []


async def link_in_mail(data: Path) -> str:
    """Wait for the newest mail, and return the link in it."""
    async with asyncio.timeout(WITHIN_S):
        while not (letters := sorted((data / "mail").glob("*.eml"))):
            await asyncio.sleep(0.05)
    letter = email.message_from_bytes(letters[-1].read_bytes(), policy=email.policy.default)
    body = letter.get_body(("plain",))
    assert body is not None
    link = re.search(r"http\S+", body.get_content())
    assert link
    return link[0]


async def sign_up(page: Page, sold: Sold) -> None:
    await page.goto(f"{sold.origin}/account/")
    await page.get_by_role("button", name="Make an account").click()
    await page.fill("input[name=name]", "Ada")
    await page.fill("input[name=email]", "ada@example.org")
    await page.fill("input[name=password]", PASSWORD)
    await page.get_by_role("button", name="Make the account").click()
    await page.get_by_text("Look into your mail").wait_for()
    link = await link_in_mail(sold.data)
    await page.goto("about:blank")
    await page.goto(link.replace("localhost", "127.0.0.1"))
    await page.get_by_text("Hello, Ada").wait_for()


async def make_key(page: Page) -> str:
    await page.get_by_role("link", name="Keys").click()
    await page.fill("input[name=label]", "the reader")
    await page.get_by_role("button", name="Make a key").click()
    return await page.inner_text("#new-key")


async def test_from_signing_up_to_the_end_of_the_free_seconds(page: Page, sold: Sold) -> None:
    await sign_up(page, sold)
    assert f"0:{FREE_S} min" in await page.inner_text("#balance")
    key = await make_key(page)
    assert key.startswith("vw_live_")

    await page.get_by_role("link", name="Use it in the reader").click()
    reader = ReaderPage(page)
    await page.wait_for_function("() => window.voicewire && document.getElementById('voice-name').textContent")
    assert key not in page.url
    await reader.play(" ".join(SENTENCES))
    await page.get_by_text(USED_UP).wait_for()
    [end] = [message for message in reader.told if message["type"] == "error"]
    assert end["code"] == "insufficient_credit"
    blocks = [message["span"] for message in reader.told if message["type"] == "block"]
    text = " ".join(SENTENCES)
    assert blocks[-1][1] < len(text), "all was spoken"
    assert text[: blocks[-1][1]].rstrip().endswith("any."), "it ended inside of a sentence"
    spoken_ms = 20 * sum(count for _, _, count in reader.frames)
    assert 0 < spoken_ms <= FREE_S * 1000

    await page.goto(f"{sold.origin}/account/#usage")
    shown = page.locator("#days svg g:has(rect) title")
    await shown.wait_for(state="attached")
    assert f"0:{spoken_ms // 1000:02d} min" in str(await shown.text_content())
    await page.screenshot(path=IMAGES / "account-usage.png")
    await page.get_by_role("link", name="Transactions").click()
    await page.get_by_text("Spoken").first.wait_for()
    await page.get_by_role("link", name="Overview").click()
    await page.locator("#balance meter").wait_for()
    await page.screenshot(path=IMAGES / "account-overview.png")


async def test_an_admin_sees_who_there_is_and_what_they_used(page: Page, sold: Sold) -> None:
    async with httpx.AsyncClient(base_url=sold.origin, headers={"Authorization": f"Bearer {sold.key}"}) as operator:
        [ada] = (await operator.get("/admin/users", params={"search": "ada@"})).json()["items"]
        (await operator.patch(f"/admin/users/{ada['id']}", json={"role": "admin"})).raise_for_status()
    await page.set_viewport_size({"width": 400, "height": 860})
    await log_in(page, sold)
    await page.get_by_role("link", name="Users").click()
    row = page.get_by_role("row").filter(has_text="ada@example.org")
    await row.wait_for()
    told = await row.inner_text()
    assert "admin" in told
    assert "0:00 min" not in told, "she has spoken in the test before"
    await page.screenshot(path=IMAGES / "account-admin-phone.png", full_page=True)


async def log_in(page: Page, sold: Sold) -> None:
    await page.goto(f"{sold.origin}/account/")
    await page.fill("input[name=email]", "ada@example.org")
    await page.fill("input[name=password]", PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_text("Hello, Ada").wait_for()


async def test_a_person_stays_logged_in_and_logs_out(page: Page, sold: Sold) -> None:
    await log_in(page, sold)
    await page.reload()
    await page.get_by_text("Hello, Ada").wait_for()
    await page.get_by_role("button", name="Log out").click()
    await page.fill("input[name=password]", "")
    await page.reload()
    await page.get_by_role("heading", name="Log in").wait_for()
