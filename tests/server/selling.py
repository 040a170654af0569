"""A real server that sells, one for the whole run; its operator, and somebody with a plan and a key."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.conftest import Served, started
from voicewire.accounts.keys import Keys, Maker, Wish
from voicewire.accounts.subscriptions import begin
from voicewire.auth.keys import KeyLimits
from voicewire.auth.scopes import PERSON_SCOPES
from voicewire.auth.secret_files import PEPPER_FILE, kept_secret
from voicewire.commands.operator import Operator, open_operator
from voicewire.config import Config

WAIT_S = 10


@pytest.fixture(scope="session")
def selling() -> Iterator[Served]:
    with started({"VOICEWIRE_BILLING": "on", "VOICEWIRE_WEBHOOK_PRIVATE": "on"}) as served:
        yield served


@pytest.fixture
async def operator(selling: Served) -> AsyncIterator[Operator]:
    async with open_operator(Config(data_dir=selling.data_dir, billing=True)) as operator:
        yield operator


@pytest.fixture
async def admin(selling: Served) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {selling.key}"}
    async with httpx.AsyncClient(base_url=selling.url, headers=headers, trust_env=False) as client:
        yield client


class Tenant:
    """Somebody with a plan and a key."""

    def __init__(self, id: str, key: str, url: str) -> None:
        self.id, self.key, self.url = id, key, url
        headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": "192.0.2.1"}
        self.http = httpx.AsyncClient(base_url=url, headers=headers, timeout=WAIT_S, trust_env=False)

    async def speak(self, text: str = "Hi.", model: str = "tone") -> httpx.Response:
        return await self.http.post("/v1/tts", json={"text": text, "model": model})

    async def connect(self) -> ClientConnection:
        url = self.url.replace("http", "ws") + "/v1/stream"
        return await connect(url, additional_headers={"Authorization": f"Bearer {self.key}"}, proxy=None)


async def joins(operator: Operator, served: Served, plan: str, limits: KeyLimits | None = None) -> Tenant:
    tenant = f"t_{secrets.token_hex(8)}"
    async with operator.store.transaction() as session:
        await session.execute("INSERT INTO tenants (id, name) VALUES ($1, $1)", tenant)
        await begin(session, tenant, datetime.now(UTC), plan)
    keys = Keys(operator.store, kept_secret(served.data_dir, PEPPER_FILE), operator.news)
    made = await keys.make(Maker.operator(tenant), Wish(scopes=frozenset(PERSON_SCOPES), limits=limits))
    return Tenant(tenant, made.key, served.url)


def code_of(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


async def hear(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_S):
        message: dict[str, Any] = json.loads(await socket.recv())
        return message
