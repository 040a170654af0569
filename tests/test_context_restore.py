"""A context continued elsewhere: whatever was made, sent or lost by then, the frames are those of the uncut run."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.made import slices
from voicewire.context import Context, Wire
from voicewire.errors import Gone
from voicewire.frames import BINARY_OPCODE, Done, Parser, Phonemes, unpack_audio
from voicewire.plan import Plan, State
from voicewire.script import Tape
from voicewire.timeline import Run
from voicewire.types import Block, Format, Offsets

PIECES = ("Hello there. ", "It is $4.50, ", "👍 ", "**bold** and\n\n", "no end ", "Dr. No. ")


def plan(lead_ms: int = 600_000) -> Plan:
    spoken = ("m", "v", "en", 1.0, None, Format(), True, Offsets.UTF16)
    return Plan("c", 3, *spoken, lead_ms, 600_000, 400, 200, 10_000, phonemes=True)


class Kept:
    """A journal in memory: what `Context.restore` is given."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.blocks: list[Block] = []
        self.runs: list[Run] = []
        self.state = context.state(0.0, 0.0)

    def write(self) -> None:
        changes = self.context.drain_changes()
        self.blocks += changes.blocks
        self.runs += msgspec.msgpack.decode(msgspec.msgpack.encode(changes.runs), type=list[Run])
        self.state = msgspec.msgpack.decode(msgspec.msgpack.encode(self.context.state(0.0, 1_000.0)), type=State)

    def restore(self, received: int) -> Context:
        return Context.restore(self.context.plan, self.state, self.blocks, self.runs, received, 9.0, 1_009.0)


def make_some(context: Context, now: float, slices_max: int) -> None:
    """Make at most so many slices of what is wanted; the rest is lost with the gateway."""
    for making in context.wanted(now):
        for slice in slices(making.block, context.plan.format)[:slices_max]:
            context.rendered(making.index, slice, cached=False)
            slices_max -= 1


def finish(context: Context, texts: list[str], now: float) -> list[Wire]:
    out: list[Wire] = []
    for text in texts:
        context.text(text, now)
    context.end()
    for _ in range(10_000):
        if context.over:
            return out
        make_some(context, now, 10_000)
        out += context.take(now, 50)
        now += 0.5
    raise AssertionError("it never ended")


def frames_of(wires: list[Wire]) -> list[tuple[int, int, int, bytes]]:
    parsed = [unpack_audio(payload) for opcode, payload in wires if opcode == BINARY_OPCODE]
    return [(each.channel, each.seq, each.pts, packet) for each in parsed for packet in each.packets]


def phonemes_of(*parts: list[Wire]) -> list[tuple[str, int, int]]:
    """What a client keeps of the phonemes that it is told over several connections."""
    tape = Tape()
    told = [Parser().server(payload) for wires in parts for opcode, payload in wires if opcode != BINARY_OPCODE]
    news = [tape.phonemes(message) for message in told if isinstance(message, Phonemes)]
    return [phoneme for message in news if message for phoneme in message.phonemes]


def until(wires: list[Wire], frame: int) -> list[Wire]:
    """What came up to this frame."""
    frames = [index for index, (opcode, _) in enumerate(wires) if opcode == BINARY_OPCODE]
    return wires[: frames[frame] + 1] if frame >= 0 else []


def test_a_restored_context_says_again_what_may_be_lost() -> None:
    context = Context(plan())
    kept = Kept(context)
    finish(context, ["One two three. Four five."], 0.0)
    kept.write()
    wires = kept.restore(received=40).take(9.0, 10_000)
    messages = [Parser().server(payload) for opcode, payload in wires if opcode != BINARY_OPCODE]
    assert [type(each).__name__ for each in messages] == ["BlockStart", "Words", "Phonemes", "Phonemes", "Done"]
    assert frames_of(wires)[0][1] == 41


