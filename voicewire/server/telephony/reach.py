"""A call that is not here, or not yet: what is said to it waits until it is found."""

from __future__ import annotations

import asyncio
import contextlib

from voicewire import frames
from voicewire.errors import RETRY_MS, BadRequest, Busy, VoicewireError
from voicewire.server.telephony.call import Call
from voicewire.server.telephony.relay import Letter, Relay
from voicewire.server.telephony.utterance import Agent

MESSAGES_MAX = 1_000  # until it is found


class Reach:
    """One session's way to one call."""

    def __init__(self, relay: Relay, id: str, agent: Agent) -> None:
        self._relay, self._id, self._agent = relay, id, agent
        self._waiting: list[frames.ClientMessage] | None = []
        self._found: Call | str | None = None
        self._left = False
        self.task = asyncio.create_task(self._find(), name="a call is looked for")

    @property
    def gone(self) -> bool:
        """Whether there is no such call."""
        return self._waiting is None and self._found is None

    def take(self, message: frames.ClientMessage) -> None:
        """Say something to the call. Raises `VoicewireError`."""
        if self._waiting is not None:
            if len(self._waiting) >= MESSAGES_MAX:
                raise Busy(retry_after_ms=RETRY_MS)
            self._waiting.append(message)
        elif isinstance(self._found, Call):
            self._found.take(self._agent, message)
        elif self._found is not None:
            self._relay.send(self._found, self._letter(frames.serialize(message)))
        else:
            raise BadRequest("unknown_call", call=self._id)

    def hush(self) -> None:
        """The session may not speak any more."""
        if self._waiting is not None:
            self._waiting.clear()
        elif isinstance(self._found, Call):
            self._found.hush(self._agent)
        elif self._found is not None:
            with contextlib.suppress(Busy):  # then the gateway of the call has more letters than it can read
                self._relay.send(self._found, self._letter(b"", hushed=True))

    def leave(self) -> None:
        """The session is gone."""
        self._left = True
        if self._waiting is not None:
            return  # it is said once it is found
        if isinstance(self._found, Call):
            self._found.leave(self._agent)
        elif self._found is not None:
            self._relay.part(self._agent)
            with contextlib.suppress(Busy):  # then its contexts end with their call
                self._relay.send(self._found, self._letter(b""))

    def _letter(self, message: bytes, *, hushed: bool = False) -> Letter:
        agent = self._agent
        return Letter(agent.id, message, self._id, agent.tenant, self._relay.gateway, hushed, agent.key)

    async def _find(self) -> None:
        failed: VoicewireError = BadRequest("unknown_call", call=self._id)
        try:
            self._found = await self._relay.find(self._id, self._agent.tenant)
        except Busy as error:
            failed = error
        if isinstance(self._found, str):
            self._relay.reach(self._agent)
        waiting, self._waiting = self._waiting or [], None
        for message in waiting:
            try:
                if self._found is None:
                    raise failed
                self.take(message)
            except VoicewireError as error:
                if self._found is not None or isinstance(message, frames.Open):
                    self._agent.tell(frames.Error.of(error, getattr(message, "context", "")))
        if self._left and self._found is not None:
            self.leave()
