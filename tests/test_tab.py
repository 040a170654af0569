"""The tab of an utterance: whatever is handed over in whatever steps, the sums are those of the positions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicewire.tab import REFUND_MS_MAX, Charge, Price, Tab
from voicewire.timeline import Run

RATE_HZ = 24_000
FRAME = 480
FRAME_MS = 20


def laid_out(*frames: int, cached: frozenset[int] = frozenset()) -> list[Run]:
    """Runs of one block each, with so many frames."""
    runs, pts = [], 0
    for block, count in enumerate(frames):
        packets = [b"x"] * count
        runs.append(Run(block, 0, 1, True, True, block in cached, pts, pts // FRAME, pts, [], packets))
        pts += count * FRAME
    return runs


def tab_of(*frames: int, price: Price | None = None, cached: frozenset[int] = frozenset()) -> Tab:
    tab = Tab(FRAME, RATE_HZ, price)
    for run in laid_out(*frames, cached=cached):
        tab.reserved(run.block)
        tab.laid(run)
    return tab


class Book:
    """A ledger in miniature: what was said last of each block."""

    def __init__(self) -> None:
        self.ms: dict[int, int] = {}
        self.over: set[int] = set()

    def take(self, charges: list[Charge]) -> None:
        for charge in charges:
            assert charge.block not in self.over or charge.kind == "lowered"
            assert charge.kind == "lowered" or charge.ms >= self.ms.get(charge.block, 0) or charge.kind == "final"
            self.ms[charge.block] = charge.ms
            if charge.kind == "final":
                self.over.add(charge.block)

    @property
    def total_ms(self) -> int:
        return sum(self.ms.values())


counts = st.lists(st.integers(0, 300), min_size=1, max_size=8)


@given(counts, st.lists(st.integers(0, 3_000), max_size=12), st.booleans())
def test_what_is_told_adds_up_to_what_was_handed_over(frames: list[int], steps: list[int], to_the_end: bool) -> None:
    tab, book = tab_of(*frames), Book()
    for step in sorted(steps):
        tab.hand_over(min(step, sum(frames)) * FRAME)
        book.take(tab.running())
    if to_the_end:
        tab.hand_over(sum(frames) * FRAME)
    spent = tab.spent()
    book.take(tab.closed())
    assert book.total_ms == spent == tab.handed // FRAME * FRAME_MS


@given(counts, st.integers(0, 3_000), st.integers(0, 3_000), st.booleans())
def test_a_cancel_pays_for_what_was_heard(frames: list[int], handed: int, played: int, told: bool) -> None:
    tab, book = tab_of(*frames), Book()
    tab.hand_over(min(handed, sum(frames)) * FRAME)
    if told:
        book.take(tab.running())
    handed_ms = tab.spent()
    tab.stop(min(played * FRAME, tab.handed))
    book.take(tab.closed())
    heard_ms = min(played * FRAME_MS, handed_ms)
    assert book.total_ms == tab.spent() == max(heard_ms, handed_ms - REFUND_MS_MAX)


@given(counts, st.integers(0, 2_400), st.integers(0, 2_400), st.integers(0, 2_400))
def test_another_gateway_comes_to_the_same_sums(frames: list[int], first: int, kept: int, received: int) -> None:
    total = sum(frames)
    tab, book = tab_of(*frames), Book()
    tab.hand_over(min(first, kept, total) * FRAME)
    book.take(tab.running())
    state = tab.state()
    other = Tab(FRAME, RATE_HZ)
    other.restore(state, min(received, total) * FRAME)
    other.hand_over(total * FRAME)
    final = {charge.block: charge.ms for charge in other.closed()}
    paid_before = {block: ms for block, ms in book.ms.items() if block not in final}
    assert sum(final.values()) + sum(paid_before.values()) == total * FRAME_MS == other.spent()


def test_multipliers_and_cached_blocks_have_their_price() -> None:
    tab = tab_of(100, 50, price=Price(permille=2_500, cached_percent=10), cached=frozenset({1}))
    tab.hand_over(150 * FRAME)
    assert [(charge.ms, charge.audio_ms, charge.cached) for charge in tab.closed()] == [
        (5_000, 2_000, False),
        (250, 1_000, True),
    ]
    assert tab.spent() == 5_250


def test_a_hold_that_was_never_used_is_given_back() -> None:
    tab = Tab(FRAME, RATE_HZ)
    tab.reserved(0)
    assert tab.closed() == [Charge(0, 0, 0, False, "final")]


def test_a_block_without_sound_or_hold_is_nobodys_business() -> None:
    tab = Tab(FRAME, RATE_HZ)
    tab.laid(laid_out(0)[0])
    assert tab.running() == []
    assert tab.closed() == []


def test_a_lost_connection_parks_what_runs_and_settles_what_is_complete() -> None:
    tab = tab_of(10, 10)
    tab.hand_over(15 * FRAME)
    assert [(charge.block, charge.ms, charge.kind) for charge in tab.parked()] == [
        (0, 200, "final"),
        (1, 100, "parked"),
    ]


@pytest.mark.parametrize(("heard_ms", "paid_ms"), [(10_000, 10_000), (8_000, 8_000), (7_000, 7_000), (0, 7_000)])
def test_no_more_than_three_seconds_come_back(heard_ms: int, paid_ms: int) -> None:
    tab = tab_of(500)
    tab.hand_over(500 * FRAME)
    tab.stop(heard_ms * RATE_HZ // 1000)
    assert tab.spent() == paid_ms
