"""Canaries: secrets and texts put through every door of a real server, and looked for wherever they must not be."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from tests.faults.serving import Server, serving

FAIL, CRASH = "Xfail", "Xcrash"
MADE_FOR_READING = ("client-key", "mail/")  # the key for programs on this machine; links, where no mail server is set


def canary(name: str) -> str:
    """A word that stands nowhere else."""
    return f"canary{name}{secrets.token_hex(8)}"


class Canaries(NamedTuple):
    """What nobody may find."""

    key: str
    wrong_key: str
    token: str
    ticket: str
    text: str
    password: str
    resume: str

    def parts(self) -> dict[str, bytes]:
        """What is looked for: of keys and tokens the part that is secret."""
        tails = {"key": self.key.rsplit("_", 1)[1], "wrong_key": self.wrong_key.rsplit("_", 1)[1]}
        tails["token"] = self.token.rsplit(".", 1)[1]
        return {name: part.encode() for name, part in (self._asdict() | tails).items()}


def made() -> Canaries:
    def key(kind: str) -> str:
        return f"vw_live_{kind}_" + (canary(kind) + "k" * 43)[:43]

    signed = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1XzEifQ.{canary('token')}"
    return Canaries(
        key("canary00"), key("wrongkey"), signed, "", canary("text"), canary("password") + "A1!", canary("resume")
    )


class Found(NamedTuple):
    """What the server was made to say: of everything that it answered, where it was asked, and how often with what."""

    answers: list[tuple[str, bytes]]
    statuses: Counter[int]


def processes(pid: int) -> Iterator[int]:
    """Return a process and all that it started."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from processes(int(child))


def hits(place: str, data: bytes, canaries: Canaries) -> list[str]:
    return [f"{name} in {place}" for name, part in canaries.parts().items() if part and part in data]


async def over_http(server: Server, canaries: Canaries, found: Found) -> None:
    """Right and wrong places: header, query, path, body, cookie, the id of a request."""
    shown = {"X-API-Key": canaries.key, "X-Forwarded-For": "192.0.2.1"}
    async with httpx.AsyncClient(base_url=server.url) as client:

        async def ask(method: str, path: str, **rest: Any) -> httpx.Response:
            headers = {"X-Forwarded-For": "192.0.2.1"} | rest.pop("headers", {})
            answer = await client.request(method, path, headers=headers, **rest)
            found.statuses[answer.status_code] += 1
            found.answers.append(
                (f"{method} {path.partition('?')[0][:12]}", answer.content + str(answer.headers).encode())
            )
            return answer

        for secret in (canaries.key, canaries.wrong_key, canaries.token, canaries.password, canaries.text):
            for headers in (
                {"X-API-Key": secret}, {"Authorization": f"Bearer {secret}"}, {"Authorization": f"Basic {secret}"},
                {"Cookie": f"session={secret}"}, {"X-Request-ID": secret}, {"User-Agent": secret},
                {"Origin": f"https://{secret}"}, {"Referer": f"https://x.example/?key={secret}"},
            ):  # fmt: skip
                await ask("GET", "/v1/models", headers=headers)
                await ask("POST", "/v1/tts", headers=headers, content=b"{")
            for path in (f"/v1/models?api_key={secret}", f"/{secret}", f"/v1/{secret}", f"/reader/{secret}"):
                await ask("GET", path, headers=shown)
                await ask("GET", path)
        for secret in (canaries.key, canaries.wrong_key, canaries.token):
            for body in ({"text": "Hello.", "voice": secret}, {"text": "Hello.", "model": secret}, {secret: secret},
                         {"text": "Hello.", "format": secret}, {"text": ["Hello.", secret]}, secret):  # fmt: skip
                await ask("POST", "/v1/tts", headers=shown, json=body)
            await ask("GET", f"/v1/voices/{secret}", headers=shown)
            await ask("GET", f"/v1/words/{secret}", headers=shown)
        for text in (
            f"{canaries.text}.",
            f"{FAIL} {canaries.text}.",
            f"{canaries.text} {FAIL}.",
            f"{canaries.text} {CRASH}.",
            "One. " * 30 + f"{canaries.text}{FAIL}.",
        ):
            with contextlib.suppress(httpx.RemoteProtocolError):
                await ask("POST", "/v1/tts?timestamps=true", headers=shown, json={"text": text, "format": "pcm"})
        await ask("POST", "/v1/tts", headers=shown, content=f'{{"text": "{canaries.text}", '.encode())
        await ask("POST", "/v1/tts", headers=shown, content=json.dumps({"text": f"{canaries.text}\ud800"}).encode())
        for path in ("register", "login", "password/forgot", "password/reset", "verify", "refresh"):
            person = {"email": "someone@canary.example", "password": canaries.password, "token": canaries.token}
            await ask("POST", f"/v1/auth/{path}", json=person | {"refresh_token": canaries.token, "name": "Someone"})
            await ask("POST", f"/v1/auth/{path}", json={"email": 7, "password": [canaries.password]})
        await ask("GET", "/v1/auth/oidc/callback", params={"code": canaries.text, "state": canaries.resume})
        await ask("GET", "/v1/auth/oidc/callback", params={"error": canaries.token})
        await ask("GET", "/metrics", headers=shown)


