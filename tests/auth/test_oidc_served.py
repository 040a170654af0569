"""People of an issuer at a real server: logging in, staying, and who they are to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import httpx
import pytest

from tests.auth.issuer import CLIENT_ID, CLIENT_SECRET, LocalIssuer, local_issuer
from tests.conftest import Served, started

DOOR = "/v1/auth/oidc"


class Town(NamedTuple):
    """A server, and the issuer that it trusts."""

    served: Served
    issuer: LocalIssuer


@pytest.fixture(scope="module")
def running() -> Iterator[Town]:
    with local_issuer() as issuer:
        settings = {
            "VOICEWIRE_OIDC_ISSUERS": issuer.url,
            "VOICEWIRE_OIDC_CLIENT_ID": CLIENT_ID,
            "VOICEWIRE_OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "VOICEWIRE_SIGN_UP": "on",
            "VOICEWIRE_ENGINES": "tone",
        }
        with started(settings) as served:
            yield Town(served, issuer)


@pytest.fixture
def town(running: Town) -> Town:
    running.issuer.reset()
    return running


@pytest.fixture
async def browser(town: Town) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Origin": town.served.url, "X-Forwarded-For": "192.0.2.1"}  # which makes it a stranger to the server
    async with httpx.AsyncClient(base_url=town.served.url, headers=headers) as client:
        yield client


async def come_back(browser: httpx.AsyncClient, town: Town) -> str:
    """Go to the issuer and back; return what stands behind the `#` then."""
    away = await browser.get(f"{DOOR}/login", params={"issuer": town.issuer.url})
    assert away.status_code == 302, away.text
    async with httpx.AsyncClient() as web:
        back = await web.get(away.headers["location"])
    page = await browser.get(back.headers["location"])
    assert page.status_code == 302, page.text
    return page.headers["location"].partition("#")[2]


async def log_in(browser: httpx.AsyncClient, town: Town) -> httpx.Response:
    code = (await come_back(browser, town)).removeprefix("oidc=")
    return await browser.post(f"{DOOR}/exchange", json={"code": code})


async def me(browser: httpx.AsyncClient, token: str) -> httpx.Response:
    return await browser.get("/v1/me", headers={"Authorization": f"Bearer {token}"})


async def test_a_person_logs_in_and_is_the_same_the_next_time(browser: httpx.AsyncClient, town: Town) -> None:
    first = (await log_in(browser, town)).json()
    assert first["user"]["email"] == "ada@example.org"
    assert (await me(browser, first["access_token"])).json()["user"]["id"] == first["user"]["id"]
    town.issuer.rotate()
    again = (await log_in(browser, town)).json()
    assert again["user"] == first["user"]


async def test_the_issuers_own_token_is_the_same_person(browser: httpx.AsyncClient, town: Town) -> None:
    person = (await log_in(browser, town)).json()["user"]
    assert (await me(browser, town.issuer.token())).json()["user"]["id"] == person["id"]
    assert (await me(browser, town.issuer.token(aud="another"))).status_code == 401


async def test_an_address_that_was_not_checked_joins_nobody(browser: httpx.AsyncClient, town: Town) -> None:
    await log_in(browser, town)
    town.issuer.person |= {"sub": "a-thief", "email_verified": False}
    refused = await log_in(browser, town)
    assert refused.status_code == 403
    assert "access_token" not in refused.text
    assert (await me(browser, town.issuer.token())).status_code == 403


async def test_while_the_issuer_is_down_who_is_in_stays_in(browser: httpx.AsyncClient, town: Town) -> None:
    mine, theirs = (await log_in(browser, town)).json(), town.issuer.token()
    town.issuer.down = True
    assert await come_back(browser, town) == "oidc_error=issuer_failed"
    assert (await me(browser, mine["access_token"])).status_code == 200
    assert (await me(browser, theirs)).status_code == 200
    renewed = await browser.post("/v1/auth/refresh", json={"refresh_token": mine["refresh_token"]})
    assert renewed.status_code == 200
