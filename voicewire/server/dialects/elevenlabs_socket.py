"""ElevenLabs' WebSockets: `stream-input`, one utterance on a connection, and `multi-stream-input`, several by context.

Source: ElevenLabs' AsyncAPI, and what its Python package 2.78, pipecat and LiveKit send and read. `{"text": ""}` ends
the one and keeps the other alive. A context that is closed right behind a flush is spoken to its end; one that is
closed otherwise, or twice, was interrupted.
"""

from __future__ import annotations

import itertools
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from voicewire import frames
from voicewire.codecs.base import FileEncoder, open_file_encoder
from voicewire.context import Wire
from voicewire.errors import BadRequest, VoicewireError
from voicewire.server.dialects.aliases import Aliases
from voicewire.server.dialects.elevenlabs_forms import CODECS, Message, Output, VoiceSettings, wanted_output
from voicewire.server.dialects.letters import Alignment, Letters
from voicewire.server.dialects.socket import LEAD_MS, Line
from voicewire.server.parsing import parse

DEFAULT_CONTEXT = "default"
CONTEXTS_MAX = 64
NOTHING = Letters([], [], [])


@dataclass(slots=True)
class TheirContext:
    """A context as the client has it."""

    id: str
    name: str  # of ours
    encoder: FileEncoder | None  # for what no live codec makes
    alignment: Alignment = field(default_factory=Alignment)
    letters: Letters = NOTHING  # that go with the next audio
    before_ms: int = 0  # where the last alignment ended, where they are told from there
    flushed: bool = False
    closing: bool = False