async def over_the_socket(server: Server, canaries: Canaries, found: Found) -> None:
    address = server.url.replace("http", "ws") + "/v1/stream"

    async def told(ws: ClientConnection, *messages: str) -> None:
        with contextlib.suppress(WebSocketException, TimeoutError):
            for message in messages:
                await ws.send(message)
            while True:
                async with asyncio.timeout(0.3):
                    said = await ws.recv()
                if isinstance(said, str):
                    found.answers.append(("the socket", said.encode()))

    for secret in (canaries.key, canaries.wrong_key, canaries.token):
        for query, headers in ((f"?token={secret}", {}), ("", {"Authorization": f"Bearer {secret}x"}),
                               ("", {"X-API-Key": f"{secret}x"})):  # fmt: skip
            with contextlib.suppress(InvalidStatus):
                async with connect(address + query, additional_headers=headers) as ws:
                    await told(ws)
        async with connect(address) as ws:
            await told(ws, json.dumps({"type": "hello", "ticket": secret}))
    async with connect(address) as ws:
        await told(ws, json.dumps({"type": "hello", "ticket": canaries.ticket}))
    async with connect(address) as ws:
        resume = {"type": "resume", "session": "s_1", "resume_token": canaries.resume, "received": {}}
        await told(ws, json.dumps(resume), f'{{"type":"{canaries.text}"}}')
    async with connect(address, additional_headers={"X-API-Key": canaries.key}) as ws:
        spoken = [f"{canaries.text}. ", f"{canaries.text} {FAIL}. ", f"{canaries.text} {CRASH}. "]
        await told(
            ws,
            *(json.dumps({"type": "speak", "context": f"c{n}", "text": text}) for n, text in enumerate(spoken)),
            f'{{"type":"text","context":"c9","text":"{canaries.text}"',
            json.dumps({"type": "speak", "context": "c8", "text": "Hello.", "voice": canaries.wrong_key}),
            json.dumps({"type": "speak", "context": "c7", "text": ["Hello.", canaries.text]}),
        )


async def ticket(server: Server, key: str) -> str:
    async with httpx.AsyncClient(base_url=server.url, headers={"X-API-Key": key}) as client:
        return str((await client.post("/v1/tickets", json={})).json()["ticket"])


@pytest.fixture(params=["text", "json"])
async def searched(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Server, Canaries, Path]]:
    canaries = made()
    tone = {"fail_on": FAIL, "crash_on": CRASH}
    settings = {"log_level": "debug", "log_format": request.param, "bootstrap_key": canaries.key}
    async with serving(tmp_path, tone=tone, hello_s=1, **settings) as server:
        yield server, canaries._replace(ticket=await ticket(server, canaries.key)), tmp_path


async def test_nothing_is_found(searched: tuple[Server, Canaries, Path]) -> None:
    server, canaries, folder = searched
    found = Found([], Counter())
    await over_http(server, canaries, found)
    await over_the_socket(server, canaries, found)
    assert found.statuses.keys() >= {200, 400, 401, 403, 404, 502}, "the doors were open"
    assert any(b'"engine_failed"' in data for place, data in found.answers if place == "the socket")
    secret = canaries._replace(text="")  # who asks may be told what they said
    hit = [each for place, data in found.answers for each in hits(place, data, secret)]
    everybody = list(processes(server.process.pid))
    assert len(everybody) > 3
    for pid in everybody:
        hit += hits(f"the command line of {pid}", Path(f"/proc/{pid}/cmdline").read_bytes(), canaries)
        if pid != server.process.pid:  # which was given the key that way
            hit += hits(f"the environment of {pid}", Path(f"/proc/{pid}/environ").read_bytes(), canaries)
    await server.end()
    hit += hits("the log", "".join(server.log).encode(), canaries)
    for path in filter(Path.is_file, folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not name.startswith(MADE_FOR_READING):
            # in Redis is what can be resumed for a while
            hit += hits(name, path.read_bytes(), secret if name.startswith("redis") else canaries)
    assert not hit, "\n".join(dict.fromkeys(hit))


def test_a_planted_canary_is_found() -> None:
    canaries = made()._replace(ticket=canary("ticket"))
    for name, part in canaries.parts().items():
        assert hits("a log", b"before " + part + b" behind", canaries) == [f"{name} in a log"]
