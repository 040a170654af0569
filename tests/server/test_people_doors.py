"""The doors for people, on a real server, with the mails that it leaves in its folder."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import httpx
import pytest

from tests.conftest import Served, started
from voicewire.auth.secret_files import PEPPER_FILE
from voicewire.auth.tokens import SECRET_FILE

PASSWORD = "a riddle of eels"
WAIT_S = 20.0
TERMS = "2026-01"


@pytest.fixture(scope="module")
def own() -> Iterator[Served]:
    """A server where people may sign up, behind a proxy on this machine."""
    settings = {"SIGN_UP": "on", "BILLING": "on", "TERMS_VERSION": TERMS, "FORWARDED_ALLOW": "127.0.0.1"}
    with started({f"VOICEWIRE_{name}": value for name, value in settings.items()}) as served:
        yield served


@pytest.fixture(scope="module")
def addresses() -> Iterator[int]:
    return count(1)


@pytest.fixture
def client(own: Served, addresses: Iterator[int]) -> Iterator[httpx.Client]:
    """A stranger from an address of their own."""
    headers = {"X-Forwarded-For": f"192.0.2.{next(addresses)}"}
    with httpx.Client(base_url=own.url, headers=headers, trust_env=False, timeout=30) as client:
        yield client


def mailed(own: Served, to: str, what: str = r"#(?:verify|password)=(\S+)", mails: int = 1) -> str:
    """What is found in the latest of `mails` to `to`; waits for them."""
    deadline = time.monotonic() + WAIT_S
    while True:
        texts = [path.read_text() for path in sorted((own.data_dir / "mail").glob("*.eml"))]
        ours = [text for text in texts if f"To: {to}\n" in text]
        if len(ours) >= mails:
            found = re.search(what, ours[-1])
            assert found, ours[-1]
            return found[1]
        assert time.monotonic() < deadline, f"{len(ours)} mails came to {to}"
        time.sleep(0.05)


def sign_up(own: Served, client: httpx.Client, email: str) -> dict[str, object]:
    answer = client.post("/v1/auth/register", json={"email": email, "password": PASSWORD, "name": "Ada"})
    assert (answer.status_code, answer.json()) == (202, {})
    login = client.post("/v1/auth/verify", json={"token": mailed(own, email), "password": PASSWORD})
    assert login.status_code == 200, login.text
    body: dict[str, object] = login.json()
    return body


def bearer(login: dict[str, object]) -> dict[str, str]:
    return {"Authorization": f"Bearer {login['access_token']}"}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_from_signing_up_to_logging_out(own: Served, client: httpx.Client) -> None:
    login = sign_up(own, client, "flow@example.org")
    user = login["user"]
    assert isinstance(user, dict)
    assert (login["token_type"], login["expires_s"], user["email"]) == ("Bearer", 86_400, "flow@example.org")
    who = client.get("/v1/auth/verify", headers=bearer(login)).json()
    assert (who["kind"], who["user"], who["tenant"], who["key"]) == ("user", user["id"], user["tenant"], None)
    me = client.get("/v1/me", headers=bearer(login)).json()
    assert (me["plan"], me["role"], me["limits"]["streams"], me["limits"]["metered"]) == ("free", "owner", 1, True)
    credits = client.get("/v1/users/me/credits", headers=bearer(login)).json()
    assert credits["balance_ms"] == 600_000
    named = client.patch("/v1/me", headers=bearer(login), json={"name": "Ada Lovelace"})
    assert named.json()["user"]["name"] == "Ada Lovelace"
    fresh = client.post("/v1/auth/refresh", json={"refresh_token": login["refresh_token"]}).json()
    assert client.post("/v1/auth/logout", headers=bearer(fresh)).status_code == 204
    for token in (login, fresh):
        assert code(client.get("/v1/me", headers=bearer(token))) == (401, "unauthorized")
    again = client.post("/v1/auth/refresh", json={"refresh_token": fresh["refresh_token"]})
    assert code(again) == (401, "unauthorized")
    assert client.post("/v1/auth/login", json={"email": "Flow@example.org ", "password": PASSWORD}).status_code == 200


def test_a_link_wants_the_password_that_was_chosen_with_it_and_works_once(own: Served, client: httpx.Client) -> None:
    email = "link@example.org"
    client.post("/v1/auth/register", json={"email": email, "password": PASSWORD})
    link = {"token": mailed(own, email), "password": PASSWORD}
    wrong = client.post("/v1/auth/verify", json=link | {"password": "another password"})
    assert code(wrong) == (401, "unauthorized")
    assert client.post("/v1/auth/verify", json=link).status_code == 200
    for password in (PASSWORD, "another password"):
        assert code(client.post("/v1/auth/verify", json=link | {"password": password})) == (410, "link_gone")


def test_passwords_are_set_anew_by_mail_and_by_the_old_one(own: Served, client: httpx.Client) -> None:
    email = "forgets@example.org"
    sign_up(own, client, email)
    assert client.post("/v1/auth/password/forgot", json={"email": email}).json() == {}
    token = mailed(own, email, mails=2)
    weak = client.post("/v1/auth/password/reset", json={"token": token, "password": "password1234"})
    assert code(weak) == (400, "bad_message")
    reset = {"token": token, "password": "a parliament of owls"}
    assert client.post("/v1/auth/password/reset", json=reset).status_code == 204
    assert code(client.post("/v1/auth/password/reset", json=reset)) == (410, "link_gone")
    login = client.post("/v1/auth/login", json={"email": email, "password": "a parliament of owls"}).json()
    change = {"old": "a parliament of owls", "new": PASSWORD}
    assert client.post("/v1/auth/password/change", headers=bearer(login), json=change).status_code == 204
    assert code(client.post("/v1/auth/password/change", headers=bearer(login), json=change)) == (401, "unauthorized")
    assert mailed(own, email, r"Subject: (.*)", mails=4) == "Your password was changed"


def test_nobody_learns_who_is_here(own: Served, client: httpx.Client) -> None:
    sign_up(own, client, "known@example.org")
    answers = {}
    for email in ("known@example.org", "unknown@example.org"):
        person = {"email": email, "password": "another password"}
        answers[email] = [
            (answer.status_code, answer.text, sorted(set(answer.headers) - {"date"}))
            for answer in (
                client.post("/v1/auth/register", json=person),
                client.post("/v1/auth/login", json=person),
                client.post("/v1/auth/password/forgot", json={"email": email}),
            )
        ]
    assert answers["known@example.org"] == answers["unknown@example.org"]
    assert mailed(own, "known@example.org", r"Subject: (.*)", mails=3)


def at_once(client: httpx.Client, path: str, bodies: list[dict[str, str]], origins: list[dict[str, str]]) -> list[int]:
    """The statuses of many requests, sent side by side, so that none waits until a bucket has filled again."""

    def ask(body: dict[str, str], headers: dict[str, str]) -> int:
        return client.post(f"/v1/auth/{path}", json=body, headers=headers).status_code

    with ThreadPoolExecutor(len(bodies)) as crowd:
        return sorted(crowd.map(ask, bodies, origins))


def test_attempts_are_counted_by_address_and_by_person(client: httpx.Client, addresses: Iterator[int]) -> None:
    here: list[dict[str, str]] = [{}] * 14
    anywhere = [{"X-Forwarded-For": f"192.0.2.{next(addresses)}"} for _ in here]
    victim = [{"email": "victim@example.org", "password": "a wrong password"} for _ in here]
    others = [{"email": f"other{n}@example.org", "password": "a wrong password"} for n, _ in enumerate(here)]
    for bodies, origins in ((victim, anywhere), (others, here)):
        statuses = at_once(client, "login", bodies, origins)
        assert set(statuses) == {401, 429}
        assert statuses.count(401) >= 10
    assert client.post("/v1/auth/login", json=others[0], headers=anywhere[0]).status_code == 401
    assert set(at_once(client, "password/forgot", [{"email": each["email"]} for each in others], here)) == {202, 429}


def test_terms_come_before_speech_for_each_person_and_key(own: Served, client: httpx.Client) -> None:
    login = sign_up(own, client, "agrees@example.org")
    key = client.post("/v1/keys", headers=bearer(login), json={"label": "a", "environment": "live"}).json()["key"]
    for credential in (bearer(login), {"X-API-Key": key}):
        refused = client.post("/v1/tts", headers=credential, json={"text": "Hello."})
        assert code(refused) == (403, "terms_required")
        wrong = client.post("/v1/me/terms", headers=credential, json={"version": "1999-01"})
        assert code(wrong) == (400, "bad_message")
        accepted = client.post("/v1/me/terms", headers=credential, json={"version": TERMS})
        assert accepted.json() == {"required": TERMS, "accepted": True}
        assert client.post("/v1/tts", headers=credential, json={"text": "Hello."}).status_code == 200


def test_owners_invite_and_remove(own: Served, client: httpx.Client) -> None:
    owner, guest = sign_up(own, client, "owner@example.org"), sign_up(own, client, "guest@example.org")
    assert isinstance(owner["user"], dict)
    assert isinstance(guest["user"], dict)
    tenant, user = owner["user"]["tenant"], guest["user"]["id"]
    for email in ("guest@example.org", "nobody@example.org"):
        invited = client.post("/v1/me/members", headers=bearer(owner), json={"email": email})
        assert (invited.status_code, invited.json()) == (202, {})
    token = mailed(own, "guest@example.org", r"#join=(\S+)", mails=2)
    listed = client.get("/v1/me/members", headers=bearer(owner)).json()["items"]
    assert [each["email"] for each in listed] == ["owner@example.org"]
    assert [each["id"] for each in client.get("/v1/me", headers=bearer(guest)).json()["tenants"]] != [tenant]
    accept = "/v1/me/members/accept"
    assert code(client.post(accept, headers=bearer(owner), json={"token": token})) == (410, "link_gone")
    assert code(client.post(accept, headers={"X-API-Key": own.key}, json={"token": token})) == (403, "forbidden")
    joined = client.post(accept, headers=bearer(guest), json={"token": token})
    assert (joined.status_code, joined.json()) == (200, {"tenant": tenant})
    assert code(client.post(accept, headers=bearer(guest), json={"token": token})) == (410, "link_gone")
    inside = client.post(
        "/v1/auth/login", json={"email": "guest@example.org", "password": PASSWORD, "tenant": tenant}
    ).json()
    members = client.get("/v1/me/members", headers=bearer(inside)).json()["items"]
    assert [(each["email"], each["role"]) for each in members] == [
        ("owner@example.org", "owner"),
        ("guest@example.org", "member"),
    ]
    assert code(client.post("/v1/me/members", headers=bearer(inside), json={"email": "a@example.org"}))[0] == 403
    assert code(client.delete(f"/v1/me/members/{owner['user']['id']}", headers=bearer(inside)))[0] == 403
    assert client.delete(f"/v1/me/members/{user}", headers=bearer(owner)).status_code == 204
    assert code(client.get("/v1/me", headers=bearer(inside))) == (401, "unauthorized")
    assert client.get("/v1/me", headers=bearer(guest)).status_code == 200
    assert code(client.delete(f"/v1/me/members/{user}", headers=bearer(owner))) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("register", {"email": "no address", "password": PASSWORD}),
        ("register", {"email": "a@example.org", "password": "short"}),
        ("register", {"email": "a@example.org", "password": PASSWORD, "role": "admin"}),
        ("register", {"email": "a@example.org", "password": PASSWORD, "name": "a\r\nb"}),
        ("register", {"email": "a@example.org\u0000", "password": PASSWORD}),
        ("login", {"email": "a@example.org"}),
        ("login", {"email": "a@example.org", "password": "x" * 257}),
        ("refresh", {"refresh_token": ""}),
        ("verify", {"token": "x" * 257, "password": PASSWORD}),
        ("verify", {"token": 1, "password": PASSWORD}),
        ("verify", {"token": "x" * 43}),
    ],
)
def test_what_is_no_message_is_said_without_repeating_it(
    client: httpx.Client, path: str, body: dict[str, object]
) -> None:
    answer = client.post(f"/v1/auth/{path}", json=body)
    assert code(answer) == (400, "bad_message")
    for value in body.values():
        assert len(str(value)) < 6 or str(value) not in answer.text


def test_a_key_is_no_person(own: Served, client: httpx.Client) -> None:
    key = {"X-API-Key": own.key}
    who = client.get("/v1/auth/verify", headers=key).json()
    assert (who["kind"], who["user"], "admin" in who["scopes"]) == ("key", None, True)
    assert code(client.post("/v1/auth/logout", headers=key)) == (401, "unauthorized")
    change = {"old": PASSWORD, "new": PASSWORD}
    assert code(client.post("/v1/auth/password/change", headers=key, json=change)) == (401, "unauthorized")
    assert code(client.patch("/v1/me", headers=key, json={"name": "a"})) == (403, "forbidden")
    assert client.get("/v1/me", headers=key).json()["user"] is None
    assert code(client.get("/v1/auth/verify")) == (401, "unauthorized")


def test_foreign_pages_and_secrets_in_addresses_are_refused(client: httpx.Client) -> None:
    guess = {"email": "a@example.org", "password": PASSWORD}
    foreign = client.post("/v1/auth/login", json=guess, headers={"Origin": "https://evil.example"})
    assert code(foreign) == (403, "forbidden")
    assert code(client.post("/v1/auth/verify?token=abc", json={"token": "abc", "password": PASSWORD})) == (
        400,
        "bad_message",
    )


def test_secrets_of_the_folder_are_the_owners_only(own: Served, client: httpx.Client) -> None:
    sign_up(own, client, "folder@example.com")
    mailed(own, "folder@example.com")
    for path in (own.data_dir / SECRET_FILE, own.data_dir / PEPPER_FILE, *(own.data_dir / "mail").iterdir()):
        assert isinstance(path, Path)
        assert path.stat().st_mode & 0o077 == 0, path
