"""A session on a socket: does what the state machine says, keeps its contexts on the clock and in the journal."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from voicewire import frames
from voicewire.auth.principal import Principal
from voicewire.context import Context
from voicewire.errors import TABLE, BadRequest, Gone, OverQuota, VoicewireError
from voicewire.server.live.journal import Entry, Kept, Record, token_hash
from voicewire.server.live.live_context import LiveContext
from voicewire.server.live.machinery import Machinery
from voicewire.server.live.outbox import Outbox, Peer
from voicewire.server.live.turns import Turns
from voicewire.session import Action, Close, Drop, Send, Session, Settle, text_wire
from voicewire.types import Slice

FINISHED_KEPT = 8  # contexts that ended, kept in case that their end did not arrive
BLOCKED_S = 0.02  # how soon a peer that does not read is looked at again


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose session it is, and under which name it can be resumed."""

    session: str
    token: str = field(repr=False)
    owner: int
    principal: Principal


class Socket(Peer, Protocol):
    """The connection of a live session; `server.live.wire.WireProtocol` is the usual one."""

    def finish(self, code: int, reason: str) -> None: ...


class Elsewhere(Protocol):
    """Contexts of a session that are not spoken to its client."""

    def take(self, message: frames.ClientMessage) -> bool:
        """Take a message, if it is for one of these."""
        ...

    def hush(self) -> None:
        """The client may not speak any more: nor does what it has said already."""
        ...

    def leave(self) -> None:
        """The client is gone."""
        ...


