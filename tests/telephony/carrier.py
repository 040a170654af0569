"""A carrier, from the published protocol of Twilio's media streams: it rings, plays what comes, and is late."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlencode

import httpx
from websockets.asyncio.client import ClientConnection, connect

from voicewire.server.telephony.signatures import sign

SECRET = "carrier-secret"
ACCOUNT = "AC00000000000000000000000000000001"
WAIT_S = 20.0
MULAW_BYTES_PER_MS = 8


def ring(call: str, account: str = ACCOUNT) -> list[tuple[str, str]]:
    """What Twilio posts when a telephone rings."""
    return [
        ("AccountSid", account),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", call),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("From", "+15005550006"),
        ("To", "+15005550001"),
        ("StirVerstat", ""),
    ]


def public(url: str) -> str:
    """Under what name a test's server believes to be reached."""
    return url.replace("127.0.0.1", "localhost")


async def post(
    url: str, fields: list[tuple[str, str]], signature: str | None = None, secret: str = SECRET, **headers: str
) -> httpx.Response:
    """Have the webhook called, signed as Twilio signs unless it is said how."""
    shown = sign(secret, f"{public(url)}/v1/twilio/voice", fields) if signature is None else signature
    named = {"X-Twilio-Signature": shown, "Content-Type": "application/x-www-form-urlencoded", **headers}
    async with httpx.AsyncClient(timeout=WAIT_S, trust_env=False) as http:
        return await http.post(f"{url}/v1/twilio/voice", content=urlencode(fields), headers=named)


async def token_of(url: str, call: str, account: str = ACCOUNT, secret: str = SECRET) -> str:
    """Ring, and return the token of the answer."""
    answer = await post(url, ring(call, account), secret=secret)
    assert answer.status_code == 200, answer.text
    found = re.search(r'<Stream url="(\S+)"><Parameter name="token" value="([\w-]+)"/></Stream>', answer.text)
    assert found, answer.text
    assert found[1] == public(url).replace("http", "ws") + "/v1/twilio/stream"
    return found[2]


class Phone:
    """One call, as Twilio has it: it plays in real time, and says a mark when what was before it was played."""

    def __init__(self, socket: ClientConnection, call: str, late_s: Iterator[float]) -> None:
        self.call = call
        self.stream = f"MZ{call[2:]}"
        self.socket = socket
        self.audio = bytearray()  # played, or being played
        self.said: list[str] = []  # the events, in order
        self.most_ahead_s = 0.0
        self.cleared = asyncio.Event()
        self.sounding = asyncio.Event()
        self._late_s = late_s
        self._until = 0.0
        self._marks: deque[tuple[float, str]] = deque()
        self._sequence = itertools.count(1)
        self._changed = asyncio.Event()

    async def send(self, event: str, **fields: Any) -> None:
        numbered = {"event": event, "sequenceNumber": str(next(self._sequence)), **fields, "streamSid": self.stream}
        await self.socket.send(json.dumps(numbered))

    async def start(self, token: str, account: str = ACCOUNT) -> None:
        await self.socket.send('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        start = {
            "accountSid": account,
            "streamSid": self.stream,
            "callSid": self.call,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": token},
        }
        await self.send("start", start=start)

    async def press(self, digit: str) -> None:
        await self.send("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    async def hang_up(self) -> None:
        await self.send("stop", stop={"accountSid": ACCOUNT, "callSid": self.call})

    async def talk(self) -> None:
        """What the caller says: silence, for ever."""
        payload = base64.b64encode(b"\xff" * 160).decode()
        for chunk in itertools.count(1):
            await self.send("media", media={"track": "inbound", "chunk": str(chunk), "payload": payload})
            await asyncio.sleep(0.02)

    async def listen(self) -> None:
        async for data in self.socket:
            assert isinstance(data, str), "31950: a binary message"
            message = json.loads(data)
            assert message["streamSid"] == self.stream, "31951: another stream"
            self._take(message)
            self._changed.set()

    def _take(self, message: dict[str, Any]) -> None:
        now = time.monotonic()
        self.said.append(message["event"])
        if message["event"] == "media":
            assert message.keys() == {"event", "streamSid", "media"}, "31951: a field more or less"
            assert message["media"].keys() == {"payload"}
            audio = base64.b64decode(message["media"]["payload"], validate=True)
            self.audio += audio
            self._until = max(now, self._until) + len(audio) / MULAW_BYTES_PER_MS / 1000
            self.most_ahead_s = max(self.most_ahead_s, self._until - now)
            self.sounding.set()
        elif message["event"] == "mark":
            assert message.keys() == {"event", "streamSid", "mark"}
            assert message["mark"].keys() == {"name"}
            self._marks.append((max(now, self._until), message["mark"]["name"]))
        else:
            assert message == {"event": "clear", "streamSid": self.stream}
            unplayed = max(0, round((self._until - now) * 1000)) * MULAW_BYTES_PER_MS
            del self.audio[len(self.audio) - unplayed :]
            self._until = now
            self._marks = deque((now, name) for _, name in self._marks)  # all of them are said at once
            self.cleared.set()

    async def echo(self) -> None:
        """Say the marks that were reached, each late."""
        while True:
            while not self._marks:
                self._changed.clear()
                await self._changed.wait()
            due = self._marks[0][0] - time.monotonic()
            if due > 0:
                self._changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), due)
                continue
            _, name = self._marks.popleft()
            await asyncio.sleep(next(self._late_s))
            await self.send("mark", mark={"name": name})


@asynccontextmanager
async def connected(
    url: str, call: str, token: str, late_s: Iterator[float] | None = None, path: str = "/v1/twilio/stream"
) -> AsyncIterator[Phone]:
    """A call that has begun; it ends as lost connections do."""
    async with connect(url.replace("http", "ws") + path, proxy=None, compression=None) as socket:
        phone = Phone(socket, call, late_s or itertools.repeat(0.0))
        await phone.start(token)
        tasks = [asyncio.create_task(run()) for run in (phone.listen, phone.echo, phone.talk)]
        try:
            yield phone
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert not [error for error in ended if isinstance(error, AssertionError)], ended
