"""A carrier, in the words of any that we know: it rings, plays what comes, and is late."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlencode

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.telephony.wordings import SILENCE_MS, Heard, Twilio
from voicewire.server.telephony.signatures import sign

SECRET = "carrier-secret"
ACCOUNT = "AC00000000000000000000000000000001"
WAIT_S = 20.0


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
    async with httpx.AsyncClient(timeout=WAIT_S, trust_env=False, verify=False) as http:
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
    """One call, as its carrier has it: it plays in real time, and says a mark when what was before it was played."""

    def __init__(self, socket: ClientConnection, words: Twilio, late_s: Iterator[float]) -> None:
        self.words = words
        self.call = words.call
        self.socket = socket
        self.audio = bytearray()  # played, or being played
        self.sent_ms = 0.0  # what it was given, played or not
        self.said: list[str] = []  # what it was told, in order
        self.most_ahead_s = 0.0
        self.cleared = asyncio.Event()
        self.sounding = asyncio.Event()
        self._late_s = late_s
        self._until = 0.0
        self._marks: deque[tuple[float, str]] = deque()
        self._changed = asyncio.Event()

    @property
    def audio_ms(self) -> float:
        return len(self.audio) / self.words.bytes_per_ms

    async def start(self, token: str, account: str = ACCOUNT) -> None:
        for message in self.words.begun(token, account):
            await self.socket.send(message)

    async def press(self, digit: str) -> None:
        await self.socket.send(self.words.pressed(digit))

    async def hang_up(self) -> None:
        """End the call as this carrier does: with a word, or by leaving."""
        if self.words.says_goodbye:
            await self.socket.send(self.words.goodbye())
        else:
            await self.socket.close()

    async def talk(self) -> None:
        """What the caller says: silence, for ever."""
        for chunk in itertools.count(1):
            await self.socket.send(self.words.spoken(chunk))
            await asyncio.sleep(SILENCE_MS / 1000)

    async def listen(self) -> None:
        async for data in self.socket:
            await self._take(self.words.takes(data))
            self._changed.set()

    async def _take(self, heard: Heard) -> None:
        now = time.monotonic()
        self.said.append(heard.what)
        match heard.what:
            case "media":
                lasts_ms = len(heard.audio) / self.words.bytes_per_ms
                self.audio += heard.audio
                self.sent_ms += lasts_ms
                self._until = max(now, self._until) + lasts_ms / 1000
                self.most_ahead_s = max(self.most_ahead_s, self._until - now)
                self.sounding.set()
            case "mark":
                self._marks.append((max(now, self._until), heard.name))
            case "clear":
                await self._clear(now)

    async def _clear(self, now: float) -> None:
        unplayed = max(0, round((self._until - now) * 1000)) * self.words.bytes_per_ms
        del self.audio[len(self.audio) - unplayed :]
        self._until = now
        # all of them are said at once, or none
        self._marks = deque((now, name) for _, name in self._marks if self.words.echoes_cleared)
        self.cleared.set()
        if (said := self.words.cleared()) is not None:
            await self.socket.send(said)

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
            await self.socket.send(self.words.marked(name))


@asynccontextmanager
async def connected(
    url: str, call: str, token: str, late_s: Iterator[float] | None = None, words: type[Twilio] = Twilio
) -> AsyncIterator[Phone]:
    """A call that has begun; it ends as lost connections do."""
    spoken = words(call)
    address, headers = f"{url.replace('http', 'ws')}/v1/{spoken.name}/stream", spoken.headers(token)
    async with connect(address, proxy=None, compression=None, additional_headers=headers) as socket:
        phone = Phone(socket, spoken, late_s or itertools.repeat(0.0))
        await phone.start(token)
        tasks = [asyncio.create_task(run()) for run in (phone.listen, phone.echo, phone.talk)]
        try:
            yield phone
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert not [error for error in ended if isinstance(error, AssertionError)], ended
