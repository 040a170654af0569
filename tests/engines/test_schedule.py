from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from voicewire.engines.schedule import ATTEMPTS, Schedule, Worker
from voicewire.engines.ticket import Ticket
from voicewire.errors import Busy, VoicewireError
from voicewire.types import Format, Job, Priority, Slice, Utterance, Word

JOB = Job(Utterance("Hello.", "middle"), Format())
DUE_S = 0.25


class Nowhere:
    def slice(self, s: Slice) -> None: ...

    def failed(self, error: VoicewireError) -> None: ...


def ticket(id: int, deadline: float = 0.0, tenant: str = "", **fields: Any) -> Ticket:
    return Ticket(id, JOB, deadline, Nowhere(), tenant, **fields)


def schedule(*lanes: int, queue_limit: int = 100) -> Schedule:
    made = Schedule(queue_limit=queue_limit, due_s=DUE_S)
    made.workers += [Worker(count, 0.0) for count in lanes]
    return made


def served(made: Schedule, now: float = 0.0) -> list[int]:
    """Work everything off, one block after the other; the order in which blocks got a lane."""
    order = []
    while assigned := made.assign(now):
        for worker, ticket in assigned:
            order.append(ticket.id)
            made.finish(worker, ticket, now)
    return order


def test_the_earliest_deadline_is_first_and_none_is_last() -> None:
    made = schedule(1)
    for id, deadline in enumerate([5.0, math.inf, 1.0, 3.0]):
        made.add(ticket(id, deadline), 0.0)
    assert served(made) == [2, 3, 0, 1]


def test_equal_deadlines_go_round_among_tenants() -> None:
    made = schedule(1)
    for id in range(6):
        made.add(ticket(id, math.inf, "many"), 0.0)
    for id in (10, 11):
        made.add(ticket(id, math.inf, "few"), 0.0)
    assert served(made) == [0, 10, 1, 11, 2, 3, 4, 5]


def test_a_tenant_that_comes_late_does_not_make_up_for_the_past() -> None:
    made = schedule(1)
    for id in range(4):
        made.add(ticket(id, math.inf, "early"), 0.0)
    assert [assigned[1].id for assigned in made.assign(0.0)] == [0]
    for id in (10, 11, 12):
        made.add(ticket(id, math.inf, "late"), 0.0)
    (worker,) = made.workers
    made.finish(worker, worker.jobs[0], 0.0)
    assert served(made) == [10, 1, 11, 2, 12, 3], "what is being made counts"


def test_the_least_loaded_worker_is_next() -> None:
    made = schedule(4, 4)
    for id in range(4):
        made.add(ticket(id), 0.0)
    made.assign(0.0)
    assert [sorted(worker.jobs) for worker in made.workers] == [[0, 2], [1, 3]]


def test_a_worker_that_has_not_put_down_a_cancelled_block_counts_as_loaded() -> None:
    made = schedule(4, 4)
    first = ticket(1)
    made.add(first, 0.0)
    made.assign(0.0)
    assert made.cancel(first, 0.0) is made.workers[0]
    made.add(ticket(2), 0.0)
    assert made.assign(0.0)[0][0] is made.workers[1]


def test_a_worker_that_puts_nothing_down_is_given_no_more() -> None:
    made = schedule(3)
    for id in range(6):
        dropped = ticket(id)
        made.add(dropped, 0.0)
        made.assign(0.0)
        assert made.cancel(dropped, 0.0) is made.workers[0]
    made.add(ticket(9), 0.0)
    assert not made.assign(0.0)
    made.workers[0].owed.clear()
    assert len(made.assign(0.0)) == 1


def test_one_lane_is_kept_for_what_is_due() -> None:
    made = schedule(3)
    for id in range(5):
        made.add(ticket(id, 60.0), 0.0)
    assert len(made.assign(0.0)) == 2
    made.add(ticket(9, DUE_S), 0.0)
    assert [assigned[1].id for assigned in made.assign(0.0)] == [9]
    assert not made.assign(0.0)


def test_a_block_becomes_due() -> None:
    made = schedule(2)
    for id in range(3):
        made.add(ticket(id, 60.0), 0.0)
    assert [assigned[1].id for assigned in made.assign(0.0)] == [0]
    assert [assigned[1].id for assigned in made.assign(60.0 - DUE_S)] == [1]


def test_a_single_lane_is_not_kept() -> None:
    made = schedule(1)
    made.add(ticket(1, math.inf), 0.0)
    assert len(made.assign(0.0)) == 1


def fill(made: Schedule, count: int, **fields: Any) -> None:
    for id in range(count):
        made.add(ticket(100 + id, math.inf, **fields), 0.0)


