"""Deepgram's WebSocket `/v1/speak`: Speak, Flush, Clear and Close, with bare audio.

Source: Deepgram's API reference, and what its Python packages 4 and 7, pipecat and LiveKit send. What stands between
two flushes is one utterance of ours. `Flushed` follows all of its audio; after `Clear` nothing of before follows.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial

from msgspec import Struct

from voicewire import frames
from voicewire.context import Wire
from voicewire.errors import BadRequest, VoicewireError
from voicewire.server.dialects.ahead import Ahead
from voicewire.server.dialects.aliases import Aliases
from voicewire.server.dialects.deepgram_forms import json_wire, planned, problem
from voicewire.server.dialects.deepgram_parts import Part, part_for_text
from voicewire.server.dialects.socket import Line
from voicewire.server.parsing import parse


class Message(Struct):
    """What a client says."""

    type: str
    text: str = ""


class Deepgram:
    """One connection."""

    def __init__(self, line: Line, aliases: Aliases) -> None:
        self._line = line
        self._plan = planned(line.query, line.catalogue(), aliases)
        self._parts: deque[Part] = deque()  # the first is being spoken
        self._channel = -1
        self._ahead = Ahead(line.lead_ms)
        self._numbers = itertools.count()
        self._sequence = itertools.count()
        self._closing = False

    def hear(self, data: str | bytes) -> None:
        message = parse(data, Message)
        match message.type:
            case "Speak":
                self._take(message.text)
            case "Flush":
                self._flush()
            case "Clear":
                self._clear()
            case "Close":
                self._close()
            case _:
                raise BadRequest(problem=f"the type {message.type[:40]}")

    def _take(self, text: str) -> None:
        self._part_for(text).text.append(text)
        self._speak()

    def _part_for(self, text: str) -> Part:
        return part_for_text(self._parts, Part, self._numbers, len(text), self._line.text_chars)

    def _flush(self) -> None:
        self._part_for("").flushed = True
        self._speak()

    def _clear(self) -> None:
        parts, self._parts = self._parts, deque()
        self._channel = -1
        self._ahead.clear()
        if parts and parts[0].open:
            self._line.ask(frames.Cancel(parts[0].name))
        self._line.say(json_wire("Cleared", sequence_id=next(self._sequence)))

    def _close(self) -> None:
        """Speak what is there to its end, and hang up then."""
        self._closing = True
        if self._parts and not self._parts[-1].flushed:
            self._flush()
        if not self._parts:
            self._line.end()

    def _speak(self) -> None:
        """Say what there is of the first part."""
        part = self._parts[0]
        if not part.open:
            if not "".join(part.text).strip():
                if part.flushed:
                    self._line.soon(partial(self._done_with, part))
                return
            self._line.ask(self._opening(part.name))
            if not (self._parts and self._parts[0] is part):
                return  # it was refused
            part.open = True
        for text in part.text:
            self._line.ask(frames.Text(part.name, text))
        part.text.clear()
        if part.flushed:
            self._line.ask(frames.End(part.name))

    def _opening(self, name: str) -> frames.Open:
        choice, format, speed = self._plan
        voice = (choice.model.id, choice.voice, choice.language, speed)
        return frames.Open(name, *voice, format=format, words=False, lead_ms=self._ahead.lead_ms(time.monotonic()))

    def _done_with(self, part: Part) -> None:
        """A part without a sound has ended."""
        if self._parts and self._parts[0] is part:
            self._line.say(*self._ended())

    def told(self, message: frames.ServerMessage) -> Iterable[Wire]:
        match message:
            case frames.Ready():
                yield json_wire(
                    "Metadata",
                    request_id=message.session,
                    model_name=self._line.query.get("model") or "",
                    model_version="1",
                    model_uuid=message.session,
                )
            case frames.Opened(name, channel) if self._parts and self._parts[0].name == name:
                self._channel = channel
            case frames.Done(name) if self._parts and self._parts[0].name == name:
                yield from self._ended()
            case frames.Error():
                yield from self._failed(message)

    def _ended(self) -> Iterator[Wire]:
        yield json_wire("Flushed", sequence_id=next(self._sequence))
        self._next()

    def _next(self) -> None:
        """The first part is over."""
        self._parts.popleft()
        self._channel = -1
        if self._parts:
            self._line.soon(self._go_on)
        elif self._closing:
            self._line.hang_up()

    def _go_on(self) -> None:
        if self._parts and not self._parts[0].open:
            self._speak()

    def _failed(self, error: frames.Error) -> Iterator[Wire]:
        yield problem(error.code, error.message)
        if self._parts and error.context == self._parts[0].name:
            self._next()

    def sounded(self, audio: frames.AudioFrames) -> Iterable[Wire]:
        if audio.channel == self._channel:
            self._ahead.sent(len(audio.packets) * self._plan.format.frame_ms, time.monotonic())
            yield frames.BINARY_OPCODE, b"".join(audio.packets)

    def refused(self, error: VoicewireError) -> Iterable[Wire]:
        yield problem(error.row_code, error.message)
