"""The Wyoming protocol over TCP, for Home Assistant: what can be spoken, one text, or a text while it is written.

It has no keys: whoever reaches the port speaks for this server's own tenant, so it is bound where a person says.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from voicewire import __version__, frames
from voicewire.auth.authenticate import local_principal
from voicewire.auth.principal import HOME_TENANT, Principal
from voicewire.catalogue import Catalogue
from voicewire.context import Wire
from voicewire.errors import BadRequest, VoicewireError
from voicewire.server.dialects.aliases import Aliases
from voicewire.server.dialects.socket import LEAD_MS
from voicewire.server.dialects.wyoming_events import Event, read, serialize
from voicewire.server.limits import Limiter
from voicewire.server.live.live import Live
from voicewire.server.live.sessions import Sessions
from voicewire.server.live.wire import PAUSE_BYTES
from voicewire.types import Codec, Model, Voice

WIDTH = 2  # bytes of a sample
CONNECTIONS_MAX = 256
IDLE_S = 300.0
HOMEPAGE = {"name": "voicewire", "url": ""}


@dataclass(frozen=True, slots=True)
class Wyoming:
    """The server. `catalogue` is asked for a tenant."""

    sessions: Sessions
    limiter: Limiter
    catalogue: Callable[[str], Catalogue]
    aliases: Aliases
    _open: set[asyncio.Task[Any]] = field(default_factory=set)

    @contextlib.asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[asyncio.Server]:
        """Serve on an address until the end of the block."""
        server = await asyncio.start_server(self._serve, host, port)
        try:
            yield server
        finally:
            server.close()
            for task in self._open:
                task.cancel()
            if self._open:
                await asyncio.wait(self._open)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if len(self._open) <= CONNECTIONS_MAX:
                await self._converse(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the client, or the server, is gone
        finally:
            self._open.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = _Talk(self, writer)
        try:
            while (event := await asyncio.wait_for(read(reader), IDLE_S)) is not None:
                await talk.hear(event)
        except VoicewireError as error:
            talk.say(Event("error", {"text": error.message, "code": error.row_code}))
        except TimeoutError:
            pass
        finally:
            await talk.leave()

    async def principal(self) -> Principal:
        return local_principal(await self.limiter.limits_of(HOME_TENANT))


class _Talk:
    """One connection, and its utterance."""

    def __init__(self, server: Wyoming, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._writer = writer
        self._live: Live | None = None
        self._name = ""  # of our context that is being spoken
        self._number = 0
        self._streamed = False  # whether the text comes in chunks
        self._voice: dict[str, Any] = {}
        self._format: dict[str, int] = {}
        self._begun = False  # whether audio was announced
        self._parser = frames.Parser()

    # what the client says

    async def hear(self, event: Event) -> None:
        match event.type:
            case "describe":
                self.say(self._info())
            case "ping":
                self.say(Event("pong", event.data))
            case "synthesize-start":
                self._streamed, self._voice = True, _voice_of(event)
                self._name = ""
            case "synthesize-chunk" if self._streamed:
                await self._text(_text_of(event))
            case "synthesize-stop" if self._streamed:
                await self._end()
            case "synthesize" if not self._streamed:
                self._voice = _voice_of(event)
                await self._text(_text_of(event))
                await self._end()

    async def _text(self, text: str) -> None:
        if not self._name:
            if not text.strip():
                return
            await self._open()
        self._ask(frames.Text(self._name, text))

    async def _end(self) -> None:
        if self._name:
            self._ask(frames.End(self._name))
        else:
            self._stopped()

    async def _open(self) -> None:
        if self._live is None:
            self._live = await self._server.sessions.begin(self, await self._server.principal(), self._translate)
        catalogue = self._server.catalogue(HOME_TENANT)
        wanted = (str(self._voice.get(name) or "") for name in ("name", "language"))
        choice = self._server.aliases.resolve(catalogue, "", *wanted)
        rate_hz = choice.model.rate_hz
        self._format = _format(rate_hz)
        self._number += 1
        self._name, self._begun = f"u{self._number}", False
        format = frames.FormatRequest(Codec.PCM_S16LE, rate_hz)
        voice = (choice.model.id, choice.voice, choice.language)
        self._ask(frames.Open(self._name, *voice, format=format, words=False, lead_ms=LEAD_MS))

    def _ask(self, message: frames.ClientMessage) -> None:
        assert self._live is not None
        self._live.take(message)

    # what our session says

    def _translate(self, wire: Wire) -> Iterator[Wire]:
        opcode, payload = wire
        if opcode == frames.BINARY_OPCODE:
            self._sound(b"".join(frames.unpack_audio(payload).packets))
        else:
            self._told(self._parser.server(payload))
        return iter(())

    def _sound(self, pcm: bytes) -> None:
        self._begin_audio()
        self.say(Event("audio-chunk", {**self._format, "timestamp": None}, pcm))

    def _begin_audio(self) -> None:
        if not self._begun:
            self._begun = True
            self.say(Event("audio-start", {**self._format, "timestamp": None}))

    def _told(self, message: frames.ServerMessage) -> None:
        if isinstance(message, frames.Done) and message.context == self._name:
            self._begin_audio()
            self._stopped()
        elif isinstance(message, frames.Error):
            self.say(Event("error", {"text": message.message, "code": message.code}))
            self._writer.close()  # Home Assistant takes no notice of an error

    def _stopped(self) -> None:
        if not (self._begun or self._streamed):
            self._format = _format(self._server.catalogue(HOME_TENANT).model("").rate_hz)
            self._begin_audio()  # Home Assistant waits for the end of audio also where there is none
        if self._begun:
            self.say(Event("audio-stop", {"timestamp": None}))
        if self._streamed:
            self.say(Event("synthesize-stopped"))
        self._name, self._streamed, self._begun = "", False, False

    def say(self, event: Event) -> None:
        if not self._writer.is_closing():
            self._writer.write(serialize(event))

    async def leave(self) -> None:
        """The client is gone: what it did not hear is not made."""
        if self._live is not None:
            self._server.sessions.remove(self._live)
            await self._live.leave(resumable=False)

    # the connection, as a session sees it

    @property
    def stuck(self) -> bool:
        return self.buffered_bytes > PAUSE_BYTES

    @property
    def buffered_bytes(self) -> int:
        return self._writer.transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Nothing comes here: `_translate` has said it."""

    def finish(self, code: int, reason: str) -> None:  # noqa: ARG002 - as a socket has it
        self._writer.close()

    def _info(self) -> Event:
        catalogue = self._server.catalogue(HOME_TENANT)
        programs = [_program(model, catalogue.voices(model.id)) for model in catalogue.models()]
        return Event("info", {"tts": programs})


def _program(model: Model, voices: list[Voice]) -> dict[str, Any]:
    fields = {"name": model.id, "description": model.name, "version": __version__}
    return {
        **fields,
        "attribution": HOMEPAGE,
        "installed": True,
        "supports_synthesize_streaming": True,
        "voices": [
            {
                "name": voice.id,
                "description": voice.name,
                "attribution": HOMEPAGE,
                "installed": True,
                "version": None,
                "languages": [voice.language or "en"],
                "speakers": None,
            }
            for voice in voices
        ],
    }


def _format(rate_hz: int) -> dict[str, int]:
    return {"rate": rate_hz, "width": WIDTH, "channels": 1}


def _voice_of(event: Event) -> dict[str, Any]:
    voice = event.data.get("voice")
    return voice if isinstance(voice, dict) else {}


def _text_of(event: Event) -> str:
    text = event.data.get("text", "")
    if not isinstance(text, str):
        raise BadRequest(problem="text is no string")
    return text
