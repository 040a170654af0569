"""The utterances of a call: one name each, a bounded number, and whose turn it is."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from voicewire import frames
from voicewire.errors import BadRequest, OverQuota
from voicewire.server.telephony.playout import Track
from voicewire.server.telephony.utterance import Agent, Piece, Utterance
from voicewire.server.telephony.utterances import UTTERANCES_MAX, Utterances
from voicewire.types import Marks, Offsets


class Speaker:
    """Stands for a session that speaks into a call, and hears nothing."""

    tenant, key = "t_mine", ""

    def __init__(self, id: str) -> None:
        self.id = id


ONE, OTHER = (cast(Agent, Speaker(id)) for id in ("s_1", "s_2"))


def opened(utterances: Utterances, agent: Agent, context: str) -> Utterance:
    utterance = utterances.new(agent, frames.Open(context))
    utterances.add(utterance)
    return utterance


def test_a_name_is_an_agents_own_and_free_again_at_its_end() -> None:
    utterances = Utterances()
    first, other = opened(utterances, ONE, "a"), opened(utterances, OTHER, "a")
    assert (utterances.find(ONE, "a"), utterances.find(OTHER, "a")) == (first, other)
    with pytest.raises(BadRequest, match="already open"):
        utterances.new(ONE, frames.Open("a"))
    utterances.forget(first)
    with pytest.raises(BadRequest, match="no open context"):
        utterances.find(ONE, "a")
    assert opened(utterances, ONE, "a").name not in {first.name, other.name}


def test_there_are_so_many_and_no_more() -> None:
    utterances = Utterances()
    for number in range(UTTERANCES_MAX):
        opened(utterances, ONE, str(number))
    with pytest.raises(OverQuota):
        utterances.new(OTHER, frames.Open("a"))


def test_who_has_had_its_turn_is_there_until_its_agent_was_told() -> None:
    utterances = Utterances()
    first, second = opened(utterances, ONE, "a"), opened(utterances, ONE, "b")
    utterances.sounds_on(first, 3)
    assert utterances.on(3) is first
    assert [utterances.dequeue(first), utterances.dequeue(first)] == [True, False]
    assert (utterances.queue, first in utterances) == ([second], True)
    utterances.silence(first)
    assert utterances.on(3) is None
    utterances.forget(first)
    assert (first in utterances, [*utterances]) == (False, [second])


async def test_the_last_one_lets_go_who_waits_for_it() -> None:
    utterances = Utterances()
    await utterances.gone()  # there is none yet
    both = [opened(utterances, ONE, context) for context in "ab"]
    waiting = asyncio.create_task(utterances.gone())
    for each in both:
        await asyncio.sleep(0)
        assert not waiting.done()
        utterances.forget(each)
    await asyncio.wait_for(waiting, 30)


def test_what_waits_for_its_turn_is_bounded_by_its_text() -> None:
    utterance = Utterance("u0", ONE, "a", Marks.NONE, words=False, track=Track("u0"), offsets=Offsets.CODEPOINT)
    said: list[Piece] = [frames.Text("u0", "One."), frames.Flush("u0"), frames.Text("u0", "Two."), frames.End("u0")]
    utterance.wait(frames.Flush("u0"))
    for piece in said:
        for _ in range(1 if isinstance(piece, frames.Text) else 1_000):
            utterance.wait(piece)
            utterance.wait(frames.Text("u0", ""))
    utterance.wait(frames.Flush("u0"))
    assert utterance.waiting == said
    assert utterance.waiting_stop == len("One.Two.")
