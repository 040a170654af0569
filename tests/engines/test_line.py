from __future__ import annotations

import math
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.simulated import Nowhere
from voicewire.engines.line import RESTING_MAX, SLACK_CHARS, Line
from voicewire.engines.ticket import Ticket
from voicewire.types import Format, Job, Utterance

CHARS_MAX = 400
WEIGHTS = st.sampled_from([0.25, 1.0, 2.0, 10.0])


def ticket(id: int, due_at: float, tenant: str, chars: int = 60, weight: float = 1.0) -> Ticket:
    made = Ticket(id, Job(Utterance("x" * chars, "middle"), Format()), due_at, Nowhere(), tenant, weight=weight)
    made.due_at = due_at
    return made


def taken(line: Line, count: int) -> list[Ticket]:
    """The next blocks, one after the other."""
    found: list[Ticket] = []
    while len(found) < count and (head := line.head()):
        line.take(head)
        found.append(head)
    return found


def test_what_is_due_first_is_first() -> None:
    line = Line()
    for id, due_at in enumerate([5.0, 1.0, 3.0]):
        line.push(ticket(id, due_at, "a" if id else "b"))
    assert [each.id for each in taken(line, 9)] == [1, 2, 0]


def test_a_hundred_streams_do_not_starve_one() -> None:
    line = Line()
    for id in range(100):
        line.push(ticket(id, 0.0, "many"))
    line.push(ticket(1_000, 1.0, "few"))
    order = [each.tenant for each in taken(line, 101)]
    assert order.index("few") <= 2 + SLACK_CHARS // ticket(0, 0.0, "").work


def test_who_used_what_nobody_wanted_is_not_punished() -> None:
    line = Line()
    for id in range(200):
        line.push(ticket(id, float(id), "early"))
    taken(line, 100)
    for id in range(100):
        line.push(ticket(1_000 + id, math.inf, "late"))
    shares = Counter(each.tenant for each in taken(line, 60))
    assert abs(shares["early"] - shares["late"]) <= 2 + 2 * SLACK_CHARS // ticket(0, 0.0, "").work


def test_who_rests_saves_nothing_up() -> None:
    line = Line()
    line.push(ticket(1, 0.0, "rests"))
    taken(line, 1)
    for id in range(100):
        line.push(ticket(100 + id, 0.0, "works"))
    taken(line, 50)
    for id in range(50):
        line.push(ticket(1_000 + id, 0.0, "rests"))
    shares = Counter(each.tenant for each in taken(line, 40))
    assert shares["works"] >= 12


@given(
    weights=st.dictionaries(st.sampled_from("abcd"), WEIGHTS, min_size=2),
    blocks=st.lists(st.tuples(st.integers(1, CHARS_MAX), st.floats(0, 10)), min_size=30, max_size=80),
    count=st.integers(1, 200),
)
@settings(max_examples=25, deadline=None)
def test_tenants_that_wait_get_work_by_their_weights(
    weights: dict[str, float], blocks: list[tuple[int, float]], count: int
) -> None:
    """Of two that always wait, neither gets more than its slack and a block beyond what its weight gives it."""
    line, work = Line(), dict.fromkeys(weights, 0.0)
    for name, weight in weights.items():
        for id, (chars, due_at) in enumerate(blocks):
            line.push(ticket(id + 1_000 * ord(name), due_at, name, chars, weight))
    longest = max(CHARS_MAX, SLACK_CHARS) + 10
    while count and all(any(line.of(name)) for name in weights):
        head = line.head()
        assert head is not None
        line.take(head)
        work[head.tenant] += head.work
        count -= 1
    had = {name: work[name] / weight for name, weight in weights.items()}
    for one, a in weights.items():
        for other, b in weights.items():
            assert had[one] - had[other] <= SLACK_CHARS / a + longest / a + longest / b


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0, 10), st.integers(1, CHARS_MAX), WEIGHTS), max_size=60),
    st.data(),
)
@settings(max_examples=25, deadline=None)
def test_nothing_is_lost(blocks: list[tuple[str, float, int, float]], data: st.DataObject) -> None:
    line = Line()
    waiting: dict[int, Ticket] = {}
    for id, (tenant, due_at, chars, weight) in enumerate(blocks):
        waiting[id] = ticket(id, due_at, tenant, chars, weight)
        line.push(waiting[id])
        head = line.head() if data.draw(st.booleans()) else None
        if head:
            assert waiting.pop(head.id) is head
            line.take(head)
        if data.draw(st.booleans()) and waiting:
            line.remove(waiting.pop(data.draw(st.sampled_from(sorted(waiting)))))
    assert {each.id for each in line.all()} == waiting.keys()
    assert abs(line.work - sum(each.work for each in waiting.values())) < 1e-6
    assert {each.id for each in taken(line, 100)} == waiting.keys()
    assert not line.work


def test_tenants_that_wait_for_nothing_are_forgotten() -> None:
    line = Line()
    for id in range(5_000):
        line.push(ticket(id, 0.0, f"tenant {id}", CHARS_MAX))
        taken(line, 1)
    assert len(line._resting) <= 2 * RESTING_MAX + 64
