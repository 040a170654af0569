"""A client of the live wire: text in, audio and words out, over one connection that mends itself.

async with connect("http://127.0.0.1:8080", key) as client, client.speak("Hello.", voice="…") as speech:
    async for event in speech: ...

`speak` takes a text, or its pieces as they come; `open` begins an utterance to `write`, `flush` and `end`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Literal

from msgspec import UNSET
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from voicewire import frames
from voicewire.dial import OPEN_S, ServerError, Unreachable, closing_error, dial, stream_url
from voicewire.errors import TABLE, BadRequest
from voicewire.frames import BlockStart, Cancelled, ClientMessage, Done, Opened, Phonemes, Ready, ServerMessage, Words
from voicewire.utterance import PIECE_CHARS, Event, Speech

RETRY_DELAYS_S = (0.0, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
GIVE_UP_S = 32.0

Status = Literal["open", "reconnecting", "closed"]
"""What becomes of a connection: there, broken and being mended, or ended for good."""


class StreamClient:
    """One session with a server. Made by `connect`."""

    def __init__(
        self,
        url: str,
        key: str,
        retry_delays_s: Iterable[float],
        give_up_s: float = GIVE_UP_S,
        on_status: Callable[[Status], None] | None = None,
    ) -> None:
        self._url = stream_url(url)
        self._key = key
        self._delays_s = tuple(retry_delays_s)
        self._parser = frames.Parser()
        self._names = itertools.count(1)
        self._speeches: dict[str, Speech] = {}
        self._channels: dict[int, Speech] = {}
        self._sending = asyncio.Lock()
        self._socket: ClientConnection | None = None
        self._fault: frames.Error | None = None
        self._ended: Exception | None = None
        self._attempts = 0
        self._patience_s = self._give_up_s = give_up_s
        self._on_status = on_status or (lambda _: None)
        self._wanted = asyncio.Event()  # somebody has something to say
        self.ready: Ready | None = None

    @property
    def ended(self) -> bool:
        """Whether the connection cannot be mended any more: nothing can be spoken over it."""
        return self._ended is not None

    def speak(self, text: str | AsyncIterator[str], **options: Any) -> Speech:
        """Return an utterance to be entered; `options` are the fields of `open`: voice, model, speed, format, ….

        A text that comes in pieces is spoken as it comes. Raises `TypeError` for an option that does not exist, and
        for what is no text.
        """
        if not isinstance(text, str | AsyncIterable):
            raise TypeError(f"a text is a string, or an asynchronous iterator of strings, not {type(text).__name__}")
        if isinstance(text, str) and len(text) <= PIECE_CHARS:
            return Speech(self, frames.Speak(self._name(), text=text, **options), None)
        return Speech(self, frames.Open(self._name(), **options), _once(text) if isinstance(text, str) else text)

    def open(self, **options: Any) -> Speech:
        """Return an utterance to be entered, whose text is written piece by piece; `options` as for `speak`."""
        return Speech(self, frames.Open(self._name(), **options), None)

    def register(self, speech: Speech) -> None:
        """Let `speech` have what comes for it. Raises what ended the connection, if something did."""
        if self._ended:
            raise self._ended
        self._speeches[speech.context] = speech
        self._wanted.set()

    def forget(self, speech: Speech) -> None:
        """Drop what still comes for `speech`."""
        self._speeches.pop(speech.context, None)
        self._unplug(speech)

    def _unplug(self, speech: Speech) -> None:
        if speech.opened and not speech.call:  # the channel of a call's is no channel of ours
            self._channels.pop(speech.opened.channel, None)

    async def push(self, speech: Speech) -> None:
        """Send what `speech` has to say; while the connection is broken it waits in the script."""
        async with self._sending:
            while self._socket and (message := speech.script.pending()):
                await self.send(message)

    async def send(self, message: ClientMessage) -> None:
        """Send one message; what is lost with the connection is said again, or was worth nothing by then."""
        if self._socket:
            with contextlib.suppress(ConnectionClosed):
                await self._socket.send(frames.serialize(message), text=True)

    async def begin(self) -> None:
        """Connect, and wait until the server is ready. Raises `Unreachable` or `ServerError`."""
        self._socket = await self._dialled()
        self._on_status("open")

    async def _dialled(self) -> ClientConnection:
        socket = await dial(self._url, self._key)
        try:
            self.ready = await self._until_ready(socket)
        except BaseException:
            socket.transport.abort()  # whoever does not get ready need not agree to the end
            raise
        return socket

    async def run(self) -> None:
        """Receive until the connection ends for good, mending it when it breaks; every utterance learns why."""
        try:
            while True:
                await self._receive()
                if not self._living():  # idle, say; whoever speaks next begins a session
                    self._wanted.clear()
                    await self._wanted.wait()
                    self.ready = None
                await self._mend()
        except BadRequest as error:
            await self._end(ServerError(error.row_code, f"the server does not keep to the protocol: {error}"))
        except Exception as error:  # noqa: BLE001 - whoever waits for an event gets it, or the next to speak
            await self._end(error)

    async def _end(self, error: Exception) -> None:
        self._ended = error
        try:
            self._on_status("closed")
        finally:
            for speech in self._living():
                await speech.deliver(error)

    async def close(self) -> None:
        """Say goodbye."""
        if self._socket:
            await self._socket.close()

    async def _until_ready(self, socket: ClientConnection) -> Ready:
        try:
            async with asyncio.timeout(OPEN_S):
                while True:
                    message = self._parse(await socket.recv())
                    if isinstance(message, Ready):
                        return message
                    if isinstance(message, frames.Error):
                        raise ServerError(message.code, message.message, retryable=message.retryable)
        except (ConnectionClosed, TimeoutError) as error:
            raise Unreachable(f"the server at {self._url} did not become ready") from error

    async def _receive(self) -> None:
        assert self._socket
        try:
            async for data in self._socket:
                if isinstance(data, bytes):
                    await self._audio(frames.unpack_audio(data))
                else:
                    await self._message(self._parse(data))
        except ConnectionClosed:
            pass
        code = self._socket.close_code or 1006
        self._socket = None
        if (error := closing_error(code, self._fault)) is not None:
            raise error

    def _parse(self, data: str | bytes) -> ServerMessage:
        return self._parser.server(data)

    async def _audio(self, audio: frames.AudioFrames) -> None:
        self._attempts, self._patience_s = 0, self._give_up_s  # it goes on: the next break gets all of them again
        if speech := self._channels.get(audio.channel):
            await speech.deliver(speech.tape.audio(audio))

    async def _message(self, message: ServerMessage) -> None:
        if isinstance(message, frames.Call):
            await self._happened(message)
            return
        context = getattr(message, "context", None)
        speech = self._speeches.get(context) if isinstance(context, str) else None
        match message:
            case frames.Error() if not isinstance(context, str):
                self._fault = message
            case _ if speech is None or speech.over:
                pass  # of an utterance that we gave up
            case frames.Error():
                await speech.deliver(ServerError(message.code, message.message, retryable=message.retryable))
            case BlockStart() | Words() | Phonemes():
                await _deliver(speech, speech.tape.news(message))
            case Opened():
                if not speech.call:
                    self._channels[message.channel] = speech
                await _deliver(speech, None if speech.opened else message)  # it comes again after a break
            case Done() | Cancelled():
                self._unplug(speech)
                await speech.deliver(message)

    async def _happened(self, event: frames.Call) -> None:
        """Tell the utterance that was heard, or all that are spoken into a call of a key, or of its end."""
        for speech in self._living():
            if speech.call == event.call and event.context in (UNSET, speech.context):
                await speech.deliver(event)

    async def _mend(self) -> None:
        self._on_status("reconnecting")
        began_s = time.monotonic()
        socket = await self._connected_again()
        self._patience_s -= time.monotonic() - began_s
        await self._go_on(socket)
        self._on_status("open")

    async def _connected_again(self) -> ClientConnection:
        """Try until there is a session, or no patience left. Raises what the last try did."""
        lost: Exception = Unreachable(f"the connection to {self._url} was lost")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                while self._attempts < len(self._delays_s):
                    await asyncio.sleep(self._delays_s[self._attempts])
                    self._attempts += 1
                    try:
                        return await self._again()
                    except Unreachable as error:
                        lost = error
                    except ServerError as error:
                        if not error.retryable:
                            raise
                        lost = error
        raise lost

    def _name(self) -> str:
        return f"c{next(self._names)}"

    def _living(self) -> list[Speech]:
        return [speech for speech in self._speeches.values() if not speech.over]

    async def _again(self) -> ClientConnection:
        """Resume the session, or begin another."""
        socket = await self._resume(self.ready) if self.ready else None
        if socket is None:
            self.ready = None
            socket = await self._dialled()
        return socket

    async def _go_on(self, socket: ClientConnection) -> None:
        """Say what did not arrive; what had begun and cannot be continued ends with `resume_gone`."""
        assert self.ready
        known = (self.ready.contexts or {}) if self.ready.resumed else {}
        living = self._living()
        gone = [speech for speech in living if speech.context not in known and speech.opened]
        for speech in living:
            accepted = known.get(speech.context)
            speech.script.rewind(accepted.accepted if accepted else None)
        self._socket = socket  # from here on all may push: nothing is rewound any more
        for speech in living:
            await (speech.deliver(_gone()) if speech in gone else speech.go_on())

    async def _resume(self, before: Ready) -> ClientConnection | None:
        socket = await dial(self._url, "")  # the token is the proof; with a key a server would open a new session
        try:
            self.ready = await self._ask_to_resume(socket, before)
        except BaseException as error:
            socket.transport.abort()
            if isinstance(error, ServerError) and error.code == "resume_gone":
                return None
            raise
        return socket

    async def _ask_to_resume(self, socket: ClientConnection, before: Ready) -> Ready:
        received = {speech.context: frames.Received(speech.tape.seq) for speech in self._living()}
        request = frames.Resume(before.session, before.resume_token, received)
        try:
            await socket.send(frames.serialize(request), text=True)
        except ConnectionClosed as error:
            raise Unreachable(f"the connection to {self._url} was lost again") from error
        ready = await self._until_ready(socket)
        if not ready.resumed:
            raise _gone()
        return ready


@asynccontextmanager
async def connect(
    url: str,
    key: str,
    retry_delays_s: Iterable[float] = RETRY_DELAYS_S,
    give_up_s: float = GIVE_UP_S,
    on_status: Callable[[Status], None] | None = None,
) -> AsyncIterator[StreamClient]:
    """Open a session with the server at `url` (http, https, ws or wss).

    A break is mended as often as there are `retry_delays_s`, and given up after `give_up_s` without a connection;
    `on_status` hears of it at once. Raises `Unreachable` when nobody is there and `ServerError` when the key or the
    server's state forbids it.
    """
    client = StreamClient(url, key, retry_delays_s, give_up_s, on_status)
    await client.begin()
    receiver = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        receiver.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await receiver
        finally:
            await client.close()


def _gone() -> ServerError:
    return ServerError("resume_gone", TABLE["resume_gone"].message)


async def _deliver(speech: Speech, event: Event | None) -> None:
    if event is not None:
        await speech.deliver(event)


async def _once(text: str) -> AsyncIterator[str]:
    yield text