@given(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=12),
    st.integers(0, 12),
    st.integers(0, 4),
    st.integers(0, 40),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def restored_anywhere(
    texts: list[str], arrived: int, slices_made: int, lost: int, late: bool, chance: random.Random
) -> None:
    uncut = finish(Context(plan()), texts, 0.0)
    whole = frames_of(uncut)
    context = Context(plan())
    kept, got = Kept(context), []
    for text in texts[:arrived]:
        context.text(text, 0.0)
        make_some(context, 0.0, chance.randint(0, slices_made))
        got += context.take(0.0, chance.randint(1, 30))
        kept.write()
    if late:  # sent, and not yet in the journal when the gateway died
        make_some(context, 0.0, slices_made)
        got += context.take(0.0, 50)
    received = max(-1, len(frames_of(got)) - 1 - lost)
    restored = kept.restore(received)
    assert restored.accepted == len("".join(texts[:arrived]).encode("utf-16-le")) // 2
    rest = finish(restored, texts[arrived:], 9.0)
    assert frames_of(got)[: received + 1] + frames_of(rest) == whole
    assert phonemes_of(until(got, received), rest) == phonemes_of(uncut)
    done = Parser().server(rest[-1][1])
    assert isinstance(done, Done)
    assert done.audio_ms == done.billed_ms == 20 * len(whole)


@pytest.mark.parametrize("examples", [150, pytest.param(2_000, marks=pytest.mark.nightly)])
def test_restored_anywhere_it_gives_the_frames_of_the_uncut_run(examples: int) -> None:
    settings(max_examples=examples, deadline=None)(restored_anywhere)()


def test_what_the_journal_no_longer_has_is_gone() -> None:
    context = Context(plan())
    kept = Kept(context)
    finish(context, ["One two three. Four five."], 0.0)
    kept.write()
    kept.runs = kept.runs[2:]
    with pytest.raises(Gone):
        kept.restore(received=3)
    kept.blocks = kept.blocks[1:]
    with pytest.raises(Gone):
        kept.restore(received=10_000)


def test_frames_that_never_were_are_not_continued() -> None:
    context = Context(plan(lead_ms=3_000))
    kept = Kept(context)
    context.text("One two three. Four five.", 0.0)
    make_some(context, 0.0, 10)
    kept.write()
    made = context.timeline.seq
    assert not kept.restore(received=made + 600).over, "the journal may be behind"
    with pytest.raises(Gone):
        kept.restore(received=made + 700)
    finish(context, [], 0.0)
    kept.write()
    made = context.timeline.seq
    assert not kept.restore(received=made - 1).over
    with pytest.raises(Gone):
        kept.restore(received=made)


def test_a_paused_context_stays_paused() -> None:
    context = Context(plan(lead_ms=500))
    kept = Kept(context)
    context.text("One two three. Four five. Six seven eight.", 0.0)
    make_some(context, 0.0, 100)
    context.take(0.0, 100)
    context.playhead(200, True, 1.0)
    kept.write()
    restored = kept.restore(received=10)
    assert restored.parked
    assert not restored.take(99.0, 100)
    restored.playhead(200, False, 99.0)
    assert frames_of(restored.take(99.0, 100))[0][1] == 11


def test_what_was_sent_does_not_count_as_heard() -> None:
    context = Context(plan(lead_ms=900))
    kept = Kept(context)
    context.text("One two three. Four five. Six seven eight nine ten. And more of it, on and on.", 0.0)
    context.flush()
    for _ in range(3):
        make_some(context, 0.0, 100)
    assert len(frames_of(context.take(0.0, 100))) == 45
    context.playhead(300, False, 0.0)
    kept.state = context.state(0.0, 1_000.0)
    changes = context.drain_changes()
    kept.blocks, kept.runs = changes.blocks, changes.runs
    restored = kept.restore(received=44)  # nine seconds later: all of it was heard
    assert len(frames_of(restored.take(9.0, 100))) == 45
    kept.state = context.state(0.0, 1_008.8)  # 200 ms later
    restored = kept.restore(received=44)
    assert len(frames_of(restored.take(9.0, 100))) == (300 + 200) // 20
