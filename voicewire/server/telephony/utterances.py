"""The utterances of a call: which there are, which of them is spoken, and which wait for their turn."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

from voicewire import frames
from voicewire.errors import BadRequest, OverQuota
from voicewire.server.telephony.playout import Track
from voicewire.server.telephony.utterance import Agent, Utterance

UTTERANCES_MAX = 16


class Utterances:
    """Each until its agent was told of its end."""

    def __init__(self) -> None:
        self._by_name: dict[str, Utterance] = {}
        self._queue: list[Utterance] = []  # not all handed over
        self._by_channel: dict[int, Utterance] = {}
        self._numbers = itertools.count()
        self._empty = asyncio.Event()

    def __iter__(self) -> Iterator[Utterance]:
        return iter([*self._by_name.values()])

    def __contains__(self, utterance: Utterance) -> bool:
        return utterance.name in self._by_name

    @property
    def queue(self) -> list[Utterance]:
        """Those of which not all is with the carrier; the first is being spoken."""
        return [*self._queue]

    def new(self, agent: Agent, message: frames.Open) -> Utterance:
        """Return another, to be added. Raises `BadRequest` for a name that is taken, and `OverQuota`."""
        if self._of(agent, message.context):
            raise BadRequest("duplicate_context", context=message.context)
        if len(self._by_name) >= UTTERANCES_MAX:
            raise OverQuota("too_many_contexts", limit=UTTERANCES_MAX)
        name = f"u{next(self._numbers)}"
        return Utterance(name, agent, message.context, message.marks, message.words, Track(name), message.offsets)

    def add(self, utterance: Utterance) -> None:
        """Put it behind all others."""
        self._by_name[utterance.name] = utterance
        self._queue.append(utterance)

    def find(self, agent: Agent, context: str) -> Utterance:
        """Return what an agent calls so. Raises `BadRequest`."""
        found = self._of(agent, context)
        if found is None:
            raise BadRequest("unknown_context", context=context)
        return found

    def _of(self, agent: Agent, context: str) -> Utterance | None:
        return next((each for each in self.of(agent) if each.theirs == context), None)

    def of(self, agent: Agent) -> list[Utterance]:
        """Return those of an agent, as they were opened."""
        return [each for each in self if each.agent.id == agent.id]

    def named(self, name: str) -> Utterance | None:
        """Return the one with a name of ours."""
        return self._by_name.get(name)

    def on(self, channel: int) -> Utterance | None:
        """Return the one whose audio comes on a channel."""
        return self._by_channel.get(channel)

    def sounds_on(self, utterance: Utterance, channel: int) -> None:
        """Its audio comes on a channel from now on."""
        utterance.channel = channel
        self._by_channel[channel] = utterance

    def silence(self, utterance: Utterance) -> None:
        """Nothing of it is sent any more."""
        self._by_channel.pop(utterance.channel, None)
        utterance.channel = -1

    def dequeue(self, utterance: Utterance) -> bool:
        """Let those behind it have their turn; False: they have had it."""
        if utterance not in self._queue:
            return False
        self._queue.remove(utterance)
        return True

    def forget(self, utterance: Utterance) -> None:
        """Its agent is told of its end."""
        self._by_name.pop(utterance.name, None)
        self.silence(utterance)
        self.dequeue(utterance)
        if not self._by_name:
            self._empty.set()

    async def gone(self) -> None:
        """Wait until there is none."""
        while self._by_name:
            self._empty.clear()
            await self._empty.wait()
