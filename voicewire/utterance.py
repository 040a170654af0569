"""One utterance of a client of the live wire: what is said of it, and what comes of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Protocol, Self

from voicewire import frames
from voicewire.frames import BlockStart, Call, Cancelled, ClientMessage, Done, Opened, Phonemes, Words
from voicewire.script import Audio, Script, Tape

Event = Opened | BlockStart | Words | Phonemes | Audio | Call | Done | Cancelled

CALL = "call:"

EVENTS_MAX = 4_096  # waiting for one consumer: more than the audio that a server may be ahead
PIECE_CHARS = 8_000  # of one text message: 64 KiB hold them whatever they are


class Line(Protocol):
    """What an utterance needs of the client that carries it."""

    def register(self, speech: Speech) -> None: ...

    def forget(self, speech: Speech) -> None: ...

    async def push(self, speech: Speech) -> None: ...

    async def send(self, message: ClientMessage) -> None: ...


class Speech:
    """One utterance, as an asynchronous iterator of events that ends with `Done` or `Cancelled`.

    It raises `ServerError` when the server gives it up and `Unreachable` when the connection cannot be mended.
    To leave its `async with` early cancels it.
    """

    def __init__(self, client: Line, opening: frames.Open, rest: AsyncIterator[str] | None) -> None:
        self.context = opening.context
        self.call = opening.to.removeprefix(CALL)  # that it is spoken into, or ""
        self.script = Script(opening)
        self.tape = Tape()
        self.opened: Opened | None = None
        self.over = False
        self._cancelled = False
        self.text = opening.text if isinstance(opening, frames.Speak) else ""
        self._client = client
        self._rest = rest
        self._events: asyncio.Queue[Event | Exception] = asyncio.Queue(EVENTS_MAX)
        self._pump: asyncio.Task[None] | None = None
        self._position: frames.Playhead | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Begin, as to enter it does."""
        self._client.register(self)
        try:
            await self._client.push(self)
        except BaseException:  # such as UnicodeEncodeError, for a text that no message can carry
            self._client.forget(self)
            raise
        if self._rest is not None:
            self._pump = asyncio.create_task(self._send_text(self._rest))

    async def close(self) -> None:
        """Leave it, as to leave its `async with` does: what is not over is cancelled."""
        if self._pump:
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump
        if not self.over:
            await self.cancel()
        self._client.forget(self)
        while not self._events.empty():  # so that the receiver, should it wait for room, goes on
            self._events.get_nowait()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self.over and self._events.empty():
            raise StopAsyncIteration
        event = await self._events.get()
        if isinstance(event, Exception):
            self.over = True
            raise event
        return event

    def text_of(self, span: Sequence[int]) -> str:
        """Return what a span [a, b, …] of the text says: of a word, of a block, of what was heard or unheard."""
        return self.text[span[0] : span[1]]

    async def write(self, text: str) -> None:
        """Say more; as little as a token. Raises `TypeError` for what is no string."""
        if not isinstance(text, str):
            raise TypeError(f"a piece of text is a string, not {type(text).__name__}")
        for piece in _pieces(text):
            self.text += piece
            await self._say(frames.Text(self.context, piece))

    async def flush(self) -> None:
        """Have what is there spoken, whether or not a sentence ends."""
        await self._say(frames.Flush(self.context))

    async def end(self) -> None:
        """There is no more text."""
        await self._say(frames.End(self.context))

    async def cancel(self, played_ms: float | None = None) -> None:
        """Stop, once; the events end with a `Cancelled` that says what was heard by `played_ms`."""
        if self._pump:
            self._pump.cancel()
        if not self._cancelled:
            self._cancelled = True
            await self._say(frames.Cancel(self.context, played_ms))

    async def playhead(self, played_ms: float, *, paused: bool = False) -> None:
        """Tell the server where the listener is; it stays a little ahead of that."""
        self._position = frames.Playhead(self.context, played_ms, paused)
        if not self.over:
            await self._client.send(self._position)

    async def deliver(self, event: Event | Exception) -> None:
        """Hand on what the connection received; the end of an utterance is its last event."""
        if isinstance(event, Opened):
            self.opened = event
        await self._events.put(event)
        self.over = self.over or isinstance(event, Done | Cancelled | Exception)

    async def go_on(self) -> None:
        """Say over a new connection what did not arrive over the last."""
        await self._client.push(self)
        if self._position:
            await self._client.send(self._position)

    async def _send_text(self, texts: AsyncIterator[str]) -> None:
        try:
            async for text in texts:
                if self.over:
                    return
                await self.write(text)
        except Exception as error:  # noqa: BLE001 - the caller's own iterator: whatever it raises is theirs
            await self._say(frames.Cancel(self.context, None))
            await self.deliver(error)
            return
        await self.end()

    async def _say(self, message: ClientMessage) -> None:
        if not self.over:
            self.script.say(message)
            await self._client.push(self)


def _pieces(text: str) -> Iterable[str]:
    return (text[at : at + PIECE_CHARS] for at in range(0, len(text), PIECE_CHARS))
