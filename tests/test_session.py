"""The protocol as a state machine: messages and makings in any order, and what a client then gets."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.made import FRAMES_PER_CHAR, make, slices
from voicewire import frames
from voicewire.catalogue import Catalogue
from voicewire.context import Context
from voicewire.errors import BadRequest, EngineFailed
from voicewire.frames import BINARY_OPCODE, AudioFrames, Parser, ServerMessage, unpack_audio
from voicewire.session import Action, Drop, Limits, Send, Session
from voicewire.types import Codec, Model, Offsets, Slice, Voice

PARSER = Parser()
CATALOGUE = Catalogue(
    [
        (
            Model("m", "Model", 24_000, "v", max_chars=200),
            [Voice("v", "Vera", "m", "en-US"), Voice("w", "Willi", "m", "de-DE")],
        )
    ],
    "m",
)
TEXT = "It costs $4.50, doesn't it? Yes, it does. 👍 And “quotes” too.\n\nThen, at last, an end."


def session(limits: Limits | None = None) -> Session:
    return Session(limits or Limits(), CATALOGUE)


def sent(actions: list[Action]) -> list[ServerMessage | AudioFrames]:
    """What a client gets of `actions`."""
    return [parse(*action.wire) for action in actions if isinstance(action, Send)]


def parse(opcode: int, payload: bytes) -> ServerMessage | AudioFrames:
    return unpack_audio(payload) if opcode == BINARY_OPCODE else PARSER.server(payload)


def pump(one: Session, context: Context, now: float) -> list[ServerMessage | AudioFrames]:
    """Make what the context wants by now, at once, and return what the client gets."""
    make(context, now)
    return [parse(*wire) for wire in one.take(context, now)]


def tell(one: Session, message: frames.ClientMessage, now: float) -> list[ServerMessage | AudioFrames]:
    """Say something, as a connection does: what the message is answered with, then what its context has to say."""
    got = sent(one.receive(message, now))
    context = one.contexts.get(getattr(message, "context", ""))
    return got + (pump(one, context, now) if context else [])


def play(one: Session, name: str, now: float = 0.0) -> Iterator[ServerMessage | AudioFrames]:
    """Let time pass until the context is over."""
    for _ in range(100_000):
        context = one.contexts.get(name)
        if context is None:
            return
        yield from pump(one, context, now)
        now = max(now + 0.001, min(context.due_at(now), now + 1))
    raise AssertionError("it never ended")


def speak(one: Session, text: str = TEXT, **fields: object) -> list[ServerMessage | AudioFrames]:
    message = frames.Speak("c", text=text, **fields)  # type: ignore[arg-type]
    return [*tell(one, message, 0.0), *play(one, "c")]


def test_an_utterance_from_open_to_done() -> None:
    got = speak(session())
    assert isinstance(got[0], frames.Opened)
    assert isinstance(got[-1], frames.Done)
    audio = [each for each in got if isinstance(each, AudioFrames)]
    blocks = [each for each in got if isinstance(each, frames.BlockStart)]
    assert [each.seq for each in audio] == list(range(len(audio)))
    assert [each.pts for each in audio] == [480 * number for number in range(len(audio))]
    assert [b"".join(each.packets) for each in audio] == [
        f"{block.span[0]}:{n}".encode()
        for block in blocks
        for n in range(FRAMES_PER_CHAR * (block.span[1] - block.span[0]))
    ]
    assert "".join(TEXT[a:b] for a, b in (block.span for block in blocks)) == TEXT
    assert got[-1].audio_ms == 20 * len(audio) == got[-1].billed_ms
    assert audio[-1].flags == frames.LAST_OF_CONTEXT
    assert sum(each.flags & frames.FIRST_OF_BLOCK for each in audio) == len(blocks) == got[-1].blocks


@pytest.mark.parametrize("offsets", Offsets)
def test_words_come_before_their_audio_and_name_the_clients_own_text(offsets: Offsets) -> None:
    got = speak(session(), offsets=offsets)
    unit = {Offsets.CODEPOINT: "utf-32-le", Offsets.UTF16: "utf-16-le", Offsets.UTF8: "utf-8"}[offsets]
    width = {Offsets.CODEPOINT: 4, Offsets.UTF16: 2, Offsets.UTF8: 1}[offsets]
    raw, heard_ms, words = TEXT.encode(unit), 0, []
    for each in got:
        if isinstance(each, AudioFrames):
            heard_ms = (each.pts + 480) // 24
        elif isinstance(each, frames.Words):
            assert all(begins >= heard_ms for _, _, begins, _ in each.words)
            words += [raw[a * width : b * width].decode(unit) for a, b, _, _ in each.words]
    assert words == [
        "It",
        "costs",
        "$4.50",
        "doesn't",
        "it",
        "Yes",
        "it",
        "does",
        "👍",
        "And",
        "quotes",
        "too",
        "Then",
        "at",
        "last",
        "an",
        "end",
    ]


def test_no_words_for_those_who_do_not_want_them() -> None:
    assert not [each for each in speak(session(), words=False) if isinstance(each, frames.Words)]


@pytest.mark.parametrize("bundle", [1, 2, 5, 50])
def test_a_bundle_holds_the_same_frames(bundle: int) -> None:
    got = speak(session(), format=frames.FormatRequest(Codec.OPUS, bundle=bundle))
    audio = [each for each in got if isinstance(each, AudioFrames)]
    plain = [each for each in speak(session()) if isinstance(each, AudioFrames)]
    assert [packet for each in audio for packet in each.packets] == [each.packets[0] for each in plain]
    assert all(len(each.packets) <= bundle for each in audio)
    assert any(len(each.packets) == bundle for each in audio) or bundle > 20
    assert [each.seq for each in audio] == [sum(len(e.packets) for e in audio[:n]) for n in range(len(audio))]


def test_audio_stays_within_the_lead() -> None:
    one = session()
    got = tell(one, frames.Speak("c", text=TEXT * 5, lead_ms=980), 0.0)
    assert sum(isinstance(each, AudioFrames) for each in got) == 49
    context = one.contexts["c"]
    assert context.due_at(0.0) == pytest.approx(0.02)
    for now, frames_more in ((0.019, 0), (0.02, 1), (0.1, 4), (0.1, 0)):
        assert sum(isinstance(each, AudioFrames) for each in pump(one, context, now)) == frames_more
    got = tell(one, frames.Playhead("c", 500), 0.1)
    assert sum(isinstance(each, AudioFrames) for each in got) == (500 - 100) // 20


@pytest.mark.parametrize(
    ("lead_ms", "bundle", "frames_each"),
    [(1_000, 1, 8), (2_100, 5, 15), (2_999, 1, 24), (3_000, 1, 50), (3_000, 5, 50), (3_000, 10, 50), (30_000, 1, 50)],
)
def test_those_who_are_far_ahead_get_much_of_it_at_once(lead_ms: int, bundle: int, frames_each: int) -> None:
    one = session()
    spoken = frames.Speak("c", text=TEXT * 30, lead_ms=lead_ms, format=frames.FormatRequest(bundle=bundle))
    sent = count_of(tell(one, spoken, 0.0))
    context = one.contexts["c"]
    while more := count_of(pump(one, context, 0.0)):
        sent += more
    assert 0 <= lead_ms // 20 - sent < bundle
    now, counts = 0.0, []
    for _ in range(5):
        now = context.due_at(now)
        counts.append(count_of(pump(one, context, now + 0.001)))
    assert max(counts) == frames_each, "what is left of a block that is sent to its end may be less"
    assert counts.count(frames_each) > 1


def count_of(got: Sequence[object]) -> int:
    return sum(len(each.packets) for each in got if isinstance(each, AudioFrames))


def test_a_paused_context_is_parked() -> None:
    one = session()
    tell(one, frames.Speak("c", text=TEXT * 5, lead_ms=1_000), 0.0)
    context = one.contexts["c"]
    tell(one, frames.Playhead("c", 500, paused=True), 1.0)
    assert not pump(one, context, 100.0)
    assert context.due_at(100.0) == float("inf")
    got = tell(one, frames.Playhead("c", 500), 100.0)
    assert sum(isinstance(each, AudioFrames) for each in got) == 25
    assert isinstance([*play(one, "c", 100.0)][-1], frames.Done)


def test_the_first_clause_does_not_wait_for_ever() -> None:
    one = session(Limits(first_wait_ms=400))
    one.receive(frames.Open("c"), 0.0)
    tell(one, frames.Text("c", "An answer that a model writes word by word and never"), 1.0)
    context = one.contexts["c"]
    assert context.due_at(1.0) == pytest.approx(1.4)
    assert not pump(one, context, 1.3)
    assert any(isinstance(each, AudioFrames) for each in pump(one, context, 1.41))


def test_an_empty_text_is_done_at_once() -> None:
    for text in ("", "  \n "):
        got = speak(session(), text)
        assert isinstance(got[-1], frames.Done)
        assert (got[-1].audio_ms, got[-1].first_audio_ms) == (0, None)


CANCELS = [(0, ""), (None, "It costs $4.50"), (40, "It"), (10_000, "It costs $4.50")]


@pytest.mark.parametrize(("played_ms", "heard"), CANCELS)
def test_cancel_says_what_was_heard(played_ms: float | None, heard: str) -> None:
    one = session()
    one.receive(frames.Open("c", lead_ms=840), 0.0)
    tell(one, frames.Text("c", TEXT), 0.0)
    dropped, *rest = one.receive(frames.Cancel("c", played_ms), 0.0)
    assert isinstance(dropped, Drop)
    [cancelled] = sent(rest)
    assert isinstance(cancelled, frames.Cancelled)
    assert TEXT[slice(*cancelled.heard)] == heard
    assert TEXT[slice(*cancelled.unheard)] == TEXT[len(heard) :]
    played = min(840, 840 if played_ms is None else played_ms)
    assert (cancelled.played_ms, cancelled.billed_ms, cancelled.refunded_ms) == (played, played, 840 - played)


def test_what_was_heard_to_the_end_is_all_of_it() -> None:
    one = session()
    tell(one, frames.Open("c"), 0.0)
    tell(one, frames.Text("c", "One. Two."), 0.0)
    tell(one, frames.Flush("c"), 0.0)
    context = one.contexts["c"]
    assert context.sent
    [_, answer] = one.receive(frames.Cancel("c"), 1.0)
    [cancelled] = sent([answer])
    assert isinstance(cancelled, frames.Cancelled)
    assert cancelled.heard == (0, 8)


class Chaos:
    """Slices, clock, messages and cancels of three contexts in any order; checks each message on its way."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.session = session()
        self.now = 0.0
        self.makings: list[tuple[Context, int, Slice]] = []
        self.over: set[str] = set()
        for name in "abc":
            lead_ms = chance.choice([0, 500, 60_000])
            self.carry_out(self.session.receive(frames.Speak(name, text=TEXT, lead_ms=lead_ms), self.now))

    def step(self) -> None:
        self.now += self.chance.choice([0.0, 0.001, 0.3])
        name = self.chance.choice("abc")
        match self.chance.randrange(4):
            case 0 if self.makings:
                context, index, slice = self.makings.pop(0)
                context.rendered(index, slice, cached=False)
                self.pump(context)
            case 1 if name in self.session.contexts:
                self.pump(self.session.contexts[name])
            case 2:
                played = frames.Playhead(name, self.chance.randrange(2_000), self.chance.random() < 0.3)
                self.carry_out(self.session.receive(played, self.now))
            case 3 if self.chance.random() < 0.3:
                cancel = frames.Cancel(name, self.chance.choice([None, 100]))
                self.carry_out(self.session.receive(cancel, self.now))

    def pump(self, context: Context) -> None:
        if context.over:
            return
        for making in context.wanted(self.now):
            made = slices(making.block, context.plan.format)
            self.makings += [(context, making.index, each) for each in made]
        for wire in self.session.take(context, self.now):
            self.check(parse(*wire))

    def carry_out(self, actions: list[Action]) -> None:
        for message in sent(actions):
            self.check(message)

    def check(self, message: ServerMessage | AudioFrames) -> None:
        if isinstance(message, frames.Error):
            return
        owner = "abc"[message.channel] if isinstance(message, AudioFrames) else getattr(message, "context", "")
        assert owner not in self.over
        if isinstance(message, frames.Cancelled | frames.Done):
            self.over.add(owner)


