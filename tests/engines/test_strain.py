from __future__ import annotations

import pytest

from voicewire.engines.strain import PAUSES, QUICK, WINDOW_S, Strain


@pytest.mark.parametrize(
    ("paused", "made", "full"),
    [
        (0.0, 2 * QUICK, True),
        (2 * PAUSES, 2 * QUICK, False),  # it has time
        (0.0, QUICK / 2, False),  # beside what its engine takes, nothing else counts
    ],
)
def test_who_makes_much_without_a_pause_is_at_the_limit(paused: float, made: float, full: bool) -> None:
    strain = Strain(5.0)
    strain.paused(paused * WINDOW_S)
    strain.made(made * WINDOW_S)
    assert not strain.full(5.0 + WINDOW_S / 2)
    assert strain.full(5.0 + WINDOW_S) is full


def test_it_is_over_with_the_next_window() -> None:
    strain = Strain(0.0)
    strain.made(2 * QUICK * WINDOW_S)
    assert strain.full(WINDOW_S)
    strain.paused(8.0 * WINDOW_S)
    assert strain.full(1.5 * WINDOW_S)
    assert not strain.full(10.0 * WINDOW_S)
