"""A client of Deepgram's sockets, as far as tests go."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.conftest import Served

WAIT_S = 30
RATE_HZ = 24_000

Heard = tuple[bytes, list[dict[str, Any]]]


def dial(served: Served, path: str, model: str) -> connect:
    """Return a connection that asks for samples at `RATE_HZ`, to be entered."""
    address = f"{path}?encoding=linear16&model={model}&sample_rate={RATE_HZ}"
    headers = {"Authorization": f"Token {served.key}"}
    return connect(served.url.replace("http", "ws") + address, additional_headers=headers, proxy=None)


async def say(socket: ClientConnection, type: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": type, **fields}))


async def hear(socket: ClientConnection, until: str) -> Heard:
    """Take everything up to a message of a type: the audio, and the messages, of which no other is an error."""
    audio = b""
    messages: list[dict[str, Any]] = []
    async with asyncio.timeout(WAIT_S):
        while not messages or messages[-1]["type"] != until:
            data = await socket.recv()
            if isinstance(data, bytes):
                audio += data
            else:
                messages.append(json.loads(data))
                assert until == "Error" or messages[-1]["type"] != "Error", messages[-1]
    return audio, messages


async def refused_handshake(served: Served, address: str, key: str = "") -> tuple[int, str]:
    """Be refused at the handshake, in their words; return the status and the code."""
    headers = {"Authorization": f"Token {key or served.key}"}
    with pytest.raises(InvalidStatus) as refused:
        async with connect(served.url.replace("http", "ws") + address, additional_headers=headers, proxy=None):
            pass
    answer = refused.value.response
    assert answer.body is not None
    body = json.loads(answer.body)
    assert answer.headers["dg-error"] == re.sub("[^ -~]", "?", body["err_msg"])
    assert answer.headers["dg-request-id"] == body["request_id"]
    return answer.status_code, body["err_code"]