@pytest.mark.parametrize("examples", [80, pytest.param(1_000, marks=pytest.mark.nightly)])
def test_nothing_follows_cancelled(examples: int) -> None:
    settings(max_examples=examples, deadline=None)(given(st.randoms(use_true_random=False))(everything_in_order))()


def everything_in_order(chance: random.Random) -> None:
    chaos = Chaos(chance)
    for _ in range(60):
        chaos.step()


def test_an_engine_that_fails_ends_its_context_only() -> None:
    one = session()
    tell(one, frames.Open("a"), 0.0)
    tell(one, frames.Open("b"), 0.0)
    [_, answer] = one.fail(one.contexts["a"], EngineFailed())
    [error] = sent([answer])
    assert isinstance(error, frames.Error)
    assert (error.code, error.context, list(one.contexts)) == ("engine_failed", "a", ["b"])


REFUSED = [
    (frames.Open("c", model="x"), "unknown_model", "c"),
    (frames.Open("c", voice="x"), "unknown_voice", "c"),
    (frames.Open("c", language="xx"), "unknown_voice", "c"),
    (frames.Open("c", format=frames.FormatRequest(Codec.OPUS, 44_100)), "unsupported_format", "c"),
    (frames.Speak("c", text="x" * 10_001), "text_too_long", "c"),
    (frames.Open("used"), "duplicate_context", msgspec.UNSET),
    (frames.Text("x", "hi"), "unknown_context", msgspec.UNSET),
    (frames.Flush("x"), "unknown_context", msgspec.UNSET),
    (frames.End("x"), "unknown_context", msgspec.UNSET),
    (frames.Cancel("x"), "unknown_context", msgspec.UNSET),
    (frames.Playhead("x", 0), "unknown_context", msgspec.UNSET),
    (frames.Hello("t"), "bad_message", msgspec.UNSET),
]


