"""The ledger's script against its model, on a real Redis; and each wrong ledger, which must be told from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from redis.asyncio import Redis
from redis.exceptions import ResponseError

import voicewire.storage
from tests.storage.ledger_mutants import MUTANTS, Mutant
from tests.storage.ledger_rig import BEGIN_MS, TENANTS, Call, Different, Rig, Walk
from voicewire.storage.ledger_script import NEVER_MS, UNKNOWN, Item, Keys, LedgerScript, block_op, clean, tenant_op

SOURCE = (Path(voicewire.storage.__file__).parent / "ledger.lua").read_text(encoding="utf-8")
STEPS = 1_000


def walk(redis_url: str, seed: int, steps: int, source: str = SOURCE) -> None:
    """Walk `steps`, without the event loop's own checks: they would take most of the time."""

    async def go() -> None:
        async with Redis.from_url(redis_url) as redis:
            await Walk(Rig(redis, source), seed).go(steps)

    with asyncio.Runner(debug=False) as runner:
        runner.run(go())


@pytest.mark.parametrize("seed", range(2))
def test_a_walk_finds_no_difference(redis_url: str, seed: int) -> None:
    walk(redis_url, seed, STEPS)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 110))
def test_a_long_walk_finds_no_difference(redis_url: str, seed: int) -> None:
    walk(redis_url, seed, 20_000)


@pytest.mark.parametrize("mutant", [each for each in MUTANTS if not each.equivalent], ids=lambda each: each.name)
def test_a_wrong_ledger_is_found(redis_url: str, mutant: Mutant) -> None:
    with pytest.raises((Different, ResponseError)):
        walk(redis_url, 0, 2 * STEPS, mutant.apply(SOURCE))