class ElevenLabs:
    """One connection; `several`: with contexts by name."""

    def __init__(self, line: Line, aliases: Aliases, *, several: bool) -> None:
        query = line.query
        self._line = line
        self._aliases = aliases
        self._several = several
        self._eager = several and query.get("auto_mode") == "true"
        self._from_start = query.get("sync_alignment") == "true"
        self._theirs: dict[str, TheirContext] = {}  # by the client's name
        self._spoken: dict[str, TheirContext] = {}  # by ours
        self._channels: dict[int, TheirContext] = {}
        self._numbers = itertools.count()

    # what the client says

    def hear(self, data: str | bytes) -> None:
        message = parse(data, Message)
        if message.close_socket:
            self._line.end()
            return
        id = (message.context_id if self._several else None) or DEFAULT_CONTEXT
        if message.close_context:
            self._close(id)
            return
        if message.text == "" and not message.flush:
            if not self._several:
                self._finish()
            return
        theirs = self._theirs.get(id) or self._begin(id, message.voice_settings or VoiceSettings())
        if theirs is not None:
            self._take(theirs, message)

    def _begin(self, id: str, settings: VoiceSettings) -> TheirContext | None:
        if len(self._theirs) >= CONTEXTS_MAX:
            raise BadRequest("too_many_contexts", limit=CONTEXTS_MAX, context=id)
        try:
            theirs, opening = self._plan(id, settings)
        except BadRequest as error:
            error.fields.setdefault("context", id)
            raise
        self._theirs[id] = self._spoken[theirs.name] = theirs
        self._line.ask(opening)
        return self._theirs.get(id)  # it may have been refused

    def _plan(self, id: str, settings: VoiceSettings) -> tuple[TheirContext, frames.Open]:
        query = self._line.query
        output = wanted_output(query.get("output_format"))
        names = query.get("model_id") or "", self._line.path["voice_id"], query.get("language_code") or ""
        choice = self._aliases.resolve(self._line.catalogue(), *names)
        output.live.grant()
        name = f"u{next(self._numbers)}"
        voice = (choice.model.id, choice.voice, choice.language, settings.pace)
        lead_ms = self._line.lead_ms if self._several else LEAD_MS
        opening = frames.Open(name, *voice, format=output.live, words=True, lead_ms=lead_ms)
        return TheirContext(id, name, _encoder(output)), opening

    def _take(self, theirs: TheirContext, message: Message) -> None:
        text = message.text or ""
        if theirs.closing:
            return
        if text.strip() or (text and theirs.alignment.text):
            if self._eager and not text[-1].isspace():
                text += " "  # their clients join characters across messages
            theirs.alignment.push(text)
            theirs.flushed = False
            self._line.ask(frames.Text(theirs.name, text))
        if (message.flush or (self._eager and text.strip())) and theirs.name in self._spoken:
            theirs.flushed = theirs.flushed or bool(message.flush)
            self._line.ask(frames.Flush(theirs.name))

    def _close(self, id: str) -> None:
        theirs = self._theirs.get(id)
        if theirs is None:
            return
        if theirs.flushed and not theirs.closing:
            theirs.closing = True
            self._line.ask(frames.End(theirs.name))
            return
        self._forget(theirs)
        self._line.ask(frames.Cancel(theirs.name))
        self._line.say(self._final(theirs))

    def _finish(self) -> None:
        """The only utterance of this connection has come to its end."""
        theirs = self._theirs.get(DEFAULT_CONTEXT)
        if theirs is None:
            self._line.end()
        elif not theirs.closing:
            theirs.closing = True
            self._line.ask(frames.End(theirs.name))

    def _forget(self, theirs: TheirContext) -> None:
        self._theirs.pop(theirs.id, None)
        self._spoken.pop(theirs.name, None)

    # what our session says

    def told(self, message: frames.ServerMessage) -> Iterable[Wire]:
        match message:
            case frames.Opened(name, channel) if name in self._spoken:
                self._channels[channel] = self._spoken[name]
            case frames.Words(name, _, words) if name in self._spoken:
                theirs = self._spoken[name]
                theirs.letters = theirs.letters.then(theirs.alignment.take(words))
            case frames.Done(name, audio_ms) if name in self._spoken:
                yield from self._ended(self._spoken[name], audio_ms)
            case frames.Error():
                yield from self._failed(message)

    def _ended(self, theirs: TheirContext, audio_ms: int) -> Iterator[Wire]:
        self._forget(theirs)
        theirs.letters = theirs.letters.then(theirs.alignment.rest(audio_ms))
        tail = theirs.encoder.finish() if theirs.encoder else b""
        if tail or theirs.letters.characters:
            yield self._audio(theirs, tail)
        yield self._final(theirs)
        if not self._several:
            self._line.hang_up()

    def _failed(self, error: frames.Error) -> Iterator[Wire]:
        theirs = self._spoken.get(error.context or "")
        if theirs is not None:
            self._forget(theirs)
        yield self._problem(error.code, error.message, theirs.id if theirs else None)
        if not self._several:
            self._line.hang_up(error.code)

    def sounded(self, audio: frames.AudioFrames) -> Iterable[Wire]:
        theirs = self._channels.get(audio.channel)
        if theirs is None or theirs.name not in self._spoken:
            return
        data = b"".join(audio.packets)
        if theirs.encoder:
            data = theirs.encoder.encode(np.frombuffer(data, "<i2"))
        if data or theirs.letters.characters:
            yield self._audio(theirs, data)

    def _audio(self, theirs: TheirContext, data: bytes) -> Wire:
        letters, theirs.letters = theirs.letters, NOTHING
        alignment = None
        if letters.characters:
            origin = 0 if self._from_start else theirs.before_ms
            alignment = {
                "chars": letters.characters,
                "charStartTimesMs": [start - origin for start in letters.starts_ms],
                "charDurationsMs": [end - start for start, end in zip(letters.starts_ms, letters.ends_ms, strict=True)],
            }
            theirs.before_ms = letters.ends_ms[-1]
        fields = {"isFinal": None, "alignment": alignment, "normalizedAlignment": alignment}
        return _message(audio=b64encode(data).decode(), **fields, **self._of(theirs.id))

    def _final(self, theirs: TheirContext) -> Wire:
        return _message(audio=None, isFinal=True, alignment=None, normalizedAlignment=None, **self._of(theirs.id))

    def refused(self, error: VoicewireError) -> Iterable[Wire]:
        context = error.fields.get("context")
        yield self._problem(error.row_code, error.message, str(context) if context else None)
        if not self._several:
            self._line.hang_up(error.row_code)

    def _problem(self, code: str, message: str, context: str | None) -> Wire:
        return _message(error=code, message=message, code=code, **self._of(context))

    def _of(self, context: str | None) -> dict[str, Any]:
        return {"contextId": context} if self._several else {}


def _encoder(output: Output) -> FileEncoder | None:
    return None if output.kind in CODECS else open_file_encoder(output.kind, output.rate_hz, output.bitrate)


def _message(**fields: Any) -> Wire:
    return frames.TEXT_OPCODE, msgspec.json.encode(fields)