@pytest.mark.parametrize(("message", "code", "context"), REFUSED)
def test_what_cannot_be_done_is_said(message: frames.ClientMessage, code: str, context: object) -> None:
    one = session()
    one.receive(frames.Open("used"), 0.0)
    error = tell(one, message, 0.0)[-1]
    assert isinstance(error, frames.Error)
    assert (error.code, error.context) == (code, context)
    assert list(one.contexts) == ["used"]


def refused(one: Session, message: str) -> list[ServerMessage | AudioFrames]:
    """Say something with a wrong value in it."""
    with pytest.raises(BadRequest) as error:
        PARSER.client(message)
    return sent(one.refuse(error.value))


@pytest.mark.parametrize("kind", ["open", "speak"])
@pytest.mark.parametrize(
    ("field", "code"),
    [
        ('"speed":9', "bad_message"),
        ('"offsets":"utf7"', "bad_message"),
        ('"language":7', "bad_message"),
        ('"format":7', "bad_message"),
        ('"format":{"codec":"mp3"}', "unsupported_format"),
        ('"format":{"rate":"fast"}', "unsupported_format"),
        ('"format":{"bundle":null}', "unsupported_format"),
    ],
)
def test_what_opens_no_context_for_a_wrong_value_says_which(kind: str, field: str, code: str) -> None:
    one = session()
    [error] = refused(one, f'{{"type":"{kind}","context":"c",{field}}}')
    assert isinstance(error, frames.Error)
    assert (error.code, error.context) == (code, "c")
    assert not one.contexts


