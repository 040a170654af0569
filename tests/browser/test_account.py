"""The account's page in a real Chromium: from signing up to the end of the free seconds, and what it says of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Dialog, Page, Route, ViewportSize

from tests.browser.reader_page import WITHIN_S, ReaderPage
from tests.browser.serving import link_in_mail, serving

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FREE_S = 14
ADA, BEA = "ada@example.org", "bea@example.org"
PASSWORD = "a riddle of eels"
SENTENCES = [
    f"Number {number} of these sentences is about as long as any." for number in ("one", "two", "three", "four", "five")
]
USED_UP = "Your listening time is used up."
PHONE: ViewportSize = {"width": 390, "height": 844}
PLACES = {  # and what stands there when it is shown
    "Overview": "#balance meter",
    "Usage": "#days svg text",
    "Keys": "td button",
    "Transactions": "td",
}
BEYOND = """() => [...document.querySelectorAll("main *, header *")]
  .filter((each) => each.checkVisibility() && each.getBoundingClientRect().right > innerWidth + 0.5)
  .map((each) => each.outerHTML.slice(0, 80))"""
IMAGES = Path(__file__).parents[2] / "docs" / "images"


class Sold(NamedTuple):
    """A server that sells: its origin, its first key, and its folder. Ada has an account there, and has listened."""

    origin: str
    key: str
    data: Path


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sold(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sold]:
    data = tmp_path_factory.mktemp("sold")
    async with serving(data, {"VOICEWIRE_BILLING": "on", "VOICEWIRE_WORKERS": "1"}) as (origin, key):
        sold = Sold(origin, key, data)
        async with operating(sold) as operator:
            plans = (await operator.get("/admin/plans")).json()["items"]
            free = next(plan for plan in plans if plan["id"] == "free")
            changed = {name: value for name, value in free.items() if name != "id"} | {"seconds": FREE_S}
            (await operator.put("/admin/plans/free", json=changed)).raise_for_status()
            await make_ada(sold)
            grant = {"email": ADA, "seconds": 60, "note": "for a fault of ours"}
            (await operator.post("/admin/grants", json=grant)).raise_for_status()
        yield sold


async def make_ada(sold: Sold) -> None:
    """Sign Ada up, and have her make a key and listen to a sentence."""
    async with httpx.AsyncClient(base_url=sold.origin) as anyone:
        person = {"name": "Ada", "email": ADA, "password": PASSWORD}
        (await anyone.post("/v1/auth/register", json=person)).raise_for_status()
        link = await link_in_mail(sold.data, ADA)
        proof = {"token": link.rpartition("=")[2], "password": PASSWORD}
        login = (await anyone.post("/v1/auth/verify", json=proof)).json()
        bearer = {"Authorization": f"Bearer {login['access_token']}"}
        (await anyone.post("/v1/keys", json={"label": "at home"}, headers=bearer)).raise_for_status()
        (await anyone.post("/v1/tts", json={"text": SENTENCES[0]}, headers=bearer)).raise_for_status()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Where pictures go: into the documentation only where that is wanted."""
    return IMAGES if os.environ.get("SCREENSHOTS") else tmp_path


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


def operating(sold: Sold) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=sold.origin, headers={"Authorization": f"Bearer {sold.key}"})


async def sign_up(page: Page, sold: Sold) -> None:
    await page.goto(f"{sold.origin}/account/")
    await page.get_by_role("button", name="Make an account").click()
    await page.fill("input[name=name]", "Bea")
    await page.fill("input[name=email]", BEA)
    await page.fill("input[name=password]", PASSWORD)
    await page.get_by_role("button", name="Make the account").click()
    await page.get_by_text("Look into your mail").wait_for()
    link = await link_in_mail(sold.data, BEA)
    await page.goto("about:blank")
    await page.goto(link.replace("localhost", "127.0.0.1"))
    await page.fill("input[name=password]", PASSWORD)
    await page.get_by_role("button", name="Confirm").click()
    await page.get_by_text("Hello, Bea").wait_for()


async def make_key(page: Page) -> str:
    await page.get_by_role("link", name="Keys").click()
    await page.fill("input[name=label]", "the reader")
    await page.get_by_role("button", name="Make a key").click()
    return await page.inner_text("#new-key")


async def test_from_signing_up_to_the_end_of_the_free_seconds(page: Page, sold: Sold, images: Path) -> None:
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
    async with asyncio.timeout(30):  # what was spoken last is recorded a moment after it was heard
        while f"0:{spoken_ms // 1000:02d} min" not in str(await shown.text_content()):
            await page.reload()
    await page.screenshot(path=images / "account-usage.png")
    await page.get_by_role("link", name="Transactions").click()
    await page.get_by_text("Spoken").first.wait_for()
    await page.get_by_role("link", name="Overview").click()
    await page.locator("#balance meter").wait_for()
    await page.screenshot(path=images / "account-overview.png")


