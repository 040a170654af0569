"""What a gateway takes for granted of a caller, and when it asks."""

from __future__ import annotations

import pytest

from voicewire.auth.principal import Principal
from voicewire.server.standing import AMPLE_MS, CALLERS_MAX, FRESH_S, Standing
from voicewire.storage.rates import Taken

WANT_MS = 3_000


def caller(name: str) -> Principal:
    return Principal(name, "t_1", frozenset(), "key")


CALLER = caller("ada")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def standing(clock: Clock) -> Standing:
    return Standing(clock)


def test_a_stranger_is_asked_about(standing: Standing) -> None:
    assert not standing.ample(CALLER, WANT_MS)
    standing.credit(CALLER, 10 * AMPLE_MS)
    assert not standing.ample(CALLER, WANT_MS), "nobody has counted the requests"


def test_what_is_taken_for_granted_is_used_up(standing: Standing) -> None:
    standing.credit(CALLER, AMPLE_MS + 2 * WANT_MS)
    standing.counted(CALLER, None)
    assert [standing.ample(CALLER, WANT_MS) for _ in range(4)] == [True, True, False, False]
    standing.credit(CALLER, AMPLE_MS + WANT_MS)
    assert standing.ample(CALLER, WANT_MS)


def test_a_tenth_of_the_requests_is_kept_spare(standing: Standing) -> None:
    standing.credit(CALLER, 10 * AMPLE_MS)
    standing.counted(CALLER, Taken(allowed=True, limit=30, remaining=5))
    assert [standing.ample(CALLER, WANT_MS) for _ in range(4)] == [True, True, False, False]


@pytest.mark.parametrize("refused", ["credit", "request"])
def test_who_was_refused_is_asked_about(standing: Standing, refused: str) -> None:
    standing.credit(CALLER, 10 * AMPLE_MS)
    standing.counted(CALLER, None)
    if refused == "credit":
        standing.credit(CALLER, 0)
    else:
        standing.counted(CALLER, Taken(allowed=False))
    assert not standing.ample(CALLER, WANT_MS)


def test_what_was_said_long_ago_does_not_count(standing: Standing, clock: Clock) -> None:
    standing.credit(CALLER, 10 * AMPLE_MS)
    clock.now = FRESH_S
    standing.counted(CALLER, None)
    assert standing.ample(CALLER, WANT_MS)
    clock.now = FRESH_S + 1
    assert not standing.ample(CALLER, WANT_MS)


def test_callers_are_apart_and_the_oldest_are_forgotten(standing: Standing) -> None:
    standing.credit(CALLER, 10 * AMPLE_MS)
    standing.counted(CALLER, None)
    for number in range(CALLERS_MAX - 1):
        standing.credit(caller(f"p{number}"), 10 * AMPLE_MS)
    assert not standing.ample(caller("p0"), WANT_MS)
    assert standing.ample(CALLER, WANT_MS)
    standing.credit(caller("another"), 0)
    assert not standing.ample(CALLER, WANT_MS)
