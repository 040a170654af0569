"""Where the listener is: by the clock, by what they report, and never ahead of what was sent."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from voicewire.playhead import Playhead

RATE_HZ = 24_000


def started(now: float = 10.0) -> Playhead:
    playhead = Playhead(RATE_HZ)
    playhead.start(now)
    return playhead


def test_nothing_is_heard_before_the_first_frame() -> None:
    playhead = Playhead(RATE_HZ)
    assert playhead.heard(99.0, RATE_HZ) == 0
    assert playhead.reach(1, 99.0) == math.inf
    assert playhead.reach(0, 99.0) == 99.0


def test_the_clock_stands_for_a_listener_who_says_nothing() -> None:
    playhead = started(10.0)
    playhead.start(11.0)  # only the first frame starts it
    assert playhead.heard(10.5, RATE_HZ) == RATE_HZ // 2
    assert playhead.reach(RATE_HZ, 10.5) == 11.0


def test_a_listener_who_ran_dry_goes_on_where_they_stopped() -> None:
    playhead = started(10.0)
    assert playhead.heard(15.0, RATE_HZ) == RATE_HZ
    assert playhead.heard(15.5, 3 * RATE_HZ) == RATE_HZ * 3 // 2
    assert playhead.reach(2 * RATE_HZ, 15.5) == 16.0


def test_a_report_moves_the_listener_either_way_and_the_clock_goes_on_from_there() -> None:
    playhead = started(10.0)
    playhead.report(RATE_HZ, False, 10.5)
    assert playhead.heard(11.0, 9 * RATE_HZ) == RATE_HZ * 3 // 2
    playhead.report(0, False, 11.0)
    assert playhead.heard(11.5, 9 * RATE_HZ) == RATE_HZ // 2


def test_a_paused_listener_stands_still_until_they_say_otherwise() -> None:
    playhead = started(10.0)
    playhead.report(RATE_HZ, True, 11.0)
    assert playhead.paused
    assert playhead.heard(99.0, 9 * RATE_HZ) == RATE_HZ
    playhead.report(RATE_HZ, False, 99.0)
    assert playhead.heard(100.0, 9 * RATE_HZ) == 2 * RATE_HZ


def test_a_report_before_the_first_frame_counts_as_the_start() -> None:
    playhead = Playhead(RATE_HZ)
    playhead.report(0, False, 10.0)
    playhead.start(12.0)
    assert playhead.heard(11.0, RATE_HZ * 9) == RATE_HZ


@given(
    st.lists(
        st.tuples(st.floats(0, 5), st.integers(0, 5 * RATE_HZ), st.none() | st.integers(0, 2**31), st.booleans()),
        max_size=20,
    )
)
def test_nobody_hears_what_was_not_sent(steps: list[tuple[float, int, int | None, bool]]) -> None:
    playhead, now, sent = started(0.0), 0.0, 0
    for later_s, more, reported, paused in steps:
        now, sent = now + later_s, sent + more
        if reported is not None:
            playhead.report(reported, paused, now)
        assert 0 <= playhead.heard(now, sent) <= sent