async def test_an_admin_sees_who_there_is_and_what_they_used(page: Page, sold: Sold, images: Path) -> None:
    async with operating(sold) as operator:
        [ada] = (await operator.get("/admin/users", params={"search": "ada@"})).json()["items"]
        (await operator.patch(f"/admin/users/{ada['id']}", json={"role": "admin"})).raise_for_status()
    await page.set_viewport_size({"width": 400, "height": 860})
    await log_in(page, sold)
    await page.get_by_role("link", name="Users").click()
    row = page.get_by_role("row").filter(has_text=ADA)
    await row.wait_for()
    told = await row.inner_text()
    assert "admin" in told
    assert "0:00 min" not in told, "she has listened"
    await page.screenshot(path=images / "account-admin-phone.png", full_page=True)


async def test_who_is_logged_in_needs_no_key_to_listen(page: Page, sold: Sold) -> None:
    await log_in(page, sold)
    await page.get_by_role("link", name="Open the reader").click()
    reader = ReaderPage(page)
    await page.wait_for_function(
        "() => window.voicewire && document.getElementById('voice-name').textContent !== 'Voice'"
    )
    assert await page.evaluate("localStorage.getItem('voicewire.key')") is None
    await reader.play("Hello.")
    await reader.until("idle")
    assert await page.locator("dialog[open]").count() == 0, "it asks for a key"


async def test_on_a_phone_everything_is_within_reach(page: Page, sold: Sold) -> None:
    await page.set_viewport_size(PHONE)
    await log_in(page, sold)
    for place, wait_for in PLACES.items():
        await page.get_by_role("link", name=place, exact=True).click()
        await page.locator(wait_for).first.wait_for()
        assert await page.evaluate(BEYOND) == [], place
    told = await page.inner_text("#view")
    assert "for a fault of ours" in told
    assert "+1:00 min" in told
    assert "plan:" not in told, "an id says nothing to a person"


async def test_what_is_written_in_the_chart_keeps_its_size(page: Page, sold: Sold) -> None:
    await page.set_viewport_size(PHONE)
    await log_in(page, sold)
    await page.get_by_role("link", name="Usage").click()
    picture = page.locator("#days svg")
    await picture.wait_for()
    assert await picture.evaluate("(svg) => svg.getScreenCTM().a") == 1
    narrow = await picture.get_attribute("width")
    await page.set_viewport_size({"width": 900, "height": 800})
    await page.locator(f"#days svg:not([width='{narrow}'])").wait_for()


async def test_reloads_and_tabs_log_nobody_out(page: Page, sold: Sold) -> None:
    await log_in(page, sold)
    refreshes: list[str] = []
    page.context.on("request", lambda request: refreshes.append(request.url) if "refresh" in request.url else None)
    for _ in range(5):
        await page.reload(wait_until="domcontentloaded")
    await page.get_by_text("Hello, Ada").wait_for()
    assert refreshes == [], "the access token was still good"
    tabs = [await page.context.new_page() for _ in range(5)]
    await asyncio.gather(*(tab.goto(f"{sold.origin}/account/") for tab in tabs))
    for tab in tabs:
        await tab.get_by_text("Hello, Ada").wait_for()
    assert len(refreshes) == len(tabs)


async def test_a_reload_in_the_middle_of_a_refresh_logs_nobody_out(page: Page, sold: Sold) -> None:
    await log_in(page, sold)
    exchanged = asyncio.Event()

    async def lose(route: Route) -> None:
        await route.fetch()
        exchanged.set()  # and the page never hears of it

    await page.route("**/v1/auth/refresh", lose, times=1)
    await page.evaluate("sessionStorage.clear()")
    await page.reload(wait_until="commit")
    await asyncio.wait_for(exchanged.wait(), WITHIN_S)
    await page.reload()
    await page.get_by_text("Hello, Ada").wait_for()


async def log_in(page: Page, sold: Sold) -> None:
    await page.goto(f"{sold.origin}/account/")
    await page.fill("input[name=email]", ADA)
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


async def test_who_was_invited_is_asked_and_joins(page: Page, sold: Sold) -> None:
    async with operating(sold) as operator:
        (await operator.post("/v1/me/members", json={"email": ADA})).raise_for_status()
        link = await link_in_mail(sold.data, ADA, "#join=")
        asked: list[str] = []

        async def agree(dialog: Dialog) -> None:
            asked.append(dialog.message)
            await dialog.accept()

        page.on("dialog", agree)
        await page.goto(link.replace("localhost", "127.0.0.1"))
        await page.fill("input[name=email]", ADA)
        await page.fill("input[name=password]", PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_text("Hello, Ada").wait_for()
        members = (await operator.get("/v1/me/members")).json()["items"]
    assert len(asked) == 1
    assert [member["email"] for member in members] == [ADA]