class Live:
    """One client's session on one connection. Ends by `leave`."""

    def __init__(
        self, machinery: Machinery, identity: Identity, session: Session, outbox: Outbox, socket: Socket
    ) -> None:
        self.id = identity.session
        self.owner = identity.owner
        self.token_hash = token_hash(identity.token)
        self.principal = identity.principal
        self.session = session
        self.last_message = time.monotonic()
        self.attached = True
        self.elsewhere: Elsewhere | None = None
        self._machinery = machinery
        self._outbox = outbox
        self._socket = socket
        self._turns = Turns()
        self._contexts: dict[int, LiveContext] = {}  # by channel
        self._finished: deque[LiveContext] = deque()
        self._forgotten: list[int] = []  # channels that the journal is to drop
        self._model = machinery.settings.default_model  # that it spoke with last

    def begin(self, ready: frames.Ready) -> None:
        """Say hello, and keep the session from now on."""
        self._outbox.put(text_wire(ready))
        self._outbox.flush()
        self._machinery.journal.watch(self)

    def restore(self, ready: frames.Ready, kept: dict[int, Kept], received: dict[str, int], now: float) -> None:
        """Go on with a session's contexts behind the frames `received`; what cannot go on exactly is said.

        Of two contexts with one name the later counts: the listener has heard of the end of the other.
        """
        messages: list[frames.ServerMessage] = []
        contexts = []
        latest = {each.plan.name: channel for channel, each in kept.items() if each.plan.name in received}
        for name, channel in latest.items():
            each = kept[channel]
            try:
                context = Context.restore(
                    each.plan, each.state, each.blocks, each.runs, received[name], now, time.time()
                )
            except Gone as error:
                messages.append(frames.Error.of(error, name))
            else:
                contexts.append((context, each))
        self._forgotten += kept.keys() - {context.plan.channel for context, _ in contexts}
        ready.contexts = {context.plan.name: frames.Accepted(context.accepted) for context, _ in contexts}
        self.begin(ready)
        for message in messages:
            self._outbox.put(text_wire(message))
        for context, each in contexts:
            self._go_on(context, each, now)
        self._outbox.flush()

    def _go_on(self, context: Context, kept: Kept, now: float) -> None:
        self._outbox.put(self.session.opened(context))
        live = self._register(context, kept)
        if context.over:  # it had ended before: say so again
            self._outbox.put((frames.TEXT_OPCODE, context.final))
            self._finish(live)
            return
        self.session.contexts[context.plan.name] = context
        self.pump(live, now)

    def confirm(self, principal: Principal) -> None:
        """Who it is was looked at again: what is opened from now on has the limits of now."""
        self.principal = principal
        self.session.limits = self._machinery.settings.limits_of(principal)

    # from the client

    def stir(self) -> None:
        """Hear that something comes: of a client without a context it is probably text."""
        if not self.session.contexts:
            self._machinery.pipeline.rouse(self._model)

    def receive(self, data: str) -> None:
        """Take one text message."""
        try:
            message = self._machinery.parser.client(data)
        except BadRequest as error:
            self.refuse(error)
        else:
            self.take(message)

    def take(self, message: frames.ClientMessage, key: str = "") -> None:
        """Take one message that was parsed. `key`: the id of the key under which usage has what it opens, if known."""
        self.last_message = time.monotonic()
        begins = message.context if isinstance(message, frames.Open) else ""
        self._turns.do(partial(self._take, message, key), begins)

    def _take(self, message: frames.ClientMessage, key: str) -> None:
        now = time.monotonic()
        if self.elsewhere is not None and self.elsewhere.take(message):
            return
        if isinstance(message, frames.Speak):
            self._machinery.pipeline.rouse(message.model or self._machinery.settings.default_model)
        self._run(self.session.receive(message, now))
        context = self.session.contexts.get(getattr(message, "context", ""))
        if context is not None:
            live = self._register(context, key=key)
            if isinstance(message, frames.Playhead):
                live.repace(now)
            self.pump(live, now)
        self._taken(now)

    def refuse(self, error: BadRequest) -> None:
        """Say that a message was not understood."""
        self.last_message = time.monotonic()
        self._turns.do(partial(self._refuse, error))

    def _refuse(self, error: BadRequest) -> None:
        self._run(self.session.refuse(error))
        self._taken(time.monotonic())

    def _taken(self, now: float) -> None:
        self._outbox.flush()
        if self._outbox.hopeless(now, self._machinery.settings.stall_s):  # it sends, and does not read the answers
            self.close(OverQuota("slow_consumer"))
        self._machinery.journal.touch(self)

    def receive_binary(self) -> None:
        """Refuse a binary message: only the server sends those."""
        self.refuse(BadRequest(problem="clients send text messages only"))

    def send(self, message: frames.ServerMessage) -> None:
        """Tell the client something now."""
        self._outbox.put(text_wire(message))
        self._outbox.flush()

    # from the clock and the engines

    def pump(self, live: LiveContext, now: float) -> None:
        """Send what is due of one context, and say when to come back."""
        context = live.context
        if not self.attached or context.over:
            return
        if self._outbox.blocked(now):
            if self._outbox.hopeless(now, self._machinery.settings.stall_s):
                self.close(OverQuota("slow_consumer"))
            else:
                self._machinery.ticker.schedule(live, now + BLOCKED_S)
            return
        sent = bool(context.timeline.ready)
        if sent:  # before anything is asked for: a sound waits for nothing
            self._send_due(live, now)
        while wanted := context.wanted(now):
            for making in wanted:
                if not context.over:  # an engine may have refused the block before
                    live.make(making)
            self._send_due(live, now)  # what is a clip is there at once, and more may be wanted then
            sent = True
        if not sent:
            self._send_due(live, now)
        if context.over:
            self._sweep()
        else:
            self._schedule(live, now)

    def _send_due(self, live: LiveContext, now: float) -> None:
        context = live.context
        self._outbox.put(*self.session.take(context, now))
        self._outbox.flush()
        live.bill.handed()
        if context.handed_over and not live.ending:
            live.ending = True
            self._machinery.meter.start(self._conclude(live))
        elif context.timeline.barred:
            self._run(self.session.fail(context, OverQuota("insufficient_credit")))
            self._outbox.flush()

    def rendered(self, live: LiveContext, index: int, slice: Slice) -> None:
        """An engine made a slice of block `index`."""
        more = bool(live.context.timeline.ready) and not slice.last  # than is on its way, and nothing to ask for
        live.context.rendered(index, slice, cached=False)
        if more:
            self._schedule(live, time.monotonic())
            self._machinery.journal.touch(self)
        else:
            self.paid(live)

    def paid(self, live: LiveContext) -> None:
        """There may be more to send of a context."""
        self.pump(live, time.monotonic())
        self._machinery.journal.touch(self)

    def fail(self, live: LiveContext, error: VoicewireError) -> None:
        """An engine gave up on a block, or nobody pays for it, and with it the context ends."""
        self._run(self.session.fail(live.context, error))
        self._outbox.flush()
        self._machinery.journal.touch(self)

    # the bill

    async def _conclude(self, live: LiveContext) -> None:
        """All was sent: `done` says what it cost and what is left."""
        live.context.balance_ms = await live.bill.close()
        live.context.settled = True
        self.paid(live)

    async def _end_cancelled(self, live: LiveContext, message: frames.Cancelled) -> None:
        try:
            await self._say_cancelled(live, message)
        finally:
            self._turns.ended(message.context)

    async def _say_cancelled(self, live: LiveContext, message: frames.Cancelled) -> None:
        if message.refunded_ms and not await live.bill.refund():
            message.billed_ms, message.refunded_ms = message.billed_ms + message.refunded_ms, 0
        message.balance_ms = await live.bill.close()
        live.context.final = frames.serialize(message)
        if self.attached:
            self._outbox.put((frames.TEXT_OPCODE, live.context.final))
            self._outbox.flush()
        self._machinery.journal.touch(self)

    # the actions of the state machine

    def _run(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(wire):
                    self._outbox.put(wire)
                case Drop(context, blocks):
                    self._register(context).drop(blocks)
                case Settle(context, message):
                    live = self._register(context)
                    live.ending = True
                    self._turns.ending(message.context)
                    self._machinery.meter.start(self._end_cancelled(live, message))
                case Close(error):
                    self.close(error)
        self._sweep()

    def _sweep(self) -> None:
        """Put contexts that ended aside."""
        if len(self._contexts) != len(self.session.contexts):
            for live in [live for live in self._contexts.values() if live.context.over]:
                self._finish(live)

    def _register(self, context: Context, kept: Kept | None = None, key: str = "") -> LiveContext:
        live = self._contexts.get(context.plan.channel)
        if live is None or live.context is not context:
            self._model = context.plan.model
            live = self._contexts[context.plan.channel] = LiveContext(self, self._machinery, context, kept, key)
            self._forget(lambda finished: finished.plan.name == context.plan.name)
        return live

    def _forget(self, done_with: Callable[[Context], bool]) -> None:
        """Have the journal drop contexts whose end did arrive, or is too long ago."""
        for finished in [live for live in self._finished if done_with(live.context)]:
            self._finished.remove(finished)
            self._forgotten.append(finished.context.plan.channel)

    def _schedule(self, live: LiveContext, now: float) -> None:
        if live.context.over:
            return
        due = live.context.due_at(now)
        if due != live.due:
            self._machinery.ticker.schedule(live, due)

    def _finish(self, live: LiveContext) -> None:
        """A context ended: it is kept a while, in case that its end did not arrive."""
        del self._contexts[live.context.plan.channel]
        live.due = math.inf
        if not live.ending:
            self._machinery.meter.start(live.bill.finish())
        self._machinery.observe(live.context)
        self._finished.append(live)
        if len(self._finished) > FINISHED_KEPT:
            oldest = self._finished[0].context
            self._forget(lambda finished: finished is oldest)

    # the end

    def close(self, error: VoicewireError) -> None:
        """Close the socket for a reason that the client is told; what can be resumed stays so."""
        self._outbox.flush()
        self._socket.finish(error.row.close, error.row_code)

    def expel(self, error: VoicewireError) -> None:
        """Close the socket of whoever may not speak any more, wherever it speaks."""
        self.send(frames.Error.of(error))
        if self.elsewhere is not None:
            self.elsewhere.hush()
        self.close(error)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for the peer to read."""
        return self._outbox.waiting_bytes

    def stop(self) -> None:
        """Nothing is sent any more. Blocks in the making are finished for the clips, without a listener."""
        if not self.attached:
            return
        self.attached = False
        self._turns.forget()
        if self.elsewhere is not None:
            self.elsewhere.leave()
        for live in self._contexts.values():
            live.leave()
            self._machinery.observe(live.context)

    async def leave(self, *, resumable: bool) -> None:
        """End: keep what a resume needs, or nothing when the client said goodbye."""
        self.stop()
        if resumable:
            await self._machinery.journal.leave(self)
        else:
            await self._machinery.journal.forget(self, [*self._contexts, *self._channels_kept()])
        self._contexts.clear()  # they know their session: left so, they would wait for the garbage collector
        self._finished.clear()
        self.elsewhere = None

    def _channels_kept(self) -> list[int]:
        return [*(live.context.plan.channel for live in self._finished), *self._forgotten]

    # the journal's view

    def record(self) -> Record:
        return Record(self.id, self.principal, self.session.channels)

    def entries(self, *, everything: bool) -> list[Entry]:
        found = (live.keeper.entry(everything=everything) for live in (*self._contexts.values(), *self._finished))
        return [*(entry for entry in found if entry), *map(Entry, self._forgotten)]

    def written(self) -> None:
        for live in (*self._contexts.values(), *self._finished):
            live.keeper.written()
        self._forgotten.clear()

    def fenced(self) -> None:
        self.stop()
        self._socket.finish(TABLE["resumed_elsewhere"].close, "resumed_elsewhere")
