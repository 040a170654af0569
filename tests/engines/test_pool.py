from __future__ import annotations

import asyncio
import errno
import logging
import math
import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import uvloop

from voicewire.engines.base import EngineSpec
from voicewire.engines.pool import Pool
from voicewire.engines.tone import open_engine
from voicewire.errors import BadRequest, Busy, EngineFailed, VoicewireError
from voicewire.render import Encoders, render
from voicewire.types import Format, Job, Slice, Utterance, Word

TONE = "voicewire.engines.tone:open_engine"
COMMAND = (sys.executable, "-m", "voicewire.worker")
LONG = "one two three four five six seven eight nine ten " * 8
Options = dict[str, str | int | float | bool]


class Listener:
    """A sink that remembers."""

    def __init__(self, on_slice: Callable[[], None] = lambda: None) -> None:
        self.slices: list[Slice] = []
        self.error: VoicewireError | None = None
        self.ended = asyncio.Event()
        self.begun = asyncio.Event()
        self._on_slice = on_slice

    def slice(self, s: Slice) -> None:
        assert not self.ended.is_set(), "nothing follows the end"
        self.slices.append(s)
        self.begun.set()
        if s.last:
            self.ended.set()
        self._on_slice()

    def failed(self, error: VoicewireError) -> None:
        assert not self.ended.is_set(), "nothing follows the end"
        self.error = error
        self.ended.set()

    @property
    def heard(self) -> tuple[list[bytes], list[Word]]:
        return [p for s in self.slices for p in s.packets], [w for s in self.slices for w in s.words]


def job(text: str = "Hello there.", voice: str = "middle") -> Job:
    return Job(Utterance(text, voice), Format(), 100)


def expected(made: Job) -> tuple[list[bytes], list[Word]]:
    slices = list(render(open_engine(), made, Encoders()))
    return [p for s in slices for p in s.packets], [w for s in slices for w in s.words]


def processes(pool: Pool) -> list[int]:
    return [child._process.pid for child in pool._children.values() if child._process]


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def new_pool(options: Options, workers: int = 1, queue_limit: int = 100, stall_s: float = 10.0) -> Pool:
    spec = EngineSpec(TONE, options)
    return Pool(spec, command=COMMAND, workers=workers, queue_limit=queue_limit, stall_s=stall_s)


StartPool = Callable[..., Awaitable[Pool]]


@pytest.fixture
async def start() -> AsyncIterator[StartPool]:
    pools: list[Pool] = []

    async def start_pool(workers: int = 1, queue_limit: int = 100, stall_s: float = 10.0, **options: float) -> Pool:
        pools.append(new_pool({**options}, workers, queue_limit, stall_s))
        await pools[-1].start()
        return pools[-1]

    yield start_pool
    for pool in pools:
        children = processes(pool)
        await pool.close()
        assert not any(map(alive, children)), "no process outlives its pool"
        assert not pool._messages


async def test_a_block_arrives_as_render_makes_it(start: StartPool) -> None:
    pool = await start()
    assert pool.model == open_engine().model
    assert pool.voices == tuple(open_engine().voices())
    listener = Listener()
    pool.submit(job(LONG), time.monotonic(), listener)
    await listener.ended.wait()
    assert listener.heard == expected(job(LONG))
    stats = pool.stats()
    assert (stats.completed, stats.queued, stats.running, stats.workers) == (1, 0, 0, 1)
    assert stats.rendered_ms == 20 * len(listener.heard[0])


async def test_errors_of_the_engine_reach_the_sink(start: StartPool) -> None:
    pool = await start(fail_on="bad")
    failing, unknown = Listener(), Listener()
    pool.submit(job("good bad"), 0.0, failing)
    pool.submit(job(voice="nobody"), 0.0, unknown)
    await failing.ended.wait()
    await unknown.ended.wait()
    assert isinstance(failing.error, EngineFailed)
    assert isinstance(unknown.error, BadRequest)
    assert unknown.error.row_code == "unknown_voice"
    assert pool.stats().failed == 2


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_block_whose_worker_is_killed_goes_on_without_a_seam(start: StartPool, workers: int) -> None:
    pool = await start(workers=workers, rtf=0.03)
    listener = Listener()
    pool.submit(job(LONG), time.monotonic(), listener)
    await until(lambda: len(listener.slices) >= 3)
    (holder,) = (child for worker, child in pool._children.items() if worker.jobs)
    holder.kill()
    await listener.ended.wait()
    assert listener.heard == expected(job(LONG))
    assert pool.stats().retries == 1
    await until(lambda: pool.stats().workers == workers)
    assert pool.stats().restarts == 1


