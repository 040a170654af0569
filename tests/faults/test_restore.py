"""What a journal may have lost: a context goes on exactly, or is gone, and never says less or more than it did."""

from __future__ import annotations

import pytest

from tests.made import make
from tests.test_context_restore import Kept, finish, frames_of, plan
from voicewire.context import Context
from voicewire.errors import Gone
from voicewire.frames import Done, Parser

TEXT = "One two three. Four five. Six seven eight. Nine ten."


def made(text: str) -> tuple[Context, Kept]:
    """A context of which all was sent, and a journal that saw nothing but its text."""
    context = Context(plan())
    kept = Kept(context)
    context.text(text, 0.0)
    context.end()
    kept.write()
    make(context, 0.0)
    return context, kept


@pytest.mark.parametrize("received", [0, 40, 41, 42, 90, 130, 155])
def test_frames_that_no_journal_saw_are_made_again_over_many_blocks(received: int) -> None:
    whole = frames_of(finish(Context(plan()), [TEXT], 0.0))
    _, kept = made(TEXT)
    assert kept.state.seq == 0
    rest = finish(kept.restore(received), [], 9.0)
    assert frames_of(rest) == whole[received + 1 :]


def test_text_that_no_journal_saw_is_not_spoken_twice() -> None:
    whole = frames_of(finish(Context(plan()), [TEXT], 0.0))
    kept = Kept(Context(plan()))
    rest = finish(kept.restore(60), [TEXT], 9.0)
    assert frames_of(rest) == whole[61:]


def test_a_continued_context_can_be_continued_again() -> None:
    whole = frames_of(finish(Context(plan()), [TEXT], 0.0))
    _, kept = made(TEXT)
    again = Kept(kept.restore(60))
    again.blocks += kept.blocks
    make(again.context, 9.0)
    again.write()
    rest = finish(again.restore(60), [], 10.0)
    assert frames_of(rest) == whole[61:]


@pytest.mark.parametrize("index", [1, -1])
def test_a_run_that_redis_lost_is_never_a_hole(index: int) -> None:
    _, kept = made(TEXT)
    kept.write()
    assert len(kept.runs) > 3
    del kept.runs[index]
    with pytest.raises(Gone):
        kept.restore(-1)


def test_a_block_that_redis_lost_is_never_a_hole() -> None:
    _, kept = made(TEXT)
    del kept.blocks[-1]
    with pytest.raises(Gone):
        kept.restore(-1)


def test_what_was_heard_is_known_without_the_runs_that_were_let_go() -> None:
    context, kept = made(TEXT)
    frames = frames_of(context.take(0.0, 10_000))
    kept.write()
    kept.runs = kept.runs[-1:]
    restored = kept.restore(len(frames) - 1)
    assert restored.cancel(200).heard == (0, kept.runs[0].start)
    assert kept.restore(len(frames) - 1).cancel(None).heard == (0, len(TEXT))


def test_what_was_heard_is_known_of_blocks_made_twice() -> None:
    _, kept = made(TEXT)
    restored = kept.restore(60)
    again = Kept(restored)
    again.blocks += kept.blocks
    make(restored, 9.0)
    again.write()
    third = again.restore(60)
    make(third, 10.0)
    whole = Context(plan())
    finish(whole, [TEXT], 0.0)
    assert third.cancel(20 * 50).heard == whole.cancel(20 * 50).heard


def test_a_first_clause_is_hurried_after_a_resume_too() -> None:
    context = Context(plan())
    kept = Kept(context)
    context.text("some words that do not come to an end", 0.0)
    kept.write()
    restored = kept.restore(-1)
    assert not restored.wanted(9.0)
    assert restored.due_at(9.0) == pytest.approx(9.4)
    assert restored.wanted(9.5)


def test_the_time_to_first_audio_counts_from_the_resume() -> None:
    context = Context(plan())
    kept = Kept(context)
    context.text(TEXT, 0.0)
    kept.write()
    done = Parser().server(finish(kept.restore(-1), [], 9.0)[-1][1])
    assert isinstance(done, Done)
    assert done.first_audio_ms == 0
