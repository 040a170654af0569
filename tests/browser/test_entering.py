"""Strangers at the account's page in a real Chromium: mailed links to their very end, and a login through an issuer."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.auth.issuer import CLIENT_ID, CLIENT_SECRET, LocalIssuer, local_issuer
from tests.browser.reader_page import WITHIN_S
from tests.browser.serving import link_in_mail, serving

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PASSWORD, OTHER = "a riddle of eels", "a parliament of owls"
REFUSED = ("status of 401", "status of 410")  # a browser notes in its console whatever is refused


class Town(NamedTuple):
    """A server with a port of its own for operators, where people sign up, and the issuer that it trusts."""

    origin: str
    operators: str
    key: str
    data: Path
    issuer: LocalIssuer

    async def ask(self, path: str, **body: str) -> None:
        async with httpx.AsyncClient(base_url=self.origin) as anyone:
            (await anyone.post(f"/v1/auth/{path}", json=body)).raise_for_status()

    async def link(self, to: str, holding: str) -> str:
        return (await link_in_mail(self.data, to, holding)).replace("localhost", "127.0.0.1")

    async def sign_up(self, email: str) -> None:
        await self.ask("register", name="Bea", email=email, password=PASSWORD)
        token = (await self.link(email, "#verify=")).rpartition("=")[2]
        await self.ask("verify", token=token, password=PASSWORD)


@pytest.fixture(scope="module")
def issuer() -> Iterator[LocalIssuer]:
    with local_issuer() as issuer:
        yield issuer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(tmp_path_factory: pytest.TempPathFactory, issuer: LocalIssuer) -> AsyncIterator[Town]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        admin_port = free.getsockname()[1]
    settings = {
        "ENGINES": "tone", "DEFAULT_MODEL": "tone", "WORKERS": "1", "SIGN_UP": "on", "ADMIN_PORT": str(admin_port),
        "OIDC_ISSUERS": issuer.url, "OIDC_CLIENT_ID": CLIENT_ID, "OIDC_CLIENT_SECRET": CLIENT_SECRET,
    }  # fmt: skip
    data = tmp_path_factory.mktemp("town")
    async with serving(data, {f"VOICEWIRE_{name}": value for name, value in settings.items()}) as (origin, key):
        yield Town(origin, f"http://127.0.0.1:{admin_port}", key, data, issuer)


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context()
    page = await context.new_page()
    page.set_default_timeout(1000 * WITHIN_S)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    await context.close()
    assert [each for each in complaints if not any(status in each for status in REFUSED)] == []


async def give(page: Page, password: str, button: str) -> None:
    await page.fill("input[name=password]", password)
    await page.get_by_role("button", name=button).click()


async def log_in(page: Page, email: str, password: str) -> None:
    await page.fill("input[name=email]", email)
    await give(page, password, "Log in")


async def test_a_link_that_another_follows_makes_no_account(page: Page, town: Town) -> None:
    await town.ask("register", name="Eve", email="ada@victim.example", password="chosen by eve")
    link = await town.link("ada@victim.example", "#verify=")
    await page.goto(link)
    assert "#" not in page.url, "the secret stays in the history"
    await give(page, PASSWORD, "Confirm")
    await page.get_by_text("This is not the password that was chosen").wait_for()
    await give(page, "chosen by eve", "Confirm")
    await page.get_by_text("Hello, Eve").wait_for()
    await page.goto(link)  # in the page that is open: nothing is loaded anew
    await give(page, "chosen by eve", "Confirm")
    await page.get_by_text("This link is no longer good").wait_for()


async def test_who_forgot_the_password_sets_another_and_is_in(page: Page, town: Town) -> None:
    email = "bea@example.org"
    await town.sign_up(email)
    await page.goto(f"{town.origin}/account/")
    await page.get_by_role("button", name="Forgot the password?").click()
    await page.fill("input[name=email]", email)
    await page.get_by_role("button", name="Mail me the link").click()
    await page.get_by_text("Look into your mail").wait_for()
    link = await town.link(email, "#password=")
    await page.goto(link)
    await give(page, OTHER, "Set it")
    await page.get_by_text("Your new password is set").wait_for()
    await page.get_by_role("link", name="Log in").click()
    await log_in(page, email, OTHER)
    await page.get_by_text("Hello, Bea").wait_for()
    await page.goto(link)
    await give(page, OTHER, "Set it")
    await page.get_by_text("This link is no longer good").wait_for()


async def test_who_an_issuer_knows_comes_in_without_a_password(page: Page, town: Town) -> None:
    await page.goto(f"{town.origin.replace('127.0.0.1', 'localhost')}/account/")  # to a browser, another site than it
    through = page.get_by_role("link", name="Go on with")
    await through.click()
    await page.get_by_text("Hello, Ada").wait_for()
    assert "#" not in page.url
    await page.reload()
    await page.get_by_text("Hello, Ada").wait_for()
    await page.get_by_role("button", name="Log out").click()
    town.issuer.down = True
    await through.click()
    await page.get_by_text("That service cannot be reached now").wait_for()


async def test_where_the_port_has_nothing_for_admins_their_tab_is_hidden(page: Page, town: Town) -> None:
    email = "root@example.org"
    await town.sign_up(email)
    async with httpx.AsyncClient(base_url=town.operators, headers={"X-API-Key": town.key}) as operator:
        [root] = (await operator.get("/admin/users", params={"search": email})).json()["items"]
        (await operator.patch(f"/admin/users/{root['id']}", json={"role": "admin"})).raise_for_status()
    for origin, tabs in ((town.origin, 0), (town.operators, 1)):  # and nothing stands in the console
        await page.goto(f"{origin}/account/")
        await log_in(page, email, PASSWORD)
        await page.get_by_role("link", name="Transactions").wait_for()
        assert await page.get_by_role("link", name="Users").count() == tabs