def test_the_queue_is_bounded_and_says_when_to_come_back() -> None:
    made = schedule(1, queue_limit=80)
    fill(made, 70)
    with pytest.raises(Busy) as caught:
        made.add(ticket(1), 0.0)
    work = 70 * ticket(1).work
    assert caught.value.retry_after_ms == pytest.approx(work, abs=1), "at the thousand characters a second assumed"


def test_the_last_eighth_of_the_queue_is_for_tenants_that_have_less() -> None:
    made = schedule(1, queue_limit=80)
    fill(made, 70, tenant="many")
    for id in range(10):
        made.add(ticket(id, tenant="few"), 0.0)
    with pytest.raises(Busy):
        made.add(ticket(11, tenant="few"), 0.0)


def test_half_of_the_queue_is_for_listeners() -> None:
    made = schedule(1, queue_limit=80)
    fill(made, 30, priority=Priority.BATCH)
    with pytest.raises(Busy):
        made.add(ticket(1, priority=Priority.PREFETCH), 0.0)
    made.add(ticket(2, priority=Priority.INTERACTIVE), 0.0)


def test_the_time_to_come_back_follows_what_blocks_took() -> None:
    made = schedule(1, queue_limit=80)
    for id in range(60):
        made.add(ticket(id), float(id))
        ((worker, only),) = made.assign(float(id))
        made.finish(worker, only, id + 0.2)
    fill(made, 70)
    with pytest.raises(Busy) as caught:
        made.add(ticket(1), 60.0)
    assert caught.value.retry_after_ms == pytest.approx(70 * 200, rel=0.02)


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_blocks_that_come_to_nothing_make_nobody_slow(lanes: int) -> None:
    """A minute of blocks that are cancelled or fail, one in a tenth of a second: those that are made take as long."""
    made = schedule(lanes, queue_limit=80)
    [worker] = made.workers
    for at in range(600):
        now = at / 10
        if len(worker.jobs) == lanes:
            oldest = next(iter(worker.jobs.values()))
            if at % 100 == 99:
                made.finish(worker, oldest, now)
            elif at % 2:
                made.finish(worker, oldest, now, made=False)
            else:
                made.cancel(oldest, now)
                worker.owed.discard(oldest.id)
        made.add(ticket(at), now)
        made.assign(now)
    fill(made, 70)
    with pytest.raises(Busy) as caught:
        made.add(ticket(1), 60.0)
    assert caught.value.retry_after_ms is not None
    assert caught.value.retry_after_ms < 70 * 200


def test_blocks_of_a_lost_worker_are_tried_once_more_and_then_given_up() -> None:
    made = schedule(4, 4)
    only = ticket(1)
    made.add(only, 0.0)
    ((worker, _),) = made.assign(0.0)
    assert made.lose(worker) == ([only], [])
    ((worker, _),) = made.assign(0.0)
    assert made.lose(worker) == ([], [only])
    assert only.ended
    assert only.attempts == ATTEMPTS


def test_blocks_that_may_have_killed_a_worker_do_not_meet_again() -> None:
    made = schedule(5, 5)
    for id in range(4):
        made.add(ticket(id), 0.0)
    made.assign(0.0)
    made.lose(made.workers[0])
    made.add(ticket(9), 0.0)
    assert [assigned[1].id for assigned in made.assign(0.0)] == [0, 9], "one suspect, and what is not one"
    (worker,) = made.workers
    made.finish(worker, worker.jobs[0], 0.0)
    assert [assigned[1].id for assigned in made.assign(0.0)] == [2]


def test_a_second_attempt_goes_on_where_the_first_was_lost() -> None:
    only = ticket(1)
    only.attempts = 1
    first = Slice([b"0", b"1"], (Word(0, 3, 0, 30),), False)
    assert only.unseen(first) == first
    only.attempts, only.passed = 2, 0
    again = Slice([b"0"], (Word(0, 3, 0, 31),), False)
    assert not any(only.unseen(again))
    more = Slice([b"1", b"2"], (Word(4, 7, 29, 40), Word(8, 9, 40, 50)), True)
    assert only.unseen(more) == Slice([b"2"], (Word(4, 7, 30, 40), Word(8, 9, 40, 50)), True)


def test_a_shorter_second_attempt_just_ends() -> None:
    only = ticket(1)
    only.attempts = 1
    only.unseen(Slice([b"0", b"1", b"2"], (), False))
    only.attempts, only.passed = 2, 0
    assert only.unseen(Slice([b"0", b"1"], (), True)) == Slice([], (), True)