async def test_a_block_that_kills_workers_is_given_up_and_the_others_are_not(start: StartPool) -> None:
    pool = await start(crash_on="poison", rtf=0.001)
    poison, *others = [Listener() for _ in range(4)]
    for each in others[:2]:
        pool.submit(job(LONG), time.monotonic() + 60, each)
    pool.submit(job("some poison here"), time.monotonic(), poison)
    pool.submit(job(LONG), time.monotonic() + 60, others[2])
    for each in (poison, *others):
        await each.ended.wait()
    assert isinstance(poison.error, EngineFailed)
    assert all(each.heard == expected(job(LONG)) for each in others)
    assert pool.stats().failed == 1


async def test_a_worker_that_hangs_is_killed(start: StartPool) -> None:
    pool = await start(workers=2, stall_s=0.4, hang_on="tar")
    hanging, other = Listener(), Listener()
    children = processes(pool)
    pool.submit(job("into the tar pit"), 0.0, hanging)
    await hanging.ended.wait()
    assert isinstance(hanging.error, EngineFailed)
    await until(lambda: not any(map(alive, children)))
    pool.submit(job(), 0.0, other)
    await other.ended.wait()
    assert other.heard == expected(job())


async def test_a_hanging_block_that_was_cancelled_costs_its_worker_too(start: StartPool) -> None:
    pool = await start(stall_s=0.4, hang_on="tar")
    (child,) = processes(pool)
    listener = Listener()
    ticket = pool.submit(job("one two three tar"), 0.0, listener)
    await listener.begun.wait()
    await asyncio.sleep(0.1)  # for the tar
    pool.cancel(ticket)
    await until(lambda: not alive(child))
    listener = Listener()
    pool.submit(job(), 0.0, listener)
    await listener.ended.wait()
    assert listener.heard == expected(job())


async def test_an_idle_worker_is_not_taken_for_a_hanging_one(start: StartPool) -> None:
    pool = await start(stall_s=1.0)
    await asyncio.sleep(1.5)
    listener = Listener()
    pool.submit(job(), 0.0, listener)
    await listener.ended.wait()
    assert pool.stats().restarts == 0


async def test_a_worker_is_not_blamed_for_our_own_deafness(start: StartPool) -> None:
    pool = await start(stall_s=0.7, delay_s=0.2)
    (child,) = processes(pool)
    listener = Listener()
    pool.submit(job(), 0.0, listener)
    os.kill(child, signal.SIGSTOP)
    time.sleep(1.0)  # the event loop stands still
    os.kill(child, signal.SIGCONT)
    await listener.ended.wait()
    assert listener.heard == expected(job())
    assert pool.stats().restarts == 0


async def test_a_cancelled_block_is_silent_and_its_lane_free(start: StartPool) -> None:
    pool = await start(lanes=1, rtf=0.1, chunk_ms=100)
    cancelled, following = Listener(), Listener()
    ticket = pool.submit(job(LONG), time.monotonic(), cancelled)
    pool.submit(job(), time.monotonic(), following)
    await cancelled.begun.wait()
    pool.cancel(ticket)
    count = len(cancelled.slices)
    assert pool.stats().running == 1
    await following.ended.wait()
    assert following.heard == expected(job())
    assert len(cancelled.slices) == count
    pool.cancel(ticket)
    assert pool.stats().cancelled == 1


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


async def test_text_that_is_not_unicode_is_refused(start: StartPool) -> None:
    pool = await start()
    with pytest.raises(BadRequest):
        pool.submit(job("a\ud800b"), 0.0, Listener())
    assert (pool.stats().queued, pool.stats().running) == (0, 0)


