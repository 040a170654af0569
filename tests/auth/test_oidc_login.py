"""A browser's way through an issuer and back, step by step, and everything that may be wrong on it."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from redis.asyncio import Redis

from tests.auth.issuer import CLIENT_ID, CLIENT_SECRET, LocalIssuer, local_issuer
from voicewire.auth.issuer import Client
from voicewire.auth.issuer_http import IssuerHttp
from voicewire.auth.jwks import FETCH_EVERY_S
from voicewire.auth.oidc import Issuers, OidcLogins
from voicewire.errors import Unauthorized, VoicewireError
from voicewire.server.doors.oidc import COOKIE, FOLDER, LOGINS_A_MINUTE, OidcDoor
from voicewire.storage.rates import Rates

HOST = "http://127.0.0.1:8080"
PUBLIC = "https://speech.example.org"


class Who(BaseModel):
    """What stands for a login here: whom the door announced."""

    issuer: str
    subject: str
    email: str
    email_verified: bool
    name: str


async def arrive(issuer: str, subject: str, email: str, email_verified: bool, name: str) -> Who:
    return Who(issuer=issuer, subject=subject, email=email, email_verified=email_verified, name=name)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Place:
    """A server with the door, and the browsers that come to it. `door` and `web` are a browser's two ends."""

    def __init__(self, redis: Redis, issuer: LocalIssuer, public_url: str = "", secret: str = CLIENT_SECRET) -> None:
        self.clock = Clock()
        self.issuers = Issuers([Client(issuer.url, CLIENT_ID, secret)], IssuerHttp(), self.clock)
        logins = OidcLogins(self.issuers, redis)
        origins = frozenset({HOST, "http://localhost:8080", PUBLIC})
        self.app = FastAPI()
        self.app.include_router(OidcDoor(logins, arrive, Rates(redis), origins, public_url).router(Who))
        self.app.add_exception_handler(VoicewireError, _answer)
        self.base = public_url or HOST
        self.opened: list[httpx.AsyncClient] = []

    def browser(self, peer: str = "192.0.2.1") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, client=(peer, 50_000))
        self.opened.append(httpx.AsyncClient(transport=transport, base_url=self.base))
        return self.opened[-1]


