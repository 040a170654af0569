"""What a client says in its turn."""

from __future__ import annotations

from functools import partial

from voicewire.server.live.turns import WAITING_MAX, Turns


def test_what_begins_a_name_again_waits_for_its_end_and_all_behind_it_too() -> None:
    turns, done = Turns(), list[str]()
    turns.ending("a")
    turns.do(lambda: done.append("text of b"))
    turns.do(lambda: done.append("a again"), "a")
    turns.do(lambda: done.append("b again"), "b")
    assert done == ["text of b"]
    turns.ended("b")
    assert done == ["text of b"]
    turns.ended("a")
    assert done == ["text of b", "a again", "b again"]


def test_what_waits_may_end_a_name_itself() -> None:
    turns, done = Turns(), list[str]()

    def again() -> None:
        done.append("a")
        turns.ending("a")

    turns.ending("a")
    for _ in range(3):
        turns.do(again, "a")
    for count in (1, 2, 3):
        turns.ended("a")
        assert len(done) == count


def test_who_says_too_much_meanwhile_is_heard_out_of_turn() -> None:
    turns, done = Turns(), list[int]()
    turns.ending("a")
    for number in range(WAITING_MAX + 2):
        turns.do(partial(done.append, number), "a")
    assert done == [0, 1]


def test_who_is_gone_is_not_heard() -> None:
    turns, done = Turns(), list[int]()
    turns.ending("a")
    turns.do(lambda: done.append(1), "a")
    turns.forget()
    turns.ended("a")
    assert done == []
