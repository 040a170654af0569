"""The contexts of one session on `voicewire.v1` that are spoken into calls, and not to its client."""

from __future__ import annotations

from voicewire import frames
from voicewire.errors import BadRequest, OverQuota, VoicewireError
from voicewire.server.live.live import Live
from voicewire.server.telephony.reach import Reach
from voicewire.server.telephony.relay import Relay
from voicewire.types import CallEvent

SCHEME = "call:"
CALLS_MAX = 64  # that one session speaks into at once
CONTEXTS_MAX = 256


class Elsewhere:
    """See the module. To the calls it is an agent."""

    def __init__(self, relay: Relay, live: Live) -> None:
        self._relay, self._live = relay, live
        self._ways: dict[str, Reach] = {}  # by the call
        self._calls: dict[str, str] = {}  # by the context that is spoken into it

    @property
    def id(self) -> str:
        return self._live.id

    @property
    def tenant(self) -> str:
        return self._live.principal.tenant

    @property
    def key(self) -> str:
        return self._live.principal.key

    def tell(self, message: frames.ServerMessage) -> None:
        """Tell the application what became of what it says."""
        if isinstance(message, frames.Done | frames.Cancelled | frames.Error) and isinstance(message.context, str):
            self._calls.pop(message.context, None)
        if isinstance(message, frames.Call) and message.event is CallEvent.ENDED:
            self._ways.pop(message.call, None)
        if self._live.attached:
            self._live.send(message)

    def over(self) -> None:
        """It was told of the end, by which it knows."""

    def take(self, message: frames.ClientMessage) -> bool:
        """Take a message of the application, if it is for a call."""
        name = getattr(message, "context", "")
        opens = isinstance(message, frames.Open)
        if name not in self._calls and not (isinstance(message, frames.Open) and message.to):
            return False
        try:
            if isinstance(message, frames.Open):
                self._open(message)
                self._way(self._calls[name]).take(message)
            elif way := self._ways.get(self._calls[name]):  # else the call has ended, and `cancelled` is on its way
                way.take(message)
        except VoicewireError as error:
            self.tell(frames.Error.of(error, "" if opens and error.row_code == "duplicate_context" else name))
        return True

    def _open(self, message: frames.Open) -> None:
        name = message.context
        if name in self._calls or name in self._live.session.contexts:
            raise BadRequest("duplicate_context", context=name)
        if not message.to.startswith(SCHEME) or message.to == SCHEME:
            raise BadRequest("unknown_call", call=message.to)
        if len(self._calls) >= CONTEXTS_MAX:
            raise OverQuota("too_many_contexts", limit=CONTEXTS_MAX)
        self._calls[name] = message.to.removeprefix(SCHEME)

    def _way(self, call: str) -> Reach:
        way = self._ways.get(call)
        if way is None or way.gone:
            self._ways = {each: way for each, way in self._ways.items() if not way.gone}
            if len(self._ways) >= CALLS_MAX:
                raise OverQuota("too_many_contexts", limit=CALLS_MAX)
            way = self._ways[call] = Reach(self._relay, call, self)
        return way

    def hush(self) -> None:
        """The application may not speak any more: not a word of what it said is said from now on."""
        for way in self._ways.values():
            way.hush()

    def leave(self) -> None:
        """The application is gone."""
        for way in self._ways.values():
            way.leave()
        self._ways.clear()
        self._calls.clear()