async def test_a_sink_that_raises_loses_its_own_block_only(start: StartPool, caplog: pytest.LogCaptureFixture) -> None:
    def fall() -> None:
        raise RuntimeError("a mistake of the listener's")

    pool = await start()
    other = Listener()
    pool.submit(job(LONG), 0.0, Listener(fall))
    pool.submit(job(LONG), 1.0, other)
    await other.ended.wait()
    assert other.heard == expected(job(LONG))
    assert (pool.stats().sink_errors, pool.stats().cancelled, pool.stats().restarts) == (1, 1, 0)
    assert "a mistake of the listener's" in caplog.text


async def test_a_thousand_blocks_and_random_cancels_leave_nothing_behind(start: StartPool) -> None:
    pool = await start(workers=2, queue_limit=1_000)
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
    assert not pool._schedule._turns


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


@pytest.mark.parametrize(
    ("spec", "command", "words"),
    [
        (EngineSpec(TONE, {"pitch": 1}), COMMAND, "pitch"),
        (EngineSpec("voicewire.engines.none:open_engine"), COMMAND, "voicewire.engines.none"),
        (EngineSpec(TONE), (sys.executable, "-c", "raise SystemExit('no luck today')"), "no luck today"),
        (EngineSpec(TONE), ("/nowhere/python",), "/nowhere/python"),
    ],
)
async def test_a_worker_that_cannot_start_says_why(spec: EngineSpec, command: tuple[str, ...], words: str) -> None:
    pool = Pool(spec, command=command, workers=1, queue_limit=1)
    with pytest.raises(EngineFailed) as caught:
        await pool.start()
    assert words in str(caught.value.fields["problem"])
    assert not asyncio.all_tasks() - {asyncio.current_task()}, "no task is left behind"


async def test_a_lack_of_sockets_does_not_end_the_pool(start: StartPool, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = await start()

    def none_left() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socketpair", none_left)
        os.kill(processes(pool)[0], signal.SIGKILL)
        await until(lambda: pool.stats().restarts > 1)
    await until(lambda: pool.stats().workers == 1)
    listener = Listener()
    pool.submit(job(), 0.0, listener)
    await listener.ended.wait()
    assert listener.error is None


async def test_what_workers_write_is_logged(start: StartPool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    pool = await start(crash_on="never")
    listener = Listener()
    pool.submit(Job(Utterance("Hello.", "middle", speed=0.0), Format()), 0.0, listener)
    await listener.ended.wait()
    assert isinstance(listener.error, EngineFailed)
    await until(lambda: "ZeroDivisionError" in caplog.text)


async def test_workers_step_back_and_get_their_environment() -> None:
    env = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    spec = EngineSpec(TONE)
    pool = Pool(spec, command=COMMAND, workers=1, queue_limit=1, nice=7, env=env)
    await pool.start()
    (child,) = processes(pool)
    assert os.getpriority(os.PRIO_PROCESS, child) == os.getpriority(os.PRIO_PROCESS, 0) + 7
    assert b"MALLOC_ARENA_MAX=1" in Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
    await pool.close()


async def test_a_worker_told_to_terminate_is_replaced(start: StartPool) -> None:
    pool = await start()
    (child,) = processes(pool)
    os.kill(child, signal.SIGTERM)
    await until(lambda: pool.stats().restarts == 1 and pool.stats().workers == 1)
    listener = Listener()
    pool.submit(job(), 0.0, listener)
    await listener.ended.wait()
    assert listener.heard == expected(job())


def test_all_of_it_runs_on_uvloop() -> None:
    async def speak_and_kill() -> Listener:
        pool = new_pool({"rtf": 0.03})
        await pool.start()
        listener = Listener()
        pool.submit(job(LONG), time.monotonic(), listener)
        await listener.begun.wait()
        os.kill(processes(pool)[0], signal.SIGKILL)
        await listener.ended.wait()
        await pool.close()
        return listener

    assert uvloop.run(speak_and_kill()).heard == expected(job(LONG))
