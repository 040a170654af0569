"""A session while its connection lasts, whoever speaks with it: one of ours, a vendor's client, a carrier."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass

from starlette.types import Message

from voicewire.errors import TABLE
from voicewire.server.live.live import Live
from voicewire.server.live.sessions import Sessions
from voicewire.server.live.wire import GOODBYE, Listener, WireProtocol, data_of
from voicewire.server.metrics import Metrics


@dataclass(slots=True)
class Conversation:
    """What ends with a connection: the session, unless another took its place, for the reason that `code` gives."""

    live: Live
    code: int = GOODBYE  # the close code: after any other the session can be resumed

    def stir(self) -> None:
        """Hear that a message comes, for whichever session it is."""
        self.live.stir()


@asynccontextmanager
async def conversing(sessions: Sessions, metrics: Metrics, live: Live) -> AsyncIterator[Conversation]:
    """Count a session as long as its connection lasts, and have it leave then."""
    conversation = Conversation(live)
    metrics.streams.inc()
    try:
        yield conversation
    finally:
        metrics.streams.dec()
        live, code = conversation.live, conversation.code
        metrics.closed.labels(_why(code)).inc()
        if code == GOODBYE:
            sessions.remove(live)  # at once: its client may come again, and has one place
        await live.leave(resumable=code != GOODBYE)
        sessions.remove(live)  # only now: who resumes in between finds it here or in the journal


async def listen(wire: WireProtocol, hear: Listener, event: Message, receive: Callable[[], Awaitable[Message]]) -> int:
    """Have messages heard, from the one in `event` on, until the connection ends; return its close code.

    Raises what `hear` does.
    """
    own = copy_context()
    while event["type"] == "websocket.receive":
        hear(data_of(event))
        if wire.queue.empty():
            # from now on messages come straight from the transport; their logs still say whose they are
            wire.listener = lambda data: own.run(hear, data)
        event = await receive()
    wire.listener = None
    if wire.broken:
        raise wire.broken
    return int(event.get("code") or 0)


def _why(code: int) -> str:
    """What a close code says, in a word of a bounded vocabulary."""
    if code == GOODBYE:
        return "goodbye"
    return next((name for name, row in TABLE.items() if row.close == code), "lost")
