"""The worker at rest: who that is, and that a block given to it at once is one that waited for no time."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.engines.test_schedule import schedule, served, ticket
from voicewire.engines.schedule import Schedule
from voicewire.types import Priority


def test_at_rest_is_who_would_be_next_where_nobody_works() -> None:
    made = schedule(4, 4)
    assert made.at_rest() is made.workers[0]
    made.add(ticket(1), 0.0)
    assert made.at_rest() is None, "a block waits"
    ((worker, first),) = made.assign(0.0)
    assert made.at_rest() is None, "one works"
    made.cancel(first, 0.0)
    assert made.at_rest() is None, "it has not put down what was cancelled"
    worker.owed.clear()
    assert made.at_rest() is worker
    assert schedule().at_rest() is None


@pytest.mark.parametrize("after", [0.0, 0.2, 3.0])
@pytest.mark.parametrize("priority", [Priority.LIVE, Priority.INTERACTIVE])
def test_to_begin_at_rest_is_to_wait_for_no_time(after: float, priority: Priority) -> None:
    short, long = schedule(1, 4), schedule(1, 4)
    for made in (short, long):
        for id, tenant in enumerate(["a", "b", "a", "a", "c", "b"]):
            made.add(ticket(id, 0.0, tenant), id)
        served(made, 7.0)
    for id, tenant in enumerate(["a", "d", "a", "b"], 10):
        now = float(id)
        new, same = (ticket(id, now + after, tenant, priority=priority, weight=2.0) for _ in range(2))
        begun = short.begin(new, now)
        long.add(same, now)
        ((worker, _),) = long.assign(now)
        assert begun is short.workers[long.workers.index(worker)]
        assert short.begin(ticket(99), now) is None, "it is not at rest"
        assert (new.due_at, new.ahead, new.attempts, new.started_s) == (
            same.due_at, same.ahead, same.attempts, same.started_s
        )  # fmt: skip
        assert standing(short) == standing(long)
        short.finish(begun, new, now + 0.5)
        long.finish(worker, same, now + 0.5)


def standing(made: Schedule) -> object:
    """What is remembered of those who waited."""
    waiting = made._waiting
    tags = [
        (line._virtual, {tenant: flow.tag for tenant, flow in line._resting.items()}) for line in waiting.lines.values()
    ]
    books = [(worker.heard_s, worker.marked_s, sorted(worker.jobs), worker.owed) for worker in made.workers]
    return tags, books, waiting.listened_s, made._waited_s, made.queued, made.running, waiting.tenants


@pytest.mark.parametrize(
    "fields", [{"deadline": math.inf}, {"priority": Priority.PREFETCH}, {"priority": Priority.BATCH}]
)
def test_what_nobody_waits_for_waits(fields: dict[str, Any]) -> None:
    assert schedule(4).begin(ticket(1, **fields), 0.0) is None
