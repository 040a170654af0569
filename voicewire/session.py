"""The protocol `voicewire.v1` as a state machine: message in → actions out. No clock, no socket, no await."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from msgspec import UNSET

from voicewire import frames
from voicewire.blocks import FIRST_CHARS
from voicewire.catalogue import Names, require_model
from voicewire.context import Context, Wire
from voicewire.errors import BadRequest, OverQuota, VoicewireError
from voicewire.plan import Plan
from voicewire.types import Format, WordTimes

BAD_MESSAGES_MAX = 16  # a client that keeps sending nonsense is closed with 4500
OPENING = frozenset({"open", "speak"})
CHANGING = frozenset({"text", "cancel"})
USUAL_FORMAT = Format()  # made once: to check one takes longer than to use it
RECENT_CONTEXTS = 64  # names for which a late `playhead` is no error


@dataclass(frozen=True, slots=True)
class Limits:
    """What one session may do."""

    contexts: int = 16
    text_chars: int = 10_000
    message_bytes: int = 65_536
    idle_s: int = 60
    lead_ms: int = 3_000
    lead_max_ms: int = 30_000
    prefetch_ms: int = 2_000
    first_wait_ms: int = 400
    resume_s: int = 60
    models: frozenset[str] | None = None  # None: all

    def within(self, contexts: int, text_chars: int, models: frozenset[str] | None) -> Limits:
        """These limits for a caller who may have no more than so many contexts and characters, and these models."""
        return replace(
            self, contexts=min(self.contexts, contexts), text_chars=min(self.text_chars, text_chars), models=models
        )

    def declared(self) -> frames.Limits:
        """The part that `ready` tells the client."""
        return frames.Limits(
            self.contexts, self.text_chars, self.message_bytes, self.idle_s, self.lead_ms, self.resume_s
        )


@dataclass(frozen=True, slots=True)
class Send:
    """Hand a message to the socket."""

    wire: Wire


@dataclass(frozen=True, slots=True)
class Drop:
    """Stop making these blocks: nobody will hear them."""

    context: Context
    blocks: Sequence[int]


@dataclass(frozen=True, slots=True)
class Settle:
    """Settle what a cancelled context cost, then say so by `message`, with what is left."""

    context: Context
    message: frames.Cancelled


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket with the close code of `error`."""

    error: VoicewireError


Action = Send | Drop | Settle | Close


def text_wire(message: frames.ServerMessage) -> Wire:
    """Return a message as the socket takes it."""
    return frames.TEXT_OPCODE, frames.serialize(message)


