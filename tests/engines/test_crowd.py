"""A crowd on a simulated clock: nobody runs dry where they would if whoever came first were served first."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial

import pytest

from tests.engines.simulated import AHEAD_S, FirstCome, Listener, Order, Simulation, new_schedule
from voicewire.engines.schedule import Schedule
from voicewire.timeline import SPOKEN_CHAR_S
from voicewire.types import Priority

WAIT_MAX_S = 2.0
RUN_S = 100.0


class Crowd:
    """Fifty people who listen, rest and ask again; two thirds ask for half a minute ahead."""

    def __init__(self, order: Order, workers: int, seed: int) -> None:
        self.heard: list[Listener] = []
        self.refused = 0
        self._order = order
        self.simulation = Simulation(order, workers)
        for number in range(50):
            dice = random.Random(1_000 * seed + number)
            self.simulation.at(dice.uniform(0, 20), partial(self._ask, dice, (AHEAD_S, 32.0, 32.0)[number % 3]))
        self.simulation.run()

    def _ask(self, dice: random.Random, ahead_s: float) -> None:
        now = self.simulation.now
        if now > RUN_S:
            return
        blocks = [60, *(dice.randint(60, 110) for _ in range(dice.randint(4, 10)))]
        listener = Listener(blocks, ahead_s=ahead_s)
        self.heard.append(listener)
        self._come(listener, now)
        lasts_s = sum(blocks) * SPOKEN_CHAR_S
        self.simulation.at(now + lasts_s + 1 + dice.expovariate(1 / 5), partial(self._ask, dice, ahead_s))

    def _come(self, listener: Listener, asked_s: float) -> None:
        order, now = self._order, self.simulation.now
        outlook = order.outlook(Priority.LIVE, "", 1.0, now) if isinstance(order, Schedule) else None
        if outlook and (retry_ms := outlook.retry_ms(WAIT_MAX_S)):
            self.refused += 1
            self.simulation.at(now + retry_ms / 1000, partial(self._come, listener, asked_s))
            return
        self.simulation.come(listener)
        listener.came_s = asked_s

    @property
    def underruns(self) -> int:
        return sum(listener.underruns for listener in self.heard)

    @property
    def dry_s(self) -> float:
        return sum(listener.dry_s for listener in self.heard)

    @property
    def load(self) -> float:
        begun = [ticket for at, ticket in self.simulation.begun if 20 < at < RUN_S]
        taken_s = sum(0.165 + 0.0168 * len(ticket.job.utterance.text) for ticket in begun)
        return taken_s / (len(self._order.workers) * (RUN_S - 20))

    def first_s(self, share: float) -> float:
        return percentile([listener.first_s for listener in self.heard], share)


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nobody_runs_dry_at_nine_tenths_of_the_load(seed: int) -> None:
    first_come, ours = Crowd(FirstCome(), 14, seed), Crowd(new_schedule(), 14, seed)
    assert ours.load > 0.85
    assert first_come.underruns > 10
    assert ours.underruns == 0
    assert ours.first_s(0.95) < first_come.first_s(0.95) / 3, "even with first blocks of the same length"
    assert ours.refused < len(ours.heard) / 10


@pytest.mark.parametrize("seed", [1, 2])
def test_beyond_what_can_be_done_newcomers_are_refused_rather_than_listeners_cut(seed: int) -> None:
    first_come, ours = Crowd(FirstCome(), 12, seed), Crowd(new_schedule(), 12, seed)
    assert ours.load > 0.99
    assert ours.refused > 20
    assert ours.dry_s < first_come.dry_s / 5


def test_who_comes_back_when_told_is_let_in() -> None:
    """What is said of the wait is honest: where nothing else comes, one retry is enough, and none is told much more."""
    order = new_schedule()
    simulation = Simulation(order, 2)
    for number in range(40):
        simulation.come(Listener([60 + 7 * number % 41]))  # not alike: workers do not end their blocks together
    simulation.run(until_s=5.0)
    before = order.outlook(Priority.LIVE, "", 1.0, simulation.now)
    retry_ms = before.retry_ms(WAIT_MAX_S)
    assert retry_ms > 1_000
    again_s = simulation.now + retry_ms / 1000
    simulation.run(until_s=again_s)
    after = order.outlook(Priority.LIVE, "", 1.0, again_s)
    assert after.wait_s == pytest.approx(WAIT_MAX_S, abs=0.4)
    simulation.run(until_s=again_s + after.wait_s)
    assert order.queued == 0
