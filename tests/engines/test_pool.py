"""The pool of this machine, in what its contract (`tests/contracts`) leaves open: order, bounds, and its processes."""

from __future__ import annotations

import asyncio
import math
import random
import time
from functools import partial

import pytest

from tests.engines.pooled import LONG, Listener, StartPool, alive, expected, job, new_pool, processes, until
from voicewire.engines import pool as pools
from voicewire.engines.handoff import Rouse, serialize
from voicewire.errors import Busy


async def test_a_sink_may_cancel_its_own_block_while_it_gets_a_slice(start: StartPool) -> None:
    pool = await start()
    listener = Listener(lambda: pool.cancel(ticket))
    ticket = pool.submit(job(LONG), time.monotonic(), listener)
    await listener.begun.wait()
    await until(lambda: not any(worker.owed for worker in pool._children))
    assert len(listener.slices) == 1


async def test_blocks_end_in_the_order_of_their_deadlines(start: StartPool) -> None:
    pool = await start(lanes=1, rtf=0.001)
    order: list[float] = []
    listeners = []
    for deadline in (-1.0, 9.0, math.inf, 3.0, 7.0, 5.0):
        listeners.append(Listener(partial(order.append, deadline)))
        pool.submit(job(), time.monotonic() + deadline, listeners[-1])
    for each in listeners:
        await each.ended.wait()
    assert list(dict.fromkeys(order)) == [-1.0, 3.0, 5.0, 7.0, 9.0, math.inf]


async def test_a_block_due_now_overtakes_those_that_are_being_made(start: StartPool) -> None:
    pool = await start(lanes=3, rtf=0.01)
    patient = [Listener() for _ in range(5)]
    for each in patient:
        pool.submit(job(LONG), math.inf, each)
    await patient[0].begun.wait()
    urgent = Listener()
    pool.submit(job(), time.monotonic(), urgent)
    await urgent.ended.wait()
    assert not any(each.ended.is_set() for each in patient)


async def test_who_was_roused_in_vain_is_left_in_peace(start: StartPool, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = await start()
    (child,) = pool._children.values()
    sent: list[bytes] = []
    send = child.send

    def note(data: bytes) -> None:
        sent.append(data)
        send(data)

    monkeypatch.setattr(child, "send", note)
    monkeypatch.setattr(pools, "ROUSED_S", 60.0)
    for _ in range(3):
        pool.rouse()
    assert sent == [serialize(Rouse())]
    pool._roused_s -= 60.0
    pool.rouse()
    assert sent == 2 * [serialize(Rouse())], "it is cold again"
    listener = Listener()
    pool.submit(job(), time.monotonic(), listener)
    pool.rouse()
    assert sent.count(serialize(Rouse())) == 2, "it works"
    await listener.ended.wait()
    pool.rouse()
    assert sent.count(serialize(Rouse())) == 3


async def test_a_postponed_block_waits(start: StartPool) -> None:
    pool = await start(lanes=1, rtf=0.01)
    order: list[str] = []
    now = time.monotonic()
    pool.submit(job(LONG), now, Listener())
    first = pool.submit(job(), now + 1, Listener(lambda: order.append("first")))
    second = Listener(lambda: order.append("second"))
    pool.submit(job(), now + 2, second)
    pool.postpone(first, now + 3)
    await second.ended.wait()
    assert set(order) == {"second"}


async def test_the_queue_is_bounded(start: StartPool) -> None:
    pool = await start(lanes=1, queue_limit=3, rtf=0.1)
    for _ in range(4):
        pool.submit(job(LONG), time.monotonic(), Listener())
    with pytest.raises(Busy) as caught:
        pool.submit(job(LONG), time.monotonic(), Listener())
    assert caught.value.retry_after_ms is not None
    assert caught.value.retry_after_ms > 0
    assert (pool.stats().queued, pool.stats().refused) == (3, 1)


async def test_a_thousand_blocks_and_random_cancels_leave_nothing_behind(start: StartPool) -> None:
    pool = await start(workers=2, queue_limit=2_000)
    dice = random.Random(7)
    kept: list[Listener] = []
    dropped: list[tuple[Listener, int]] = []
    for _ in range(1_000):
        listener = Listener()
        ticket = pool.submit(job("Hi."), time.monotonic() + dice.choice([0, 0, 1, math.inf]), listener)
        if dice.random() < 0.5:
            await asyncio.sleep(dice.choice([0, 0, 0.002]))
            pool.cancel(ticket)
            dropped.append((listener, len(listener.slices)))
        else:
            kept.append(listener)
    for listener in kept:
        await listener.ended.wait()
    await until(lambda: not any(worker.owed for worker in pool._children))
    right = expected(job("Hi."))
    assert all(listener.heard == right for listener in kept)
    assert all(len(listener.slices) == count for listener, count in dropped)
    stats = pool.stats()
    assert (stats.queued, stats.running, stats.restarts) == (0, 0, 0)
    assert stats.completed + stats.cancelled == 1_000
    assert not pool._messages
    assert not pool._schedule._waiting.tenants


async def test_closing_ends_every_block_as_draining() -> None:
    pool = new_pool({"rtf": 0.1, "lanes": 1})
    await pool.start()
    listeners = [Listener() for _ in range(3)]
    for each in listeners:
        pool.submit(job(LONG), 0.0, each)
    await listeners[0].begun.wait()
    children = processes(pool)
    await pool.close()
    assert [each.error.row_code if each.error else "" for each in listeners] == ["draining"] * 3
    assert not any(map(alive, children))
    with pytest.raises(Busy):
        pool.submit(job(), 0.0, Listener())