@pytest.mark.parametrize("mutant", [each for each in MUTANTS if each.equivalent], ids=lambda each: each.name)
def test_what_is_called_equivalent_is_not_found(redis_url: str, mutant: Mutant) -> None:
    walk(redis_url, 0, STEPS // 3, mutant.apply(SOURCE))


AMOUNTS = st.integers(0, 12)
ITEMS = st.builds(
    Item, st.sampled_from(TENANTS), st.just("s"), st.integers(0, 2), st.just("m"), st.just("v"), st.just("k")
)
FLAGS = st.sampled_from((UNKNOWN, 0, 1))


class Machine(RuleBasedStateMachine):
    """Few blocks, few grants, small amounts: what matters happens often. Hypothesis makes failures short."""

    redis: Redis
    run: Callable[[Coroutine[Any, Any, None]], None]

    @initialize(left=AMOUNTS, overdraft=AMOUNTS)
    def begin(self, left: int, overdraft: int) -> None:
        type(self).run(self.empty())
        self.rig = Rig(self.redis)
        self.ids = 0
        type(self).run(self.rig.begin(1))
        self.make(self.rig.load(TENANTS[0], overdraft, [("g", BEGIN_MS + 40, left)]))

    async def empty(self) -> None:
        await self.redis.flushdb()

    def make(self, call: Call) -> None:
        type(self).run(self.rig.make(call))

    @rule(ms=st.integers(1, 30))
    def time_passes(self, ms: int) -> None:
        self.rig.pass_ms(ms)

    @rule()
    def the_next_lease_ends(self) -> None:
        ends = [end - self.rig.model.now for end in self.rig.model.leases.values()]
        self.rig.pass_ms(max(0, min(ends, default=0)))

    @rule(item=ITEMS, want=AMOUNTS, least=AMOUNTS, metered=st.booleans())
    def reserve(self, item: Item, want: int, least: int, metered: bool) -> None:
        self.make(self.rig.reserve(item, max(want, least), least, metered=metered))

    @rule(item=ITEMS, ms=AMOUNTS, hold=AMOUNTS, metered=FLAGS)
    def touch(self, item: Item, ms: int, hold: int, metered: int) -> None:
        self.make(self.rig.touch(item, ms, ms, hold, metered))

    @rule(kind=st.sampled_from(("settle", "park", "amend")), item=ITEMS, ms=AMOUNTS, metered=FLAGS)
    def tell(self, kind: str, item: Item, ms: int, metered: int) -> None:
        self.make(self.rig.tell(kind, item, ms, ms, metered))

    @rule(item=ITEMS)
    def expire(self, item: Item) -> None:
        self.make(self.rig.expire(item))

    @rule(tenant=st.sampled_from(TENANTS), ms=AMOUNTS, good_ms=st.sampled_from((1, 25, 60, NEVER_MS)))
    def grant(self, tenant: str, ms: int, good_ms: int) -> None:
        self.ids += 1
        expires = min(NEVER_MS, self.rig.model.now + good_ms)
        self.make(self.rig.grant(tenant, f"g{self.ids}", expires, ms))

    @rule(tenant=st.sampled_from(TENANTS))
    def load(self, tenant: str) -> None:
        self.make(self.rig.load(tenant, 0, []))

    @invariant()
    def every_millisecond_is_accounted_for(self) -> None:
        sums: dict[str, int] = {}
        for entry in self.rig.model.outbox if hasattr(self, "rig") else ():
            for account, ms in entry.postings().items():
                sums[account] = sums.get(account, 0) + ms
        used = sum(block.posted for block in self.rig.model.blocks.values())
        assert sums.get("usage", 0) == used


def try_machine(redis_url: str, examples: int) -> None:
    with asyncio.Runner(debug=False) as runner:
        redis = Redis.from_url(redis_url)
        machine = type("Bound", (Machine,), {"redis": redis, "run": staticmethod(runner.run)})
        checks = [HealthCheck.too_slow]  # a real server answers
        chosen = settings(
            max_examples=examples, stateful_step_count=30, deadline=None, database=None, suppress_health_check=checks
        )
        try:
            run_state_machine_as_test(machine, settings=chosen)
        finally:
            runner.run(redis.aclose())


def test_no_sequence_finds_a_difference(redis_url: str) -> None:
    try_machine(redis_url, 30)


@pytest.mark.nightly
def test_no_sequence_of_many_finds_a_difference(redis_url: str) -> None:
    try_machine(redis_url, 1_500)


async def test_an_operation_that_fails_stops_no_other(redis: Redis) -> None:
    keys = Keys("vw:")
    await redis.hset(keys.meta, "epoch", "1")
    wrong = tenant_op("load", "t", "not a number", 7, [])
    answers = await LedgerScript(keys).call(redis, "1", [wrong, tenant_op("load", "u", 0, [("g", NEVER_MS, 5)], [])])
    assert answers[0].status == "ERROR"
    assert (answers[1].status, answers[1].left_ms) == ("OK", 5)


async def test_what_clients_name_is_stored_as_far_as_it_can_be(redis: Redis) -> None:
    keys = Keys("vw:")
    await redis.hset(keys.meta, "epoch", "1")
    item = Item("t", "a|b\0\ud800é", 0, "m\0", "v", "k")
    ops = [tenant_op("load", "t", 0, [("g", NEVER_MS, 500)], []), block_op("settle", item, 7, 7)]
    answers = await LedgerScript(keys).call(redis, "1", ops)
    assert [each.status for each in answers] == ["OK", "OK"]
    assert clean(item.stream) == "a|b?é"
    assert await redis.exists(keys.stream("t", "a|b?é"))


async def test_a_script_that_redis_lost_is_sent_again(redis: Redis) -> None:
    keys = Keys("vw:")
    await redis.hset(keys.meta, "epoch", "1")
    script = LedgerScript(keys)
    await script.call(redis, "1", [tenant_op("load", "t", 0, [], [])])
    await redis.script_flush()
    assert (await script.call(redis, "1", [tenant_op("left", "t")]))[0].status == "OK"