def _answer(_: Request, error: Exception) -> Response:
    assert isinstance(error, VoicewireError)
    headers = {"Retry-After": str((error.retry_after_ms or 0) // 1000)}
    return JSONResponse({"error": {"code": error.row_code}}, error.row.status, headers)


@pytest.fixture(scope="module")
def running() -> Iterator[LocalIssuer]:
    with local_issuer("ES256") as issuer:
        yield issuer


@pytest.fixture
def issuer(running: LocalIssuer) -> LocalIssuer:
    running.reset()
    return running


@pytest.fixture
async def place(redis: Redis, issuer: LocalIssuer) -> AsyncIterator[Place]:
    place = Place(redis, issuer)
    yield place
    await close(place)


async def close(place: Place) -> None:
    await place.issuers.aclose()
    for each in place.opened:
        await each.aclose()


async def away(browser: httpx.AsyncClient, issuer: LocalIssuer) -> str:
    """Begin; return the address at the issuer to which the browser was sent."""
    answer = await browser.get(f"{FOLDER}/login", params={"issuer": issuer.url})
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


async def back(address: str) -> str:
    """Log in at the issuer; return the address to which it sends the browser."""
    async with httpx.AsyncClient() as web:
        answer = await web.get(address)
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


async def fragment(browser: httpx.AsyncClient, address: str) -> tuple[str, str]:
    """Come back to the door at `address`; return what stands behind the `#` of where it sends the browser."""
    answer = await browser.get(address)
    assert answer.status_code == 302
    page, _, behind = answer.headers["location"].partition("#")
    assert page == "/account/", "nothing but the page, and no query"
    name, _, value = behind.partition("=")
    return name, value


async def exchange(browser: httpx.AsyncClient, code: str, **headers: str) -> httpx.Response:
    return await browser.post(f"{FOLDER}/exchange", json={"code": code}, headers={"Origin": HOST, **headers})


async def log_in(place: Place, issuer: LocalIssuer, peer: str = "192.0.2.1") -> httpx.Response:
    browser = place.browser(peer)
    name, code = await fragment(browser, await back(await away(browser, issuer)))
    assert name == "oidc", code
    return await exchange(browser, code)


def changed(address: str, **fields: str | None) -> str:
    """`address` with fields of its query changed; None leaves one out."""
    parts = urlsplit(address)
    query: dict[str, Any] = {name: values[0] for name, values in parse_qs(parts.query).items()} | fields
    return parts._replace(query=urlencode({name: value for name, value in query.items() if value is not None})).geturl()


async def test_there_and_back(place: Place, issuer: LocalIssuer) -> None:
    assert (await place.browser().get(FOLDER)).json() == [{"issuer": issuer.url, "name": "127.0.0.1"}]
    answer = await log_in(place, issuer)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "issuer": issuer.url, "subject": "person-1", "email": "ada@example.org", "email_verified": True, "name": "Ada",
    }  # fmt: skip


async def test_what_the_browser_carries(place: Place, issuer: LocalIssuer) -> None:
    answer = await place.browser().get(f"{FOLDER}/login", params={"issuer": issuer.url})
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["redirect_uri"] == [f"{HOST}{FOLDER}/callback"]
    assert {len(query[name][0]) for name in ("state", "nonce", "code_challenge")} == {43}
    assert len({query[name][0] for name in ("state", "nonce", "code_challenge")}) == 3
    cookie = answer.headers["set-cookie"]
    assert re.search(r"HttpOnly.*Max-Age=600.*Path=/v1/auth/oidc.*SameSite=lax", cookie, re.IGNORECASE)
    assert "secure" not in cookie.lower()


async def test_behind_a_proxy_it_comes_back_to_the_public_address(redis: Redis, issuer: LocalIssuer) -> None:
    place = Place(redis, issuer, PUBLIC)
    answer = await place.browser().get(
        f"{FOLDER}/login", params={"issuer": issuer.url}, headers={"Host": "evil.example"}
    )
    assert "; secure" in answer.headers["set-cookie"].lower()
    assert f"redirect_uri={PUBLIC.replace(':', '%3A').replace('/', '%2F')}" in answer.headers["location"]
    await close(place)


async def test_another_host_is_no_way_back(place: Place, issuer: LocalIssuer) -> None:
    headers = {"Host": "evil.example"}
    answer = await place.browser().get(f"{FOLDER}/login", params={"issuer": issuer.url}, headers=headers)
    assert answer.status_code == 400
    answer = await place.browser().get(f"{FOLDER}/login", params={"issuer": "https://evil.example"})
    assert answer.status_code == 404


async def test_an_answer_is_good_once(place: Place, issuer: LocalIssuer) -> None:
    browser = place.browser()
    address = await back(await away(browser, issuer))
    tries = await asyncio.gather(*(fragment(browser, address) for _ in range(10)))
    assert sorted(name for name, _ in tries) == ["oidc", *["oidc_error"] * 9]
    (code,) = (value for name, value in tries if name == "oidc")
    shown = await asyncio.gather(*(exchange(browser, code) for _ in range(10)))
    assert sorted(each.status_code for each in shown) == [200, *[401] * 9]


@pytest.mark.parametrize(
    "wrong",
    [{"state": None}, {"state": ""}, {"state": "A" * 43}, {"state": "x" * 5_000}, {"code": None}, {"code": "x"},
     {"code": "x" * 5_000}, {"iss": None}, {"iss": "https://evil.example"}, {"error": "access_denied"}],
)  # fmt: skip
async def test_a_wrong_answer_lets_nobody_in(place: Place, issuer: LocalIssuer, wrong: dict[str, str | None]) -> None:
    browser = place.browser()
    address = await back(await away(browser, issuer))
    assert await fragment(browser, changed(address, **wrong)) == ("oidc_error", "unauthorized")


async def test_another_browser_has_nothing_of_it(place: Place, issuer: LocalIssuer) -> None:
    mine, other = place.browser(), place.browser()
    address = await back(await away(mine, issuer))
    await away(other, issuer)  # so that it has a cookie, of its own
    assert await fragment(other, address) == ("oidc_error", "unauthorized")
    assert await fragment(place.browser(), address) == ("oidc_error", "unauthorized")
    _, code = await fragment(mine, address)  # which the others did not spend
    assert (await exchange(other, code)).status_code == 401
    assert (await exchange(place.browser(), code)).status_code == 401
    assert (await exchange(mine, code)).status_code == 200


async def test_an_exchange_comes_from_our_own_page(place: Place, issuer: LocalIssuer) -> None:
    browser = place.browser()
    _, code = await fragment(browser, await back(await away(browser, issuer)))
    assert (await exchange(browser, code, Origin="https://evil.example")).status_code == 403
    assert (await exchange(browser, code)).status_code == 200


async def test_two_tabs_log_in_side_by_side(place: Place, issuer: LocalIssuer) -> None:
    browser = place.browser()
    addresses = [await back(await away(browser, issuer)) for _ in range(2)]
    for address in addresses:
        _, code = await fragment(browser, address)
        assert (await exchange(browser, code)).status_code == 200


async def test_a_login_waits_ten_minutes(place: Place, issuer: LocalIssuer, redis: Redis) -> None:
    browser = place.browser()
    state = parse_qs(urlsplit(await away(browser, issuer)).query)["state"][0]
    digest = hashlib.sha256(f"{state}.{browser.cookies[COOKIE]}".encode()).hexdigest()
    assert 590_000 < await redis.pttl(f"vw:oidc-login:{digest}") <= 600_000
    assert not any(state in str(key) for key in await redis.keys("*")), "a look into Redis must not hand out logins"


@pytest.mark.parametrize(
    "extra",
    [{"nonce": "another"}, {"nonce": None}, {"nonce": 7}, {"aud": "another"}, {"azp": "another"},
     {"aud": [CLIENT_ID, "another"]}, {"iss": "https://evil.example"}, {"exp": 1}, {"sub": ""}],
)  # fmt: skip
async def test_a_wrong_id_token_lets_nobody_in(place: Place, issuer: LocalIssuer, extra: dict[str, Any]) -> None:
    token = issuer.token
    issuer.token = lambda **claims: token(**{**claims, **extra})  # type: ignore[method-assign]  # a faulty issuer
    try:
        browser = place.browser()
        address = await back(await away(browser, issuer))
        assert await fragment(browser, address) == ("oidc_error", "unauthorized")
    finally:
        del issuer.token
    assert (await log_in(place, issuer)).status_code == 200


async def test_a_code_is_of_no_use_without_the_verifier(place: Place, issuer: LocalIssuer) -> None:
    browser = place.browser()
    stolen = changed(await away(browser, issuer), code_challenge="A" * 43)
    assert await fragment(browser, await back(stolen)) == ("oidc_error", "unauthorized")


async def test_a_code_of_another_login_is_of_no_use(place: Place, issuer: LocalIssuer) -> None:
    """Somebody else's code, put into the answer to a login that the victim began, fails at PKCE and at the nonce."""
    attacker, victim = place.browser(), place.browser()
    code = parse_qs(urlsplit(await back(await away(attacker, issuer))).query)["code"][0]
    address = changed(await back(await away(victim, issuer)), code=code)
    assert await fragment(victim, address) == ("oidc_error", "unauthorized")
    issuer.pkce = False
    code = parse_qs(urlsplit(await back(await away(attacker, issuer))).query)["code"][0]
    address = changed(await back(await away(victim, issuer)), code=code)
    assert await fragment(victim, address) == ("oidc_error", "unauthorized")


async def test_keys_change_and_no_login_fails(place: Place, issuer: LocalIssuer) -> None:
    """Also while strangers invent names of keys, which use up the fetches that callers have."""
    for turn in range(10):
        forged = [issuer.keys[-1].sign(issuer.claims(), kid=secrets.token_hex(8)) for _ in range(20)]
        got = await asyncio.gather(*(place.issuers.find(each) for each in forged), return_exceptions=True)
        assert all(isinstance(each, Unauthorized) for each in got)
        issuer.rotate(keep_old=turn % 2 == 0)
        assert (await log_in(place, issuer, f"192.0.2.{turn}")).status_code == 200
        place.clock.now_s += FETCH_EVERY_S * (turn % 3) / 2  # also twice at once
    assert issuer.asked["jwks"] <= 20, "one for a login, and one for all strangers"


async def test_an_issuer_that_is_down_says_so(place: Place, issuer: LocalIssuer, redis: Redis) -> None:
    browser = place.browser()
    address = await back(await away(browser, issuer))
    issuer.down = True
    assert await fragment(browser, address) == ("oidc_error", "issuer_failed")
    fresh = Place(redis, issuer)
    answer = await fresh.browser().get(f"{FOLDER}/login", params={"issuer": issuer.url})
    assert answer.status_code == 302
    assert answer.headers["location"] == "/account/#oidc_error=issuer_failed"
    await close(fresh)


async def test_a_wrong_client_secret_is_our_fault_and_is_logged(
    redis: Redis, issuer: LocalIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(redis, issuer, secret="wrong")
    browser = place.browser()
    assert await fragment(browser, await back(await away(browser, issuer))) == ("oidc_error", "issuer_failed")
    assert "invalid_client" in caplog.text
    assert "wrong" not in caplog.text
    await close(place)


async def test_one_address_cannot_fill_redis_with_logins(place: Place, issuer: LocalIssuer) -> None:
    browser = place.browser()
    params = {"issuer": issuer.url}
    got = [(await browser.get(f"{FOLDER}/login", params=params)).status_code for _ in range(LOGINS_A_MINUTE + 10)]
    assert set(got[:LOGINS_A_MINUTE]) == {302}
    assert 429 in got
    shown = [(await exchange(browser, "invented")).status_code for _ in range(LOGINS_A_MINUTE + 10)]
    assert set(shown) == {401, 429}
    assert (await place.browser("192.0.2.9").get(f"{FOLDER}/login", params=params)).status_code == 302
