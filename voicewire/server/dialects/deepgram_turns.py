"""Deepgram's WebSocket `/v2/speak`: turns, made by Speak and Flush, and cut by Interrupt, which says what was heard.

Source: Deepgram's API reference of Flux, and what its Python package 7.17, pipecat and LiveKit send and read. A turn is
one utterance of ours. Offsets count the audio of the whole session; an interruption sets that clock to what was played.
It drops everything that was said and not heard, and the first turn of that is the one told of. What was sent is ahead
of what is heard: so turns whose audio was sent whole can be interrupted as well.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator

from voicewire import frames
from voicewire.context import Wire
from voicewire.errors import BadRequest, VoicewireError
from voicewire.server.dialects.ahead import Ahead
from voicewire.server.dialects.aliases import Aliases
from voicewire.server.dialects.deepgram_forms import json_wire, planned, problem
from voicewire.server.dialects.deepgram_parts import part_for_text
from voicewire.server.dialects.deepgram_turn_forms import Cut, Message, Turn, warning
from voicewire.server.dialects.socket import Line
from voicewire.server.dialects.wishes import FASTEST, SLOWEST
from voicewire.server.parsing import parse

SENT_MAX = 16  # turns whose audio is sent, and may not be heard yet


class DeepgramTurns:
    """One connection."""

    def __init__(self, line: Line, aliases: Aliases) -> None:
        self._line = line
        self._turns: deque[Turn] = deque()  # the first is being spoken
        self._sent: deque[Turn] = deque(maxlen=SENT_MAX)
        self._channel = -1
        self._ahead = Ahead(line.lead_ms)
        self._numbers = itertools.count()
        self._at_ms = 0  # of the session's audio: where the next turn begins
        self._cut_ms = 0  # … and where the last interruption was
        self._cut: Cut | None = None  # until our session says what was heard
        self._characters = 0
        self._closing = False
        self._choice, self._format, self._speed = planned(line.query, line.catalogue(), aliases)
        self._speed_set = "speed" in line.query

    # what the client says

    def hear(self, data: str | bytes) -> None:
        message = parse(data, Message)
        match message.type:
            case "Speak":
                self._take(message.text)
            case "Flush":
                self._flush()
            case "Interrupt":
                offset = message.playback_offset
                self._interrupt(None if offset is None else offset.value)
            case "Configure":
                self._line.say(self._configured(message.speed))
            case "Close":
                self._close()
            case _:
                raise BadRequest(problem=f"the type {message.type[:40]}")

    def _take(self, text: str) -> None:
        if self._closing:
            raise BadRequest(problem="it is being closed")
        turn = part_for_text(self._turns, Turn, self._numbers, len(text), self._line.text_chars)
        turn.text += text
        self._characters += len(text)
        if turn is self._turns[0]:
            self._speak()

    def _flush(self) -> None:
        if not self._turns or self._turns[-1].flushed:
            self._line.say(warning("NO_ACTIVE_SPEECH"))
            return
        self._turns[-1].flushed = True
        if len(self._turns) == 1:
            self._speak()

    def _speak(self) -> None:
        """Say what there is of the first turn."""
        if self._cut or not self._turns:
            return
        turn = self._turns[0]
        if turn.begins_ms < 0:
            turn.begins_ms = self._at_ms
            self._line.say(json_wire("SpeechStarted", speech_id=turn.id))
        if not turn.open and turn.text.strip():
            turn.open = True
            self._line.ask(self._opening(turn.name))
        if turn.open and turn.given < len(turn.text):
            text, turn.given = turn.text[turn.given :], len(turn.text)
            self._line.ask(frames.Text(turn.name, text))
        if turn.open and turn.flushed:
            self._line.ask(frames.End(turn.name))
        elif turn.flushed and turn in self._turns:  # else it has failed
            self._line.say(*self._ended(turn))

    def _opening(self, name: str) -> frames.Open:
        choice = self._choice
        voice = (choice.model.id, choice.voice, choice.language, self._speed)
        return frames.Open(name, *voice, format=self._format, words=True, lead_ms=self._ahead.lead_ms(time.monotonic()))

    def _interrupt(self, offset_ms: int | None) -> None:
        active = self._turns[0] if self._turns else None
        sent_ms = active.ends_ms if active and not self._cut else self._at_ms
        played_ms = sent_ms if offset_ms is None else min(offset_ms, sent_ms)
        turns = [turn for turn in self._sent if turn.ends_ms > played_ms] + list(self._turns)
        objection = self._objection(offset_ms, turns)
        if objection:
            self._line.say(warning(objection))
            return
        self._cut = Cut(turns, played_ms, located=offset_ms is not None)
        self._turns.clear()
        self._sent.clear()
        self._channel = -1
        self._ahead.clear()
        self._at_ms = self._cut_ms = played_ms
        if active and active.open:
            self._line.ask(frames.Cancel(active.name, max(0, played_ms - active.begins_ms)))
        else:
            self._line.say(*self._interrupted(self._cut, turns[0].heard_at(played_ms)))

    def _objection(self, offset_ms: int | None, turns: list[Turn]) -> str:
        """Why there is nothing to interrupt."""
        if self._cut:
            return "INTERRUPT_IN_PROGRESS"
        if offset_ms is not None and offset_ms < self._cut_ms:
            return "INVALID_INTERRUPT_OFFSET"
        if not turns:
            return "NO_ACTIVE_SPEECH" if self._at_ms else "NO_AUDIO_GENERATED"
        return ""

    def _configured(self, speed: float | None) -> Wire:
        """Take a speed for the turns that begin from now on."""
        if speed is not None and not SLOWEST <= speed <= FASTEST:
            text = f"the speed must lie between {SLOWEST} and {FASTEST}"
            code = "SPEED_OUT_OF_RANGE"
            return json_wire("ConfigureFailure", code=code, field="speed", value=speed, description=text)
        if speed is not None:
            self._speed, self._speed_set = speed, True
        return json_wire("ConfigureSuccess", applied={"speed": self._speed} if self._speed_set else {})

    def _close(self) -> None:
        """Speak what is there to its end, and hang up then."""
        self._closing = True
        if self._turns and not self._turns[-1].flushed:
            self._flush()
        if not self._turns and not self._cut:
            self._line.say(self._totals())
            self._line.end()

    # what our session says

    def told(self, message: frames.ServerMessage) -> Iterable[Wire]:
        turn = self._active(getattr(message, "context", None))
        match message:
            case frames.Ready(session):
                yield from self._greeting(session)
            case frames.Opened(_, channel) if turn:
                self._channel = channel
            case frames.BlockStart(_, _, span, start_ms) if turn:
                turn.marks.append((start_ms, span[0]))
            case frames.Words(_, _, words) if turn:
                turn.marks += [(start_ms, stop) for _, stop, start_ms, _ in words]
            case frames.Done() if turn:
                yield from self._ended(turn)
            case frames.Cancelled(name, _, heard) if self._cut:
                first = self._cut.turns[0]
                yield from self._interrupted(
                    self._cut, heard[1] if first.name == name else first.heard_at(self._cut.played_ms)
                )
            case frames.Error(code, text):
                yield problem(code, text)
                if turn:
                    yield from self._next(turn)

    def _active(self, name: object) -> Turn | None:
        return self._turns[0] if self._turns and self._turns[0].name == name else None

    def _greeting(self, session: str) -> Iterator[Wire]:
        model = self._line.query.get("model") or ""
        yield json_wire("Connected", request_id=session, model_name=model, model_version="1", model_uuids=[session])

    def _ended(self, turn: Turn) -> Iterator[Wire]:
        if not turn.audio_ms:
            yield warning("NO_SYNTHESIZABLE_TEXT")
        yield json_wire("Flushed", speech_id=turn.id)
        yield json_wire("SpeechMetadata", **turn.metadata())
        yield from self._next(turn)

    def _interrupted(self, cut: Cut, heard: int) -> Iterator[Wire]:
        self._cut = None
        first, *rest = cut.turns
        split = {}
        if cut.located:
            remaining = first.text[heard:] + "".join(turn.text for turn in rest)
            split = {"text_spoken": first.text[:heard], "text_remaining": remaining}
        yield json_wire("SpeechInterrupted", audio_played_ms=cut.played_ms, **split, metadata=first.metadata())
        yield from self._go_on()

    def _next(self, turn: Turn) -> Iterator[Wire]:
        """The first turn is over."""
        self._turns.popleft()
        self._sent.append(turn)
        turn.open = False
        self._channel = -1
        self._at_ms = turn.ends_ms
        yield from self._go_on()

    def _go_on(self) -> Iterator[Wire]:
        if self._turns:
            self._line.soon(self._speak)
        elif self._closing:
            yield self._totals()
            self._line.hang_up()

    def _totals(self) -> Wire:
        return json_wire(
            "SessionMetadata",
            total_audio_duration_ms=self._at_ms,
            total_input_character_count=self._characters,
            total_billable_character_count=self._characters,
        )

    def sounded(self, audio: frames.AudioFrames) -> Iterable[Wire]:
        if audio.channel == self._channel:
            audio_ms = len(audio.packets) * self._format.frame_ms
            self._turns[0].audio_ms += audio_ms
            self._ahead.sent(audio_ms, time.monotonic())
            yield frames.BINARY_OPCODE, b"".join(audio.packets)

    def refused(self, error: VoicewireError) -> Iterable[Wire]:
        yield problem(error.row_code, error.message)
