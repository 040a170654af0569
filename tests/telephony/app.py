"""An application on `voicewire.v1` that speaks into calls, and a server with an account at a carrier."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.conftest import Served
from tests.server.two_tenants import client
from tests.telephony.carrier import WAIT_S


def new_call() -> str:
    return f"CA{secrets.token_hex(16)}"


async def token_for(served: Served, call: str) -> str:
    """Ask for a token as the operator's own program does."""
    headers = {"Authorization": f"Bearer {served.key}"}
    async with httpx.AsyncClient(headers=headers, trust_env=False, verify=False, timeout=WAIT_S) as http:
        return str((await http.post(f"{served.url}/v1/calls", json={"call": call})).json()["token"])


async def used_ms(served: Served, key: str, least_ms: int = 1) -> dict[str, int]:
    """Return what a key's tenant has used by key, once as much as `least_ms` is recorded."""
    async with client(served, key) as http, asyncio.timeout(WAIT_S):
        while True:
            used = (await http.get("/v1/usage", params={"by": "key"})).json()
            if used["total"]["audio_ms"] >= least_ms:
                return {line["name"]: line["audio_ms"] for line in used["items"]}
            await asyncio.sleep(0.1)


class App:
    """The application. It takes no error that it does not wait for."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[dict[str, Any]] = []

    async def say(self, type: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": type, **fields}))

    async def until(self, type: str, **fields: Any) -> dict[str, Any]:
        """Take messages up to one of a type with these fields."""
        async with asyncio.timeout(WAIT_S):
            while True:
                data = await self.socket.recv()
                assert isinstance(data, str), "audio is for the caller"
                message: dict[str, Any] = json.loads(data)
                self.heard.append(message)
                if message["type"] == type and fields.items() <= message.items():
                    return message
                assert message["type"] != "error", message


@asynccontextmanager
async def application(served: Served, key: str = "") -> AsyncIterator[App]:
    url, headers = served.url.replace("http", "ws"), {"Authorization": f"Bearer {key or served.key}"}
    async with connect(f"{url}/v1/stream", additional_headers=headers, proxy=None) as socket:
        app = App(socket)
        await app.until("ready")
        yield app
