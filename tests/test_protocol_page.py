"""Runs every example of `docs/protocol.md` against a real server, and compares its tables with the code's."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.conftest import Served
from voicewire.errors import TABLE
from voicewire.frames import unpack_audio

PAGE = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text(encoding="utf-8")
OVER_HTTP = re.findall(r"```http\n(.*?)```", PAGE, re.DOTALL)
EXAMPLES = re.findall(r"```transcript\n(.*?)```", PAGE, re.DOTALL)
WAIT_S = 20
ANY = "…"


class Conversation:
    """A client that follows an example, and keeps what a resume needs."""

    def __init__(self, served: Served) -> None:
        self._url = served.url.replace("http://", "ws://") + "/v1/stream"
        self._key = served.key
        self._socket: ClientConnection | None = None
        self._ready: dict[str, Any] = {}
        self._channels: dict[int, str] = {}
        self._received: dict[str, int] = {}

    async def dial(self, headers: dict[str, str]) -> ClientConnection:
        self._socket = await connect(self._url, additional_headers=headers, compression=None)
        return self._socket

    async def begin(self, example: str) -> None:
        await self.dial({"Authorization": f"Bearer {self._key}"})
        if '"ready"' not in example.split("\n", 1)[0]:
            self._ready = await self.message({"type": "ready"})

    async def follow(self, line: str) -> None:
        assert self._socket is not None
        sign, _, rest = line.partition(" ")
        if sign == ">":
            await self._socket.send(rest)
        elif sign == "!":
            await self.resume()
        elif rest == "audio":
            await self.audio()
        else:
            self._ready = await self.message(json.loads(rest)) if '"ready"' in rest else self._ready
            if '"ready"' not in rest:
                await self.message(json.loads(rest))

    async def message(self, expected: dict[str, Any]) -> dict[str, Any]:
        """Wait for a message of the expected type; audio and other announcements may come first."""
        while True:
            got = await self._next()
            if isinstance(got, dict) and got["type"] == expected["type"]:
                assert _matches(expected, got), f"{got} is not {expected}"
                return got
            assert not isinstance(got, dict) or got["type"] in {"block", "words", "phonemes"}, got

    async def audio(self) -> None:
        while isinstance(await self._next(), dict):
            pass

    async def resume(self) -> None:
        assert self._socket is not None
        self._socket.transport.abort()
        socket = await self.dial({})
        received = {name: {"seq": seq} for name, seq in self._received.items()}
        proof = {"session": self._ready["session"], "resume_token": self._ready["resume_token"]}
        await socket.send(json.dumps({"type": "resume", **proof, "received": received}))

    async def _next(self) -> object:
        assert self._socket is not None
        data = await asyncio.wait_for(self._socket.recv(), WAIT_S)
        if isinstance(data, bytes):
            audio = unpack_audio(data)
            self._received[self._channels[audio.channel]] = audio.seq + len(audio.packets) - 1
            return audio
        got = json.loads(data)
        if got["type"] == "opened":
            self._channels[got["channel"]] = got["context"]
            self._received.setdefault(got["context"], -1)
        return got

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()


def _matches(expected: object, got: object) -> bool:
    if expected == ANY:
        return got is not None
    if isinstance(expected, dict) and isinstance(got, dict):
        return all(key in got and _matches(value, got[key]) for key, value in expected.items())
    if isinstance(expected, list) and isinstance(got, list):
        return len(got) == len(expected) and all(map(_matches, expected, got))
    return expected == got


@pytest.mark.parametrize("example", EXAMPLES)
async def test_an_example_happens_as_written(example: str, served: Served) -> None:
    conversation = Conversation(served)
    try:
        await conversation.begin(example)
        for line in example.strip().split("\n"):
            await conversation.follow(line)
    finally:
        await conversation.close()


@pytest.mark.parametrize("example", OVER_HTTP)
async def test_an_example_over_http_happens_as_written(example: str, served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.key}"}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=WAIT_S, trust_env=False) as http:
        answer = None
        for line in example.strip().split("\n"):
            sign, method, *rest = line.split(" ", 3)
            if sign == "<":
                assert answer is not None
                expected = json.loads(line.removeprefix("< "))
                assert _matches(expected, answer.json()), f"{answer.text} is not {expected}"
                continue
            path = answer.headers[rest[0].strip("{}")] if answer and rest[0].startswith("{") else rest[0]
            answer = await http.request(method, path, json=json.loads(rest[1]) if rest[1:] else None)
            assert answer.status_code == 200


def test_the_page_has_its_examples() -> None:
    assert (len(EXAMPLES), len(OVER_HTTP)) == (7, 1)


def test_the_table_of_errors_is_the_codes_own() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| (yes|no) \|$", PAGE, re.MULTILINE)
    assert rows == [
        (code, str(row.status), str(row.close), "yes" if row.retryable else "no") for code, row in TABLE.items()
    ]
