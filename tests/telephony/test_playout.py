"""What a carrier has still to play, by a clock of the test's own."""

from __future__ import annotations

from voicewire.server.telephony.playout import MARKS_MAX, OVERDUE_S, Playout, Track


def test_what_was_heard_follows_the_clock_and_the_marks() -> None:
    playout, track = Playout(), Track("a")
    playout.sent(track, 1_000, 10.0)
    assert (playout.ahead_s(10.0), playout.played_ms(track, 10.4)) == (1.0, 400)
    name = playout.mark(track, 1_000, 10.0)
    playout.sent(track, 500, 10.0)
    assert playout.played_ms(track, 11.4) == 1_000  # the mark has yet to come back
    assert playout.played_ms(track, 11.0 + OVERDUE_S) == 1_500  # it is too late to say anything
    mark = playout.marked(name)
    assert mark is not None
    assert (mark.at_ms, playout.played_ms(track, 11.4)) == (1_000, 1_400)
    assert playout.marked(name) is None


def test_the_end_of_one_and_the_beginning_of_the_next() -> None:
    playout, first, second = Playout(), Track("a"), Track("b")
    playout.sent(first, 300, 0.0)
    playout.sent(second, 300, 0.1)
    assert (playout.played_ms(first, 0.2), playout.played_ms(second, 0.2)) == (200, 0)
    assert (playout.played_ms(first, 0.5), playout.played_ms(second, 0.5)) == (300, 200)
    playout.sent(second, 100, 5.0)  # it had run dry
    assert (round(playout.ahead_s(5.0), 6), playout.played_ms(second, 5.05)) == (0.1, 350)


def test_after_a_clear_no_mark_says_anything() -> None:
    playout, track = Playout(), Track("a")
    playout.sent(track, 1_000, 0.0)
    name = playout.mark(track, 500, 0.0)
    playout.clear(0.2)
    assert (playout.ahead_s(0.2), playout.marked(name)) == (0.0, None)
    assert playout.mark(track, 1, 0.3) != name


def test_a_carrier_that_knows_no_marks_is_asked_for_no_more() -> None:
    playout, track = Playout(), Track("a")
    names = [playout.mark(track, number, 0.0) for number in range(MARKS_MAX + 1)]
    assert all(names[:-1])
    assert not names[-1]