class Session:
    """The contexts of one client. `now` is the monotonic time in seconds."""

    def __init__(
        self, limits: Limits, catalogue: Names, first_chars: Callable[[str], int] = lambda _: FIRST_CHARS
    ) -> None:
        self.limits = limits
        self.contexts: dict[str, Context] = {}
        self.channels = 0  # ever opened
        self._catalogue = catalogue
        self._first_chars = first_chars  # of a model's first blocks, as long as it has time for
        self._recent: deque[str] = deque(maxlen=RECENT_CONTEXTS)
        self._bad_messages = 0

    # messages in

    def receive(self, message: frames.ClientMessage, now: float) -> list[Action]:
        """Take one message of the client's; then `take` of the context that it names, and what it wants."""
        receiver = RECEIVERS.get(type(message))
        if receiver is None:
            return self.refuse(BadRequest(problem="hello and resume are only first messages"))
        return receiver(self, message, now)

    def refuse(self, error: VoicewireError) -> list[Action]:
        """Answer a message that is not valid; the socket lives unless this goes on."""
        self._bad_messages += error.row_code == "bad_message"
        actions = self._blame(error)
        if self._bad_messages >= BAD_MESSAGES_MAX:
            actions.append(Close(BadRequest(problem="too many messages were not valid")))
        return actions

    def _blame(self, error: VoicewireError) -> list[Action]:
        """A context that would have a hole, or go on after its cancel, ends; one that is open is not opened again."""
        kind, name = (str(error.fields.get(field, "")) for field in ("type", "context"))
        context = self.contexts.get(name)
        if context is not None and kind in CHANGING:
            return self.fail(context, error)
        opens = context is None and kind in OPENING
        return [Send(text_wire(frames.Error.of(error, name if opens else "")))]

    def _open(self, message: frames.Open, now: float) -> list[Action]:
        return self._admit(message)[1]

    def _speak(self, message: frames.Speak, now: float) -> list[Action]:
        context, actions = self._admit(message)
        return actions + self._feed(context, message.text, now, end=True) if context else actions

    def _admit(self, message: frames.Open) -> tuple[Context | None, list[Action]]:
        """Open a context, or say why not. An open context of the same name goes on undisturbed."""
        name = message.context
        if name in self.contexts:
            return None, [Send(text_wire(frames.Error.of(BadRequest("duplicate_context", context=name))))]
        try:
            if len(self.contexts) >= self.limits.contexts:
                raise OverQuota("too_many_contexts", limit=self.limits.contexts)
            context = Context(self._plan(message))
        except VoicewireError as error:
            return None, [Send(text_wire(frames.Error.of(error, name)))]
        self.channels += 1
        self.contexts[name] = context
        return context, [Send(self.opened(context))]

    @staticmethod
    def opened(context: Context) -> Wire:
        """Return what a client is told of a context's grant."""
        plan = context.plan
        granted = frames.FormatGranted.of(plan.format)
        voice = (plan.model, plan.voice)
        phonemes = plan.phonemes or UNSET
        return text_wire(frames.Opened(plan.name, plan.channel, *voice, granted, plan.word_times, phonemes))

    def _plan(self, message: frames.Open) -> Plan:
        choice = self._catalogue.resolve(message.model, message.voice, message.language)
        if message.to:
            raise BadRequest("unknown_call", call=message.to)
        limits = self.limits
        require_model(limits.models, choice.model.id)
        lead_ms = limits.lead_ms if message.lead_ms is None else min(message.lead_ms, limits.lead_max_ms)
        return Plan(
            message.context,
            self._free_channel(),
            choice.model.id,
            choice.voice,
            choice.language,
            message.speed,
            message.seed,
            message.format.grant() if message.format else USUAL_FORMAT,
            message.words,
            message.offsets,
            lead_ms,
            limits.prefetch_ms,
            limits.first_wait_ms,
            choice.model.max_chars,
            limits.text_chars,
            self.channels,
            choice.model.words if message.words else WordTimes.NONE,
            self._first_chars(choice.model.id),
            message.phonemes and choice.model.phonemes,
        )

    def _free_channel(self) -> int:
        used = {context.plan.channel for context in self.contexts.values()}
        channel = self.channels
        while channel % 65_536 in used:
            channel += 1
        return channel % 65_536

    def _text(self, message: frames.Text, now: float) -> list[Action]:
        context = self.contexts.get(message.context)
        return self._feed(context, message.text, now) if context else self._unknown(message.context)

    def _feed(self, context: Context, text: str, now: float, *, end: bool = False) -> list[Action]:
        try:
            context.text(text, now)
        except BadRequest as error:
            return self.fail(context, error)
        if end:
            context.end()
        return []

    def _flush(self, message: frames.Flush, now: float) -> list[Action]:
        context = self.contexts.get(message.context)
        if context is None:
            return self._unknown(message.context)
        context.flush()
        return []

    def _end(self, message: frames.End, now: float) -> list[Action]:
        context = self.contexts.get(message.context)
        if context is None:
            return self._unknown(message.context)
        context.end()
        return []

    def _cancel(self, message: frames.Cancel, now: float) -> list[Action]:
        context = self.contexts.get(message.context)
        if context is None:
            return self._unknown(message.context)
        dropped = context.making()
        cancelled = context.cancel(message.played_ms)
        if context.settled:
            context.final = frames.serialize(cancelled)
            return self._finish(context, dropped)
        self._forget(context)
        return [Drop(context, dropped), Settle(context, cancelled)]

    def _playhead(self, message: frames.Playhead, now: float) -> list[Action]:
        context = self.contexts.get(message.context)
        if context is None:
            return [] if message.context in self._recent else self._unknown(message.context)
        context.playhead(message.played_ms, message.paused, now)
        return []

    def _ping(self, message: frames.Ping, now: float) -> list[Action]:
        return [Send(text_wire(frames.Pong()))]

    def _unknown(self, name: str) -> list[Action]:
        return [Send(text_wire(frames.Error.of(BadRequest("unknown_context", context=name))))]

    # what happens elsewhere

    def take(self, context: Context, now: float) -> list[Wire]:
        """The messages of a context that are due now."""
        wires = context.take(now, context.frames_at_once)
        if context.over:
            self._forget(context)
        return wires

    def fail(self, context: Context, error: VoicewireError) -> list[Action]:
        """End a context with an error; truncated audio never ends in `done`."""
        if context.over:
            return []
        dropped = context.making()
        context.over = True
        context.final = frames.serialize(frames.Error.of(error, context.plan.name))
        return self._finish(context, dropped)

    def _finish(self, context: Context, dropped: list[int]) -> list[Action]:
        self._forget(context)
        return [Drop(context, dropped), Send((frames.TEXT_OPCODE, context.final))]

    def _forget(self, context: Context) -> None:
        if self.contexts.get(context.plan.name) is context:
            del self.contexts[context.plan.name]
            self._recent.append(context.plan.name)


RECEIVERS: dict[type, Callable[..., list[Action]]] = {
    frames.Open: Session._open,
    frames.Speak: Session._speak,
    frames.Text: Session._text,
    frames.Flush: Session._flush,
    frames.End: Session._end,
    frames.Cancel: Session._cancel,
    frames.Playhead: Session._playhead,
    frames.Ping: Session._ping,
}
