"""A pool whose workers die, hang, do not start or are late: blocks go on, or say that they do not."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
import uvloop

from tests.engines.pooled import (
    COMMAND,
    LONG,
    TONE,
    Listener,
    StartPool,
    alive,
    expected,
    job,
    new_pool,
    processes,
    until,
)
from voicewire.engines.base import EngineSpec
from voicewire.engines.pool import NO_WORKER_S, TICK_S, LocalPool
from voicewire.errors import EngineFailed
from voicewire.types import Format, Job, Utterance


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
    pool = await start(workers=2, stall_s=1.5, hang_on="tar")
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
    pool = await start(stall_s=2.0, hang_on="tar")
    (child,) = processes(pool)
    listener = Listener()
    ticket = pool.submit(job("one two three tar"), 0.0, listener)
    await listener.begun.wait()
    await asyncio.sleep(1.0)  # for the tar
    pool.cancel(ticket)
    await until(lambda: not alive(child))
    listener = Listener()
    pool.submit(job(), 0.0, listener)
    await listener.ended.wait()
    assert listener.heard == expected(job())


async def test_an_idle_worker_is_not_taken_for_a_hanging_one(start: StartPool) -> None:
    pool = await start(stall_s=3.0)
    await asyncio.sleep(3.2)
    listener = Listener()
    pool.submit(job(), 0.0, listener)
    await listener.ended.wait()
    assert pool.stats().restarts == 0


async def test_a_worker_is_not_blamed_for_our_own_deafness(start: StartPool) -> None:
    pool = await start(stall_s=2.0, delay_s=0.2)
    (child,) = processes(pool)
    listener = Listener()
    pool.submit(job(), 0.0, listener)
    os.kill(child, signal.SIGSTOP)
    time.sleep(2.5)  # the event loop stands still
    os.kill(child, signal.SIGCONT)
    await listener.ended.wait()
    assert listener.heard == expected(job())
    assert pool.stats().restarts == 0


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
    pool = LocalPool(spec, command=command, workers=1, queue_limit=1)
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
    pool = LocalPool(spec, command=COMMAND, workers=1, queue_limit=1, nice=7, env=env)
    await pool.start()
    (child,) = processes(pool)
    assert os.getpriority(os.PRIO_PROCESS, child) == os.getpriority(os.PRIO_PROCESS, 0) + 7
    assert b"MALLOC_ARENA_MAX=1" in Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
    await pool.close()


async def test_a_block_of_a_retired_pool_waits_for_the_worker_that_it_brings_about(start: StartPool) -> None:
    pool = await start()
    pool.retire()
    os.kill(processes(pool)[0], signal.SIGTERM)
    await until(lambda: not pool._children)
    pool._worker_seen_s -= 2 * NO_WORKER_S
    await asyncio.sleep(2 * TICK_S)
    listener = Listener()
    pool.submit(job(), time.monotonic(), listener)
    await listener.ended.wait()
    assert listener.error is None
    assert listener.heard == expected(job())


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
