"""Cartesia's WebSocket, `/tts/websocket`: contexts that are continued, flushed and cancelled, with times.

Source: Cartesia's API reference of version 2026-08-14, and what its Python package 4.2, pipecat and LiveKit send. A
context is a chain of utterances of ours, one for each `flush`: theirs says when what was flushed has been sent.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from base64 import b64encode
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from voicewire import frames
from voicewire.catalogue import Choice
from voicewire.context import Wire
from voicewire.errors import TABLE, BadRequest, VoicewireError
from voicewire.server.dialects.ahead import Ahead
from voicewire.server.dialects.aliases import Aliases
from voicewire.server.dialects.cartesia_forms import (
    COMPLETE,
    PARTIAL,
    Asked,
    late_marks,
    phoneme_times,
    wanted_format,
    word_times,
)
from voicewire.server.dialects.socket import Line
from voicewire.server.dialects.spelling import Spelling
from voicewire.server.parsing import parse

BUFFER_MS = 3_000  # how long their server waits for more, unless a message says otherwise
CONTEXTS_MAX = 64
PARTS_MAX = 64  # of a context, that wait behind the one that is spoken
FAILED_MAX = 64  # that are remembered; then the oldest is forgotten


@dataclass(slots=True)
class Part:
    """What stands between two flushes. `name` is that of our utterance, "" before it was opened."""

    name: str = ""
    text: list[str] = field(default_factory=list)
    flushed: bool = False
    ended: bool = False
    chars: int = 0  # of all of its text
    spelling: Spelling = field(default_factory=Spelling)


@dataclass(slots=True)
class TheirContext:
    """A context as the client has it: the first of `parts` is being spoken."""

    id: str
    choice: Choice
    format: frames.FormatRequest
    speed: float
    timed: bool
    pronounced: bool  # phonemes are timed
    ahead: Ahead
    parts: deque[Part] = field(default_factory=lambda: deque([Part()]))
    flushes: int = 0
    before_ms: int = 0  # of audio, of the parts that are done
    timer: asyncio.TimerHandle | None = None

    def stop_timer(self) -> None:
        if self.timer:
            self.timer.cancel()


class Cartesia:
    """One connection."""

    def __init__(self, line: Line, aliases: Aliases) -> None:
        self._line = line
        self._aliases = aliases
        self._theirs: dict[str, TheirContext] = {}  # by the client's name
        self._spoken: dict[str, TheirContext] = {}  # by ours
        self._channels: dict[int, TheirContext] = {}
        self._failed: deque[str] = deque(maxlen=FAILED_MAX)  # and not ended by the client, who may not know it yet
        self._numbers = itertools.count()

    # what the client says

    def hear(self, data: str | bytes) -> None:
        request = parse(data, Asked)
        id = request.context_id or ""
        if request.cancel:
            self._cancel(id)
        elif id in self._failed:
            self._swallow(id, request)
        else:
            self._take(self._theirs.get(id) or self._begin(request), request)

    def _swallow(self, id: str, request: Asked) -> None:
        """Their package hands on what follows an error to the next context, which would end by it."""
        if not request.continue_:
            self._failed.remove(id)

    def _begin(self, request: Asked) -> TheirContext:
        id = request.context_id or f"context-{next(self._numbers)}"
        try:
            theirs = self._theirs[id] = self._opened(id, request)
        except BadRequest as error:
            error.fields.setdefault("context", id)
            if request.context_id and request.continue_:
                self._failed.append(id)
            raise
        return theirs

    def _opened(self, id: str, request: Asked) -> TheirContext:
        if len(self._theirs) >= CONTEXTS_MAX:
            raise BadRequest("too_many_contexts", limit=CONTEXTS_MAX)
        choice = self._aliases.resolve(
            self._line.catalogue(), request.model_id or "", request.voice_id, request.language or ""
        )
        format, timed = wanted_format(request.output_format), bool(request.add_timestamps)
        pronounced = bool(request.add_phoneme_timestamps)
        return TheirContext(id, choice, format, request.pace, timed, pronounced, Ahead(self._line.lead_ms))

    def _take(self, theirs: TheirContext, request: Asked) -> None:
        text = request.transcript or ""
        try:
            part = self._part_for(theirs, text)
        except BadRequest as error:
            self._cancel(theirs.id)
            error.fields["context"] = theirs.id
            if request.continue_:
                self._failed.append(theirs.id)
            raise
        part.spelling.push(text)
        part.text.append(text)
        part.chars += len(text)
        part.flushed = bool(request.flush)
        part.ended = not request.continue_
        part.spelling.ended = part.flushed or part.ended
        self._speak(theirs)
        self._wait(theirs, BUFFER_MS if request.max_buffer_delay_ms is None else request.max_buffer_delay_ms)

    def _part_for(self, theirs: TheirContext, text: str) -> Part:
        part = theirs.parts[-1]
        if part.flushed or part.ended:
            if len(theirs.parts) > PARTS_MAX:
                raise BadRequest("too_many_contexts", limit=PARTS_MAX)
            part = Part()
            theirs.parts.append(part)
        if not part.name and part.chars + len(text) > self._line.text_chars:  # else our session says so
            raise BadRequest("text_too_long", limit=self._line.text_chars)
        return part

    def _wait(self, theirs: TheirContext, patience_ms: float) -> None:
        """What waits for the end of its sentence is spoken when nothing more has come for so long."""
        theirs.stop_timer()
        if patience_ms <= 0:
            self._hurry(theirs)
        else:
            theirs.timer = self._line.later(patience_ms / 1000, partial(self._hurry, theirs))

    def _hurry(self, theirs: TheirContext) -> None:
        part = theirs.parts[0]
        if part.name and not (part.flushed or part.ended) and self._theirs.get(theirs.id) is theirs:
            self._line.ask(frames.Flush(part.name))

    def _cancel(self, id: str) -> None:
        if id in self._failed:
            self._failed.remove(id)
        theirs = self._theirs.pop(id, None)
        if theirs is None:
            return
        theirs.stop_timer()
        name = theirs.parts[0].name
        if self._spoken.pop(name, None):
            self._line.ask(frames.Cancel(name))

    # to our session

    def _speak(self, theirs: TheirContext) -> None:
        """Say what there is of the part that is being spoken."""
        part = theirs.parts[0]
        if not part.name:
            if not "".join(part.text).strip():
                if part.flushed or part.ended:
                    self._line.soon(partial(self._done_with, theirs))
                return
            part.name = f"u{next(self._numbers)}"
            self._spoken[part.name] = theirs
            self._line.ask(self._opening(theirs, part.name))
        for text in part.text:
            if text and part.name in self._spoken:  # it may have been refused
                self._line.ask(frames.Text(part.name, text))
        part.text.clear()
        if (part.flushed or part.ended) and part.name in self._spoken:
            self._line.ask(frames.End(part.name))

    def _opening(self, theirs: TheirContext, name: str) -> frames.Open:
        choice = theirs.choice
        return frames.Open(
            name,
            choice.model.id,
            choice.voice,
            choice.language,
            theirs.speed,
            format=theirs.format,
            words=theirs.timed,
            phonemes=theirs.pronounced,
            lead_ms=theirs.ahead.lead_ms(time.monotonic()),
        )

    def _done_with(self, theirs: TheirContext) -> None:
        """A part without a sound has ended."""
        if self._theirs.get(theirs.id) is theirs:
            self._line.say(*self._ended(theirs))

    # what our session says

    def told(self, message: frames.ServerMessage) -> Iterable[Wire]:
        match message:
            case frames.Opened(name, channel) if name in self._spoken:
                self._channels[channel] = self._spoken[name]
            case frames.Words(name, _, words) if name in self._spoken:
                yield self._timestamps(self._spoken[name], words)
            case frames.Phonemes(name, _, phonemes) if name in self._spoken:
                yield self._pronounced(self._spoken[name], phonemes)
            case frames.Done(name, audio_ms) if name in self._spoken:
                theirs = self._spoken.pop(name)
                theirs.before_ms += audio_ms
                yield from self._late_marks(theirs)
                yield from self._ended(theirs)
            case frames.Error():
                yield from self._error(message)

    def _ended(self, theirs: TheirContext) -> Iterator[Wire]:
        part = theirs.parts.popleft()
        if part.flushed:
            theirs.flushes += 1
            fields = {"flush_done": True, "flush_id": theirs.flushes, "done": False, "status_code": PARTIAL}
            yield _message("flush_done", theirs.id, **fields)
        if part.ended and not theirs.parts:
            theirs.stop_timer()
            self._theirs.pop(theirs.id, None)
            yield _message("done", theirs.id, done=True, status_code=COMPLETE)
            return
        if not theirs.parts:
            theirs.parts.append(Part())
        self._line.soon(partial(self._go_on, theirs))

    def _go_on(self, theirs: TheirContext) -> None:
        """What came in the meantime is spoken."""
        if self._theirs.get(theirs.id) is theirs and not theirs.parts[0].name:
            self._speak(theirs)

    def sounded(self, audio: frames.AudioFrames) -> Iterable[Wire]:
        theirs = self._channels.get(audio.channel)
        if theirs is None or self._theirs.get(theirs.id) is not theirs:
            return
        theirs.ahead.sent(len(audio.packets) * theirs.format.frame_ms, time.monotonic())
        data = b64encode(b"".join(audio.packets)).decode()
        yield _message("chunk", theirs.id, data=data, done=False, status_code=PARTIAL, step_time=0.0)

    def _timestamps(self, theirs: TheirContext, words: list[tuple[int, int, int, int]]) -> Wire:
        times = word_times(words, theirs.parts[0].spelling, theirs.before_ms)
        return _message("timestamps", theirs.id, word_timestamps=times, done=False, status_code=PARTIAL)

    @staticmethod
    def _late_marks(theirs: TheirContext) -> Iterator[Wire]:
        if theirs.timed and (times := late_marks(theirs.parts[0].spelling, theirs.before_ms)):
            yield _message("timestamps", theirs.id, word_timestamps=times, done=False, status_code=PARTIAL)

    @staticmethod
    def _pronounced(theirs: TheirContext, phonemes: list[tuple[str, int, int]]) -> Wire:
        times = phoneme_times(phonemes, theirs.before_ms)
        return _message("phoneme_timestamps", theirs.id, phoneme_timestamps=times, done=False, status_code=PARTIAL)

    def _error(self, error: frames.Error) -> Iterator[Wire]:
        name = error.context or ""
        if not name:
            yield _refusal(error.code, error.message, None)
        elif theirs := self._spoken.pop(name, None):
            theirs.stop_timer()
            self._theirs.pop(theirs.id, None)
            if not theirs.parts[-1].ended:
                self._failed.append(theirs.id)
            yield _refusal(error.code, error.message, theirs.id)

    def refused(self, error: VoicewireError) -> Iterable[Wire]:
        context = error.fields.get("context")
        yield _refusal(error.row_code, error.message, str(context) if context else None)


def _refusal(code: str, message: str, context: str | None) -> Wire:
    fields = {"title": code.replace("_", " ").capitalize(), "message": message, "error_code": code}
    fields["error"] = message  # what their package before 3 reads
    return _message("error", context, done=True, status_code=TABLE[code].status, **fields)


def _message(type: str, context: str | None, **fields: Any) -> Wire:
    return frames.TEXT_OPCODE, msgspec.json.encode({"type": type, "context_id": context, **fields})
