"""What holds of the order in which blocks get lanes, whatever is asked for when."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.simulated import BEGIN_S, CHAR_S, Listener, Nowhere, Simulation, new_schedule
from voicewire.engines.line import SLACK_CHARS
from voicewire.engines.schedule import Schedule, Worker
from voicewire.engines.ticket import Ticket
from voicewire.engines.waiting import Rank, rank_of
from voicewire.types import Format, Job, Priority, Utterance

CHARS_MAX = 400
BLOCK_S = BEGIN_S + CHAR_S * CHARS_MAX

asked = st.tuples(
    st.sampled_from([-1.0, 0.0, 0.3, 1.0, 5.0, 30.0, math.inf]),
    st.sampled_from(Priority),
    st.sampled_from("abc"),
    st.integers(1, CHARS_MAX),
    st.sampled_from([0.5, 1.0, 4.0]),
)
"""A block: due in so many seconds, of a class and a tenant, so many characters, with a weight."""

Asked = tuple[float, Priority, str, int, float]


def ticket(id: int, block: Asked, now: float = 0.0) -> Ticket:
    due, priority, tenant, chars, weight = block
    return Ticket(id, Job(Utterance("x" * chars, "middle"), Format()), now + due, Nowhere(), tenant, priority, weight)


def filled(lanes: int, workers: int, blocks: Sequence[Asked]) -> Schedule:
    made = new_schedule()
    made.workers += [Worker(lanes, 0.0) for _ in range(workers)]
    for id, block in enumerate(blocks):
        made.add(ticket(id, block), 0.0)
    return made


def one_by_one(made: Schedule, end: Callable[[Worker, Ticket], None]) -> list[Ticket]:
    """Assign at one moment, ending each block before the next gets a lane."""
    order: list[Ticket] = []
    while assigned := made.assign(0.0):
        for worker, got in assigned:
            order.append(got)
            end(worker, got)
    return order


@given(st.lists(asked, max_size=40))
@settings(max_examples=40, deadline=None)
def test_ranks_go_in_order(blocks: list[Asked]) -> None:
    made = filled(1, 1, blocks)
    order = one_by_one(made, lambda worker, got: made.finish(worker, got, 0.0))
    assert len(order) == len(blocks)
    ranks = [rank_of(each, 0.0) for each in order]
    assert ranks == sorted(ranks)
    for rank in (Rank.LIVE_DUE, Rank.LIVE):
        of_one = [each for each, its in zip(order, ranks, strict=True) if its is rank and each.tenant == "a"]
        assert of_one == sorted(of_one, key=lambda each: each.due_at)


@given(st.lists(asked, max_size=40), st.lists(asked, min_size=1, max_size=40), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_what_is_due_gets_its_lane_as_if_nothing_else_waited(
    due: list[Asked], others: list[Asked], lanes: int, workers: int
) -> None:
    """Work ahead of need, and work for nobody, changes nothing for blocks that are due."""
    due = [(-1.0, Priority.LIVE, *rest) for _, _, *rest in due]  # type: ignore[misc]  # a tuple of known length
    others = [(max(30.0, after), *rest) for after, *rest in others]  # type: ignore[misc]  # as above
    alone, crowded = filled(lanes, workers, due), filled(lanes, workers, due)
    for id, block in enumerate(others):
        crowded.add(ticket(1_000 + id, block), 0.0)
    first = [got.id for _, got in alone.assign(0.0)]
    got = [each.id for _, each in crowded.assign(0.0)]
    assert [id for id in got if id < 1_000] == first


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(20, CHARS_MAX)), min_size=5, max_size=60))
@settings(max_examples=25, deadline=None)
def test_nobody_waits_longer_than_the_share_of_its_weight_takes(arrivals: list[tuple[float, int]]) -> None:
    """However much one tenant asks for, a single listener of another begins soon: no starvation."""
    simulation = Simulation(new_schedule(), 1)
    for at_s, chars in arrivals:
        crowd = Listener([chars] * 3, tenant="many")
        simulation.at(at_s, partial(simulation.come, crowd))
    single = Listener([CHARS_MAX], tenant="few")
    simulation.at(arrivals[0][0], partial(simulation.come, single))
    simulation.run()
    of_others_s = CHAR_S * (SLACK_CHARS + 2 * CHARS_MAX) + BEGIN_S * (2 + SLACK_CHARS / (20 + 10))
    assert 0 <= single.first_s <= BLOCK_S + BLOCK_S + of_others_s


@given(st.integers(1, 3), st.floats(0.3, 3.0))
@settings(max_examples=8, deadline=None)
def test_shares_follow_weights_where_too_much_is_asked_for(seed: int, weight: float) -> None:
    """Two tenants that always have blocks waiting, on two workers: what they get is by their weights."""
    simulation = Simulation(new_schedule(), 2)
    for nth in range(40):
        for tenant, its in (("a", 1.0), ("b", weight)):
            listener = Listener([30 + 7 * (nth * seed % 11)] * 40, tenant=tenant, weight=its)
            simulation.at(0.0, partial(simulation.come, listener))
    simulation.run(until_s=120.0)
    got = {tenant: sum(each.work for _, each in simulation.begun if each.tenant == tenant) for tenant in "ab"}
    slack = (SLACK_CHARS + 2 * 110) * (1 + 1 / weight)
    assert abs(got["b"] / weight - got["a"]) <= 2 * slack