class Machine(RuleBasedStateMachine):
    """Anything in any order: lanes are never overfilled, nothing is lost, nothing is left behind."""

    def __init__(self) -> None:
        super().__init__()
        self.made = schedule(1, 3, queue_limit=8)
        self.live: dict[int, Ticket] = {}
        self.now = 0.0
        self.next = 0

    @rule(
        after=st.sampled_from([0.0, 0.2, 3.0, math.inf]),
        tenant=st.sampled_from("abc"),
        priority=st.sampled_from(Priority),
        weight=st.sampled_from([0.1, 1.0, 7.0]),
    )
    def add(self, after: float, tenant: str, priority: Priority, weight: float) -> None:
        self.next += 1
        new = ticket(self.next, self.now + after, tenant, priority=priority, weight=weight)
        try:
            if not self.made.begin(new, self.now):
                self.made.add(new, self.now)
        except Busy:
            assert self.made.queued >= 3
        else:
            self.live[new.id] = new

    @rule(seconds=st.floats(0, 5))
    def assign(self, seconds: float) -> None:
        self.now += seconds
        for worker, got in self.made.assign(self.now):
            assert worker.jobs[got.id] is got

    @rule(data=st.data(), action=st.sampled_from(["cancel", "postpone", "finish"]))
    def act(self, data: st.DataObject, action: str) -> None:
        if not self.live:
            return
        chosen = self.live[data.draw(st.sampled_from(sorted(self.live)))]
        holder = self.made.holder(chosen)
        if action == "postpone":
            later = self.now + data.draw(st.floats(0, 9) | st.just(math.inf))
            assert self.made.postpone(chosen, later, self.now) is holder
        elif action == "cancel":
            assert self.made.cancel(chosen, self.now) is holder
            if holder:
                holder.owed.discard(chosen.id)
            del self.live[chosen.id]
        elif holder:
            self.made.finish(holder, chosen, self.now)
            del self.live[chosen.id]

    @rule(index=st.integers(0, 1))
    def lose(self, index: int) -> None:
        _, given_up = self.made.lose(self.made.workers[index])
        for each in given_up:
            del self.live[each.id]
        self.made.workers.insert(index, Worker((1, 3)[index], self.now))

    @invariant()
    def every_live_block_is_in_one_place(self) -> None:
        running = [id for worker in self.made.workers for id in worker.jobs]
        assert len(running) == len(set(running))
        assert len(running) + self.made.queued == len(self.live)
        for worker in self.made.workers:
            assert len(worker.jobs) <= worker.lanes
            assert worker.owed >= worker.jobs.keys()

    def teardown(self) -> None:
        while assigned := self.made.assign(math.inf) or [(w, t) for w in self.made.workers for t in w.jobs.values()]:
            for worker, each in assigned:
                self.made.finish(worker, each, self.now)
                del self.live[each.id]
        assert not self.live
        waiting = self.made._waiting
        assert not waiting.tenants
        assert not any(line.work for line in waiting.lines.values())
        assert len(waiting._turning) <= 64


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def paced(*lanes: int) -> Schedule:
    """Workers that have learned: a second for each block."""
    made = schedule(*lanes)
    for _ in range(100):
        made._rates.learn(ticket(0).work, 1.0, 1.0)
    return made


def wait_s(made: Schedule, now: float) -> float:
    return made.outlook(Priority.LIVE, "", 1.0, now).wait_s


def test_where_there_is_no_worker_nobody_knows_of_a_wait() -> None:
    assert wait_s(paced(), 0.0) == 0.0


def test_who_comes_waits_for_the_worker_that_is_free_first() -> None:
    made = paced(1, 1)
    made.add(ticket(0), 0.0)
    made.assign(0.0)
    assert wait_s(made, 0.0) == 0, "one is free"
    made.add(ticket(1), 0.4)
    made.assign(0.4)
    assert wait_s(made, 0.4) == pytest.approx(0.6, abs=0.01)
    assert wait_s(made, 0.9) == pytest.approx(0.1, abs=0.01)
    assert wait_s(made, 5.0) == pytest.approx(0.05, abs=0.01), "what is late is done soon, but not yet"
    made.add(ticket(2), 0.9)
    assert wait_s(made, 0.9) == pytest.approx(0.6, abs=0.01), "two work off what is before"


def test_nobody_is_let_in_while_a_listener_might_run_dry() -> None:
    made = paced(1)
    made.add(ticket(0), 0.0)
    made.assign(0.0)
    more = ticket(1, 3.0)  # to be begun by 1.75, and can be at 1.0
    made.add(more, 0.0)
    assert made.outlook(Priority.LIVE, "", 1.0, 0.0).late_s == 0
    made.postpone(more, 2.5, 0.0)
    assert made.outlook(Priority.LIVE, "", 1.0, 0.0).late_s == pytest.approx(1.0, abs=0.01)
    assert made.outlook(Priority.LIVE, "", 1.0, 0.0).retry_ms(2.0) == pytest.approx(1_000, abs=10)
