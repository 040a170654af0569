"""Speech from somebody else's server: asked for on a thread with an event loop, taken without waiting.

One thread serves all utterances of a worker and keeps its connections. Between it and the worker stands a
`Delivery` for each utterance, which holds a bounded amount of audio. Closing an utterance cancels its request.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Mapping
from concurrent.futures import Future
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import httpx
import numpy as np

from voicewire.errors import RETRY_MS, Busy, EngineFailed, VoicewireError
from voicewire.types import Chunk, Pcm

T = TypeVar("T")
CODE = re.compile(r"[\w.-]{1,64}")  # what an upstream calls an error
Speech = AsyncGenerator[Chunk, None]

CONNECT_S = 5.0
ASK_S = 15.0  # for a list of voices
CLOSE_S = 2.0
KEEP_S = 60.0  # an idle connection
BUFFER_SAMPLES = 1 << 18  # 11 s at 24 kHz: what may wait for the worker
SLOWEST = 0.1  # seconds of audio in a second: what is slower for longer than the timeout may as well be silent
AUDIO_S_MAX = 600  # of one utterance: an upstream that does not end is broken
BODY_BYTES_MAX = 1 << 20  # of an answer that is not audio
KEY_STATUSES = frozenset({401, 403})
BUSY_STATUSES = frozenset({429, 503, 529})
RETRY_MS_MAX = 60_000
NOTHING = Chunk(np.zeros(0, np.int16))


class Answer(NamedTuple):
    """What an upstream says other than audio: `content` is parsed JSON, None where it is none."""

    status: int
    headers: Mapping[str, str]
    content: Any


class Bell:
    """A descriptor that is readable as long as somebody rings; for any thread."""

    def __init__(self) -> None:
        self._hearing, self._ringing = os.pipe()
        self._lock = threading.Lock()
        self._count = 0

    def fileno(self) -> int:
        return self._hearing

    def ring(self) -> None:
        """One more rings."""
        with self._lock:
            if not self._count:
                os.write(self._ringing, b"\0")
            self._count += 1

    def hush(self) -> None:
        """One less rings."""
        with self._lock:
            self._count -= 1
            if not self._count:
                os.read(self._hearing, 1)

    def close(self) -> None:
        os.close(self._hearing)
        os.close(self._ringing)


class Delivery:
    """What has come of one utterance: put on the loop's thread, taken on the worker's."""

    def __init__(self, bell: Bell, loop: asyncio.AbstractEventLoop) -> None:
        self._bell = bell
        self._loop = loop
        self._lock = threading.Lock()
        self._room = asyncio.Event()
        self._chunks: list[Chunk] = []
        self._samples = 0  # in them
        self._done: Future[None] | None = None
        self._rings = self._closed = False

    async def put(self, chunk: Chunk) -> None:
        """Add audio; waits while too much of it has not been taken."""
        with self._lock:
            self._chunks.append(chunk)
            self._samples += len(chunk.pcm)
            self._tell()
        while self._samples >= BUFFER_SAMPLES:
            self._room.clear()
            await self._room.wait()

    def end(self, done: Future[None]) -> None:
        """Nothing more comes; `done` has what went wrong."""
        with self._lock:
            self._done = done
            self._tell()

    def take(self) -> Chunk | None:
        """All that has come since the last call, `NOTHING`, or None at the end; raises what went wrong."""
        with self._lock:
            chunks, self._chunks = self._chunks, []
            full, self._samples = self._samples >= BUFFER_SAMPLES, 0
            self._tell()
            done = self._done
        if full:
            self._loop.call_soon_threadsafe(self._room.set)
        if chunks:
            return _joined(chunks)
        if done:
            done.result()
            return None
        return NOTHING

    def close(self) -> None:
        """Nobody takes any more."""
        with self._lock:
            self._closed = True
            self._tell()

    def _tell(self) -> None:
        rings = bool(self._chunks or self._done) and not self._closed
        if rings != self._rings:
            self._rings = rings
            (self._bell.ring if rings else self._bell.hush)()


def _joined(chunks: list[Chunk]) -> Chunk:
    if len(chunks) == 1:
        return chunks[0]
    return Chunk(
        np.concatenate([chunk.pcm for chunk in chunks]), tuple(word for chunk in chunks for word in chunk.words)
    )


class Upstream:
    """The way to a server at `url`: its client, connections kept, and the thread on which they are used.

    An utterance from which nothing is heard for `timeout_s` fails, and one that is slower than `SLOWEST` for longer.
    """

    def __init__(self, url: str, headers: Mapping[str, str], *, lanes: int, rate_hz: int, timeout_s: float) -> None:
        self.lanes = lanes
        self.rate_hz = rate_hz
        self._timeout_s = timeout_s
        self._open = 0
        self._closed = False
        self._bell = Bell()
        self._loop = asyncio.new_event_loop()
        self._client = _client(url, headers, lanes)
        self._thread = threading.Thread(target=self._loop.run_forever, name="upstream", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Readable as long as an open utterance has something."""
        return self._bell.fileno()

    def stream(self, speech: Callable[[], Speech]) -> Generator[Chunk, None, None]:
        """Yield what `speech` yields, and `NOTHING` where there is none yet; raises `Busy` beyond `lanes`."""
        if self._open >= self.lanes:
            raise Busy
        self._open += 1
        delivery = Delivery(self._bell, self._loop)
        done = asyncio.run_coroutine_threadsafe(self._deliver(delivery, speech()), self._loop)
        done.add_done_callback(delivery.end)
        try:
            while (chunk := delivery.take()) is not None:
                yield chunk
        finally:
            self._open -= 1
            if not self._closed:
                delivery.close()
                done.cancel()

    def ask(self, question: Coroutine[Any, Any, T]) -> T:
        """Wait for an answer, on the worker's thread: before there is anything else to do. Raises `EngineFailed`."""

        async def translated() -> T:
            async with _translating(), asyncio.timeout(ASK_S):
                return await question

        return asyncio.run_coroutine_threadsafe(translated(), self._loop).result()

    @asynccontextmanager
    async def post(
        self, path: str, body: object, params: Mapping[str, str] | None = None
    ) -> AsyncIterator[httpx.Response]:
        """Send `body` as JSON; the response is open inside, and its request ends with it."""
        request = self._client.build_request("POST", path, json=body, params=params)
        response = await self._send(request)
        try:
            yield response
        finally:
            await response.aclose()

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """Return what stands at `path`."""
        response = await self._send(self._client.build_request("GET", path, params=params))
        try:
            return await answer(response)
        finally:
            await response.aclose()

    def close(self) -> None:
        """Cancel what is open and end the thread."""
        self._closed = True
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(CLOSE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_S)
        self._loop.close()
        self._bell.close()

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._client.send(request, stream=True)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            # a kept connection that the other end closed at this moment: nothing was answered, so nothing was made
            return await self._client.send(request, stream=True)

    async def _deliver(self, delivery: Delivery, speech: Speech) -> None:
        left = most = AUDIO_S_MAX * self.rate_hz
        async with _translating(), asyncio.timeout(self._timeout_s) as limit, aclosing(speech):
            async for chunk in speech:
                if not len(chunk.pcm):
                    continue
                patience_s = self._timeout_s if left == most else self._patience_s(limit, chunk)
                limit.reschedule(None)
                await delivery.put(chunk)
                left -= len(chunk.pcm)
                if left < 0:
                    raise EngineFailed(problem=f"the upstream speaks for more than {AUDIO_S_MAX} s")
                limit.reschedule(self._loop.time() + patience_s)
        if left == most:
            raise EngineFailed(problem="the upstream answers with no audio")

    def _patience_s(self, limit: asyncio.Timeout, chunk: Chunk) -> float:
        """How long the next audio may take: what was left of the wait for this, and more the more came."""
        left_s = (limit.when() or 0.0) - self._loop.time()
        return min(self._timeout_s, left_s + len(chunk.pcm) / self.rate_hz / SLOWEST)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)
        await self._client.aclose()


