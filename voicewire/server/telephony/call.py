"""One call: utterances one after the other into a carrier's stream, a little ahead of what is heard.

A carrier plays what it has, in order, and forgets it when told to `clear`. So at most `LEAD_MS` of an utterance, and
`NEXT_S` of the one before, wait there: what an interruption takes back is known to a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress

from voicewire import frames
from voicewire.context import Wire
from voicewire.errors import BadRequest, OverQuota
from voicewire.server.live.live import Live
from voicewire.server.telephony.carriers import Carrier, Marked, Pressed, Started
from voicewire.server.telephony.outbound import Outbound
from voicewire.server.telephony.playout import OVERDUE_S
from voicewire.server.telephony.utterance import Agent, Piece, Utterance
from voicewire.server.telephony.utterances import Utterances
from voicewire.types import CallEvent, Marks

LEAD_MS = 1_000
NEXT_S = 0.5
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
        self._manner = manner
        self._parser = frames.Parser()
        self._outbound = Outbound(carrier, started, say)
        self._utterances = Utterances()
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
                self._cancel(self._utterances.find(agent, message.context), message.played_ms)
            case frames.Playhead():
                pass  # the carrier says where the listener is
            case _:
                raise BadRequest(problem="calls take no such message")

    def hush(self, agent: Agent) -> None:
        """Say no more of what an agent said."""
        for utterance in reversed(self._utterances.of(agent)):
            if utterance in self._utterances:  # silencing one may silence the next
                self._cancel(utterance, None)

    def end(self, agent: Agent, context: str) -> None:
        """No more text comes for a context, if that is still there."""
        for each in self._utterances.of(agent):
            if each.theirs == context and not each.done:
                self._give(each, frames.End(each.name))

    def join(self, agent: Agent) -> None:
        """Tell an agent from now on what happens. Raises `OverQuota`."""
        if agent.id not in self.agents and len(self.agents) >= AGENTS_MAX:
            raise OverQuota("too_many_contexts", limit=AGENTS_MAX)
        self.agents[agent.id] = agent

    def leave(self, agent: Agent) -> None:
        """An agent is gone: what it said is spoken, and no more awaited."""
        self.agents.pop(agent.id, None)
        for utterance in self._utterances.queue:
            if utterance.agent.id == agent.id:
                self._give(utterance, frames.End(utterance.name))

    def _open(self, agent: Agent, message: frames.Open) -> None:
        if self._hung_up:
            raise BadRequest("unknown_call", call=self.id)
        utterance = self._utterances.new(agent, message)
        self.join(agent)
        self._utterances.add(utterance)
        named = zip((message.model, message.voice, message.language), self._manner, strict=True)
        model, voice, language = (theirs or ours for theirs, ours in named)
        opening = frames.Open(
            utterance.name, model, voice, language, message.speed, message.seed, self._outbound.format
        )
        opening.offsets, opening.lead_ms = message.offsets, LEAD_MS
        assert self.live is not None
        self.live.take(opening, agent.key)
        self._go_on()

    def _feed(self, agent: Agent, message: Piece) -> None:
        utterance = self._utterances.find(agent, message.context)
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
            utterance.wait(piece)

    def _ask(self, message: frames.ClientMessage) -> None:
        assert self.live is not None
        self.live.take(message)

    # whose turn it is

    def _go_on(self) -> None:
        """Have the first of the queue spoken, once little is left to be heard of what came before."""
        first = next(iter(self._utterances.queue), None)
        if first is None or first.begun:
            return
        wait_s = self._outbound.ahead_s - NEXT_S
        if wait_s > 0:
            self._later(wait_s, self._go_on)
            return
        first.begun = True
        pieces, first.waiting = first.waiting, []
        for piece in pieces:
            if first in self._utterances:  # it may have been refused meanwhile
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
        sounding = [each for each in self._utterances if each.track.sent_ms and each.channel >= 0]
        played = [round(said_ms.get(each.name, self._outbound.played_ms(each))) for each in sounding]
        self._outbound.clear()
        for utterance, played_ms in zip(sounding, played, strict=True):
            self._withdraw(utterance, played_ms)

    def _withdraw(self, utterance: Utterance, played_ms: int) -> None:
        self._utterances.silence(utterance)
        if utterance.done is not None:
            self._utterances.forget(utterance)
            utterance.agent.tell(utterance.cut(min(played_ms, utterance.done.audio_ms)))
        elif self._utterances.dequeue(utterance):
            self._ask(frames.Cancel(utterance.name, played_ms))

    # what the carrier says

    def hear(self, event: Marked | Pressed) -> None:
        """A mark came back, or a key was pressed."""
        if isinstance(event, Pressed):
            self._tell_all(frames.Call(self.id, CallEvent.DIGIT, digit=event.digit))
            return
        mark = self._outbound.marked(event.name)
        utterance = self._utterances.named(mark.track.name) if mark else None
        if mark is None or utterance is None:
            return
        heard = (0, utterance.heard(mark.at_ms + 1))
        if utterance.marks is not Marks.NONE:
            utterance.tell(frames.Call(self.id, CallEvent.HEARD, heard=heard, played_ms=mark.at_ms))
        if mark.last:
            self._heard_out(utterance)

    def _heard_out(self, utterance: Utterance) -> None:
        """All of an utterance was heard, as far as can be known."""
        if utterance in self._utterances and utterance.done is not None:
            self._utterances.forget(utterance)
            utterance.tell(utterance.done)

    def _tell_all(self, message: frames.ServerMessage) -> None:
        for agent in list(self.agents.values()):
            agent.tell(message)

    async def over(self) -> None:
        """The caller is gone: everybody is told, and what was not heard is not made."""
        self._hung_up = True
        self._tell_all(frames.Call(self.id, CallEvent.ENDED))  # first: nothing comes of a context behind `cancelled`
        for utterance in self._utterances:
            self._withdraw(utterance, self._outbound.played_ms(utterance))
        with suppress(TimeoutError):  # what it cost is settled all the same
            async with asyncio.timeout(ENDING_S):
                await self._utterances.gone()
        for agent in self.agents.values():
            agent.over()
        self.agents.clear()

    # what our session says

    def translate(self, wire: Wire) -> Iterator[Wire]:
        """Say to the carrier, or to an agent, what our session says."""
        opcode, payload = wire
        if opcode == frames.BINARY_OPCODE:
            audio = frames.unpack_audio(payload)
            utterance = self._utterances.on(audio.channel)
            if utterance is not None:
                yield from self._outbound.sound(utterance, audio)
            return
        message = self._parser.server(payload)
        utterance = self._utterances.named(getattr(message, "context", "") or "")
        if utterance is not None:
            yield from self._told(utterance, message)

    def _told(self, utterance: Utterance, message: frames.ServerMessage) -> Iterator[Wire]:
        match message:
            case frames.Opened():
                self._utterances.sounds_on(utterance, message.channel)
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
                self._utterances.forget(utterance)
                self._later(0, self._go_on)
        utterance.tell(message)

    def _done(self, utterance: Utterance, message: frames.Done) -> Iterator[Wire]:
        """All of it is with the carrier; the agent hears of it when the listener has heard it."""
        utterance.done = message
        self._utterances.dequeue(utterance)
        yield from self._outbound.end(utterance)
        self._later(self._outbound.ahead_s + OVERDUE_S, lambda: self._heard_out(utterance))
        self._later(0, self._go_on)