@pytest.mark.parametrize(
    ("message", "context", "left"),
    [
        ('{"type":"text","context":"c","text":7}', "c", False),
        ('{"type":"cancel","context":"c","played_ms":-1}', "c", False),
        ('{"type":"playhead","context":"c","played_ms":-1}', msgspec.UNSET, True),
        ('{"type":"open","context":"c","speed":9}', msgspec.UNSET, True),
        ('{"type":"sing","context":"c"}', msgspec.UNSET, True),
        ('{"type":"text","context":"other","text":7}', msgspec.UNSET, True),
    ],
)
def test_a_wrong_value_ends_a_context_that_would_not_be_what_was_meant(
    message: str, context: object, left: bool
) -> None:
    one = session()
    one.receive(frames.Open("c"), 0.0)
    [error] = refused(one, message)
    assert isinstance(error, frames.Error)
    assert (error.code, error.context) == ("bad_message", context)
    assert ("c" in one.contexts) is left


def test_a_late_playhead_of_a_finished_context_is_no_error() -> None:
    one = session()
    speak(one, "Hi.")
    assert not one.receive(frames.Playhead("c", 10), 9.0)


def test_voices_go_by_name_and_language_too() -> None:
    one = session()
    for number, fields in enumerate(({"voice": "willi"}, {"language": "de"}, {"voice": "W", "model": "m"})):
        [opened] = sent(one.receive(frames.Open(f"c{number}", **fields), 0.0))  # type: ignore[arg-type]
        assert isinstance(opened, frames.Opened)
        assert (opened.model, opened.voice, opened.channel) == ("m", "w", number)