def _client(url: str, headers: Mapping[str, str], lanes: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url,
        headers={**headers, "Accept-Encoding": "identity"},
        verify=_trust() if url.startswith("https:") else False,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(None, connect=CONNECT_S),
        # twice the lanes: a connection that is being closed still counts
        limits=httpx.Limits(max_connections=2 * lanes, max_keepalive_connections=lanes, keepalive_expiry=KEEP_S),
    )


def _trust() -> ssl.SSLContext:
    trust = httpx.create_ssl_context(trust_env=False)
    trust.load_default_certs()  # also what the operator's system trusts: a server of one's own may have a CA of its own
    return trust


@asynccontextmanager
async def _translating() -> AsyncIterator[None]:
    """Raise `EngineFailed` for what happens on the way; what an exception says may hold text, and stays here."""
    try:
        yield
    except TimeoutError as error:
        raise EngineFailed(problem="the upstream does not answer in time") from error
    except (httpx.HTTPError, httpx.StreamError, OSError) as error:
        raise EngineFailed(problem=f"the upstream cannot be reached: {type(error).__name__}") from error


async def answer(response: httpx.Response) -> Answer:
    """Read an answer that is not audio, or less of it than there is where that is too much."""
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise EngineFailed(problem=f"the upstream answers with more than {BODY_BYTES_MAX} bytes")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    return Answer(response.status_code, response.headers, content)


async def lines(response: httpx.Response, bytes_max: int) -> AsyncIterator[bytes]:
    """Yield an answer's lines as they come, without their ends; raises `EngineFailed` for one that is too long."""
    waiting = b""
    async for data in response.aiter_raw():
        *whole, waiting = (waiting + data).split(b"\n")
        if len(waiting) > bytes_max:
            raise EngineFailed(problem=f"the upstream sends a line of more than {bytes_max} bytes")
        for line in whole:
            yield line
    if waiting:
        yield waiting


def parsed(line: bytes) -> Any:
    """Return the JSON of a line; raises `EngineFailed` where it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EngineFailed(problem="the upstream sends a line that is not JSON") from error


def refusal(status: int, headers: Mapping[str, str], code: str = "") -> VoicewireError:
    """Return the error for an answer of `status`; `code` is the upstream's own word for it, never its prose.

    That a key is wrong or a balance empty is the operator's business: the caller's credential is another.
    """
    problem = f"the upstream answers HTTP {status} {code if CODE.fullmatch(code) else ''}".strip()
    if status in BUSY_STATUSES:
        return Busy(retry_after_ms=_retry_after_ms(headers), problem=problem)
    return EngineFailed(problem=f"{problem}: it refuses the key" if status in KEY_STATUSES else problem)


def _retry_after_ms(headers: Mapping[str, str]) -> int:
    for name, unit_ms in (("retry-after-ms", 1), ("retry-after", 1_000)):
        given = headers.get(name, "")
        if given.isascii() and given.isdigit() and len(given) < len(str(RETRY_MS_MAX)) + 1:
            return min(int(given) * unit_ms, RETRY_MS_MAX)
    return RETRY_MS


class Samples:
    """Bytes of 16-bit little-endian samples, cut anywhere, to samples."""

    def __init__(self) -> None:
        self._rest = b""

    def push(self, data: bytes) -> Pcm:
        """The samples that are complete."""
        data = self._rest + data
        whole = len(data) & ~1
        self._rest = data[whole:]
        return np.frombuffer(data[:whole], "<i2").astype(np.int16, copy=False)
