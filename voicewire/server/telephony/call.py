"""One call: utterances one after the other into a carrier's stream, a little ahead of what is heard.

A carrier plays what it has, in order, and forgets it when told to `clear`. So at most `LEAD_MS` of an utterance, and
`NEXT_S` of the one before, wait there: what an interruption takes back is known to a word.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator

from voicewire import frames
from voicewire.context import Wire
from voicewire.errors import BadRequest, OverQuota
from voicewire.server.live.live import Live
from voicewire.server.telephony.carriers import Carrier, Marked, Pressed, Started, media_type
from voicewire.server.telephony.playout import OVERDUE_S, Playout, Track
from voicewire.server.telephony.utterance import Agent, Piece, Utterance
from voicewire.types import CallEvent, Marks

LEAD_MS = 1_000
NEXT_S = 0.5
FRAME_MS = 20
UTTERANCES_MAX = 16
AGENTS_MAX = 16
ENDING_S = 1.0  # to say what was heard to the end

Manner = tuple[str, str, str]
"""Model, voice and language where an agent names none."""


class Call:
    """A call that is being held. `say` writes to the carrier at once."""

    def __init__(
        self,
        carrier: Carrier,
        started: Started,
        tenant: str,
        say: Callable[[Wire], None],
        manner: Manner = ("", "", ""),
    ) -> None:
        self.id = started.call
        self.tenant = tenant
        self.account = started.account
        self.live: Live | None = None
        self.agents: dict[str, Agent] = {}
        self._carrier, self._stream, self._say, self._manner = carrier, started.stream, say, manner
        self._format = started.format
        self._media_type = media_type(started.format)
        self._rate_hz = started.format.grant().rate_hz
        self._parser = frames.Parser()
        self._playout = Playout()
        self._numbers = itertools.count()
        self._by_name: dict[str, Utterance] = {}  # until their agents were told of the end
        self._queue: list[Utterance] = []  # not all handed over; the first is being spoken
        self._by_channel: dict[int, Utterance] = {}
        self._empty = asyncio.Event()
        self._hung_up = False

    # what agents say

    def take(self, agent: Agent, message: frames.ClientMessage) -> None:
        """Do what an agent says of one of its contexts. Raises `VoicewireError`, with which that context ends."""
        match message:
            case frames.Speak():
                self._open(agent, message)
                self._feed(agent, frames.Text(message.context, message.text))
                self._feed(agent, frames.End(message.context))
            case frames.Open():
                self._open(agent, message)
            case frames.Text() | frames.Flush() | frames.End():
                self._feed(agent, message)
            case frames.Cancel():
                self._cancel(self._find(agent, message.context), message.played_ms)
            case frames.Playhead():
                pass  # the carrier says where the listener is
            case _:
                raise BadRequest(problem="calls take no such message")

    def hush(self, agent: Agent) -> None:
        """Say no more of what an agent said."""
        for utterance in [each for each in reversed(self._by_name.values()) if each.agent.id == agent.id]:
            if utterance.name in self._by_name:  # silencing one may silence the next
                self._cancel(utterance, None)

    def end(self, agent: Agent, context: str) -> None:
        """No more text comes for a context, if that is still there."""
        for each in self._by_name.values():
            if each.theirs == context and each.agent.id == agent.id and not each.done:
                self._give(each, frames.End(each.name))
                return

    def join(self, agent: Agent) -> None:
        """Tell an agent from now on what happens. Raises `OverQuota`."""
        if agent.id not in self.agents and len(self.agents) >= AGENTS_MAX:
            raise OverQuota("too_many_contexts", limit=AGENTS_MAX)
        self.agents[agent.id] = agent

    def leave(self, agent: Agent) -> None:
        """An agent is gone: what it said is spoken, and no more awaited."""
        self.agents.pop(agent.id, None)
        for utterance in [each for each in self._queue if each.agent.id == agent.id]:
            self._give(utterance, frames.End(utterance.name))

    def _open(self, agent: Agent, message: frames.Open) -> None:
        if self._hung_up:
            raise BadRequest("unknown_call", call=self.id)
        if any(each.agent.id == agent.id and each.theirs == message.context for each in self._by_name.values()):
            raise BadRequest("duplicate_context", context=message.context)
        if len(self._by_name) >= UTTERANCES_MAX:
            raise OverQuota("too_many_contexts", limit=UTTERANCES_MAX)
        self.join(agent)
        name = f"u{next(self._numbers)}"
        utterance = Utterance(name, agent, message.context, message.marks, message.words, Track(name), message.offsets)
        self._by_name[name] = utterance
        self._queue.append(utterance)
        named = zip((message.model, message.voice, message.language), self._manner, strict=True)
        model, voice, language = (theirs or ours for theirs, ours in named)
        opening = frames.Open(name, model, voice, language, message.speed, message.seed, self._format)
        opening.offsets, opening.lead_ms = message.offsets, LEAD_MS
        assert self.live is not None
        self.live.take(opening, agent.key)
        self._go_on()

    def _find(self, agent: Agent, context: str) -> Utterance:
        for each in self._by_name.values():
            if each.theirs == context and each.agent.id == agent.id:
                return each
        raise BadRequest("unknown_context", context=context)

    def _feed(self, agent: Agent, message: Piece) -> None:
        utterance = self._find(agent, message.context)
        if isinstance(message, frames.Text):
            utterance.chars += len(message.text)
            assert self.live is not None
            if utterance.chars > (limit := self.live.session.limits.text_chars):
                self._cancel(utterance, None)
                raise BadRequest("text_too_long", limit=limit)
            self._give(utterance, frames.Text(utterance.name, message.text))
        else:
            self._give(utterance, type(message)(utterance.name))

    def _give(self, utterance: Utterance, piece: Piece) -> None:
        if utterance.begun:
            self._ask(piece)
        else:
            utterance.waiting.append(piece)

    def _ask(self, message: frames.ClientMessage) -> None:
        assert self.live is not None
        self.live.take(message)

    # whose turn it is

    def _go_on(self) -> None:
        """Have the first of the queue spoken, once little is left to be heard of what came before."""
        if not self._queue or self._queue[0].begun:
            return
        wait_s = self._playout.ahead_s(time.monotonic()) - NEXT_S
        if wait_s > 0:
            self._later(wait_s, self._go_on)
            return
        first = self._queue[0]
        first.begun = True
        pieces, first.waiting = first.waiting, []
        for piece in pieces:
            if first.name in self._by_name:  # it may have been refused meanwhile
                self._ask(piece)

    def _later(self, wait_s: float, act: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(wait_s, self._act_if_there, act)

    def _act_if_there(self, act: Callable[[], None]) -> None:
        if self.live is not None and self.live.attached:
            act()

    # interruption

    def _cancel(self, utterance: Utterance, played_ms: float | None) -> None:
        if utterance.track.sent_ms:
            self._interrupt({utterance.name: played_ms} if played_ms is not None else {})
        else:
            self._withdraw(utterance, 0)
        self._go_on()

    def _interrupt(self, said_ms: dict[str, float]) -> None:
        """Silence what is being heard, which may be the end of one utterance and the beginning of the next."""
        now = time.monotonic()
        sounding = [each for each in self._by_name.values() if each.track.sent_ms and each.channel >= 0]
        played = [round(said_ms.get(each.name, self._playout.played_ms(each.track, now))) for each in sounding]
        self._say(self._carrier.clear(self._stream))
        self._playout.clear(now)
        for utterance, played_ms in zip(sounding, played, strict=True):
            self._withdraw(utterance, played_ms)

    def _withdraw(self, utterance: Utterance, played_ms: int) -> None:
        self._by_channel.pop(utterance.channel, None)
        utterance.channel = -1  # nothing of it is sent any more
        if utterance.done is not None:
            self._forget(utterance)
            utterance.agent.tell(utterance.cut(min(played_ms, utterance.done.audio_ms)))
            return
        if utterance in self._queue:
            self._queue.remove(utterance)
            self._ask(frames.Cancel(utterance.name, played_ms))

    def _forget(self, utterance: Utterance) -> None:
        self._by_name.pop(utterance.name, None)
        self._by_channel.pop(utterance.channel, None)
        if utterance in self._queue:
            self._queue.remove(utterance)
        if not self._by_name:
            self._empty.set()

    # what the carrier says

    def hear(self, event: Marked | Pressed) -> None:
        """A mark came back, or a key was pressed."""
        if isinstance(event, Pressed):
            self._tell_all(frames.Call(self.id, CallEvent.DIGIT, digit=event.digit))
            return
        mark = self._playout.marked(event.name)
        utterance = self._by_name.get(mark.track.name) if mark else None
        if mark is None or utterance is None:
            return
        heard = (0, utterance.heard(mark.at_ms + 1))
        if utterance.marks is not Marks.NONE:
            utterance.tell(frames.Call(self.id, CallEvent.HEARD, heard=heard, played_ms=mark.at_ms))
        if mark.last:
            self._heard_out(utterance)

    def _heard_out(self, utterance: Utterance) -> None:
        """All of an utterance was heard, as far as can be known."""
        if utterance.name in self._by_name and utterance.done is not None:
            self._forget(utterance)
            utterance.tell(utterance.done)

    def _tell_all(self, message: frames.ServerMessage) -> None:
        for agent in list(self.agents.values()):
            agent.tell(message)

    async def over(self) -> None:
        """The caller is gone: everybody is told, and what was not heard is not made."""
        self._hung_up, now = True, time.monotonic()
        self._tell_all(frames.Call(self.id, CallEvent.ENDED))  # first: nothing comes of a context behind `cancelled`
        for utterance in list(self._by_name.values()):
            self._withdraw(utterance, self._playout.played_ms(utterance.track, now))
        self._empty.clear()
        if self._by_name:
            try:
                async with asyncio.timeout(ENDING_S):
                    await self._empty.wait()
            except TimeoutError:
                pass  # what it cost is settled all the same
        for agent in self.agents.values():
            agent.over()
        self.agents.clear()

    # what our session says

    def translate(self, wire: Wire) -> Iterator[Wire]:
        """Say to the carrier, or to an agent, what our session says."""
        opcode, payload = wire
        if opcode == frames.BINARY_OPCODE:
            audio = frames.unpack_audio(payload)
            utterance = self._by_channel.get(audio.channel)
            if utterance is not None:
                yield from self._sound(utterance, audio)
            return
        message = self._parser.server(payload)
        utterance = self._by_name.get(getattr(message, "context", "") or "")
        if utterance is not None:
            yield from self._told(utterance, message)

    def _sound(self, utterance: Utterance, audio: frames.AudioFrames) -> Iterator[Wire]:
        at_ms, now = audio.pts * 1000 // self._rate_hz, time.monotonic()
        due = utterance.marks_due
        for packet in audio.packets:
            if due and due[0] <= at_ms:
                yield from self._marks(utterance, at_ms, now)
            yield self._carrier.media(self._stream, packet, self._media_type)
            self._playout.sent(utterance.track, FRAME_MS, now)
            at_ms += FRAME_MS

    def _marks(self, utterance: Utterance, until_ms: float, now: float, *, last: bool = False) -> Iterator[Wire]:
        due = utterance.marks_due
        while due and due[0] <= until_ms:
            if name := self._playout.mark(utterance.track, due.popleft(), now):
                yield self._carrier.mark(self._stream, name)
        if last and (name := self._playout.mark(utterance.track, utterance.track.sent_ms, now, last=True)):
            yield self._carrier.mark(self._stream, name)

    def _told(self, utterance: Utterance, message: frames.ServerMessage) -> Iterator[Wire]:
        match message:
            case frames.Opened():
                utterance.channel = message.channel
                self._by_channel[message.channel] = utterance
            case frames.BlockStart():
                utterance.block(message)
            case frames.Words():
                utterance.say_words(message)
                if not utterance.words:
                    return
            case frames.Done():
                yield from self._done(utterance, message)
                return
            case frames.Cancelled() | frames.Error():
                if isinstance(message, frames.Cancelled) and not utterance.begun:
                    message.unheard = (0, utterance.waiting_stop)  # our session has none of its text yet
                self._forget(utterance)
                self._later(0, self._go_on)
        utterance.tell(message)

    def _done(self, utterance: Utterance, message: frames.Done) -> Iterator[Wire]:
        """All of it is with the carrier; the agent hears of it when the listener has heard it."""
        utterance.done = message
        self._queue.remove(utterance)
        yield from self._marks(utterance, float("inf"), time.monotonic(), last=True)
        wait_s = self._playout.ahead_s(time.monotonic()) + OVERDUE_S
        self._later(wait_s, lambda: self._heard_out(utterance))
        self._later(0, self._go_on)
