"""What every pool must do, wherever its workers are."""

from __future__ import annotations

import asyncio
import math
import random
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol

import numpy as np
import pytest

from tests.engines.pooled import LONG, Listener, expected, job, until
from voicewire.engines.pooling import Pool
from voicewire.engines.tone import open_engine
from voicewire.errors import BadRequest, Busy, EngineFailed
from voicewire.takes import replay


class Open(Protocol):
    """Opens a pool of the tone engine; `queue_limit` is of the pool, the rest of the engine."""

    def __call__(self, *, queue_limit: int = 100, **options: float | str) -> AbstractAsyncContextManager[Pool]: ...


def submit_many(pool: Pool, count: int) -> None:
    for _ in range(count):
        pool.submit(job(LONG), time.monotonic(), Listener())


class PoolContract:
    """A test class inherits this and gives the fixture `opened`."""

    async def test_a_block_arrives_as_render_makes_it(self, opened: Open) -> None:
        async with opened() as pool:
            assert pool.model == open_engine().model
            assert pool.voices == tuple(open_engine().voices())
            listener = Listener()
            pool.submit(job(LONG), time.monotonic(), listener)
            await listener.ended.wait()
            assert listener.heard == expected(job(LONG))
            stats = pool.stats()
            assert (stats.completed, stats.queued, stats.running, stats.workers) == (1, 0, 0, 1)
            assert stats.rendered_ms == 20 * len(listener.heard[0])

    async def test_to_be_roused_changes_nothing_of_what_is_made(self, opened: Open) -> None:
        async with opened() as pool:
            before, beside = Listener(), Listener()
            pool.rouse()
            pool.submit(job(LONG), time.monotonic(), before)
            pool.rouse()
            pool.submit(job(LONG), time.monotonic(), beside)
            await before.ended.wait()
            pool.rouse()
            await beside.ended.wait()
            assert before.heard == beside.heard == expected(job(LONG))

    async def test_who_asks_gets_what_the_engine_gave_with_the_end(self, opened: Open) -> None:
        async with opened() as pool:
            asked, other = Listener(), Listener()
            wanted = replace(job(LONG), record=True)
            pool.submit(wanted, 0.0, asked)
            pool.submit(job(LONG), 0.0, other)
            await asked.ended.wait()
            await other.ended.wait()
            *before, last = asked.slices
            assert last.recording
            rate_hz, chunks = replay(last.recording)
            given = [*open_engine().synthesize(wanted.utterance)]
            assert rate_hz == pool.model.rate_hz
            for chunk, again in zip(given, chunks, strict=True):
                assert np.array_equal(chunk.pcm, again.pcm)
                assert chunk[1:] == again[1:]
            assert not any(slice.recording for slice in (*before, *other.slices))
            assert asked.heard == other.heard

    async def test_errors_of_the_engine_reach_the_sink(self, opened: Open) -> None:
        async with opened(fail_on="bad") as pool:
            failing, unknown = Listener(), Listener()
            pool.submit(job("good bad"), 0.0, failing)
            pool.submit(job(voice="nobody"), 0.0, unknown)
            await failing.ended.wait()
            await unknown.ended.wait()
            assert isinstance(failing.error, EngineFailed)
            assert isinstance(unknown.error, BadRequest)
            assert unknown.error.row_code == "unknown_voice"
            assert pool.stats().failed == 2

    async def test_a_cancelled_block_is_silent_and_its_lane_free(self, opened: Open) -> None:
        async with opened(lanes=1, rtf=0.1, chunk_ms=100) as pool:
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

    async def test_a_block_that_nobody_waits_for_is_made_too(self, opened: Open) -> None:
        async with opened() as pool:
            listener = Listener()
            ticket = pool.submit(job(), math.inf, listener)
            pool.postpone(ticket, time.monotonic())
            await listener.ended.wait()
            assert listener.heard == expected(job())
            pool.postpone(ticket, math.inf)

    async def test_the_queue_is_bounded(self, opened: Open) -> None:
        async with opened(lanes=1, queue_limit=3, rtf=0.1) as pool:
            with pytest.raises(Busy) as caught:
                submit_many(pool, 12)
            assert caught.value.retry_after_ms is not None
            assert caught.value.retry_after_ms > 0
            assert pool.stats().refused == 1

    async def test_text_that_is_not_unicode_is_refused(self, opened: Open) -> None:
        async with opened() as pool:
            with pytest.raises(BadRequest):
                pool.submit(job("a\ud800b"), 0.0, Listener())
            assert (pool.stats().queued, pool.stats().running) == (0, 0)

    async def test_a_sink_that_raises_loses_its_own_block_only(
        self, opened: Open, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fall() -> None:
            raise RuntimeError("a mistake of the listener's")

        async with opened() as pool:
            other = Listener()
            pool.submit(job(LONG), 0.0, Listener(fall))
            pool.submit(job(LONG), 1.0, other)
            await other.ended.wait()
            assert other.heard == expected(job(LONG))
            assert (pool.stats().sink_errors, pool.stats().cancelled, pool.stats().restarts) == (1, 1, 0)
            assert "a mistake of the listener's" in caplog.text

    async def test_many_blocks_and_random_cancels_leave_nothing_behind(self, opened: Open) -> None:
        async with opened(queue_limit=1_000) as pool:
            dice = random.Random(7)
            kept: list[Listener] = []
            dropped: list[tuple[Listener, int]] = []
            for nth in range(100):
                listener = Listener()
                deadline = time.monotonic() + dice.choice([0, 0, 1, math.inf])
                ticket = pool.submit(job("Hi."), deadline, listener, tenant=f"t{nth % 3}")
                if dice.random() < 0.5:
                    await asyncio.sleep(dice.choice([0, 0, 0.002]))
                    pool.cancel(ticket)
                    dropped.append((listener, len(listener.slices)))
                else:
                    kept.append(listener)
            for listener in kept:
                await listener.ended.wait()
            right = expected(job("Hi."))
            assert all(listener.heard == right for listener in kept)
            assert all(len(listener.slices) == count for listener, count in dropped)
            stats = pool.stats()
            assert (stats.queued, stats.running) == (0, 0)
            assert stats.completed + stats.cancelled == 100

    async def test_closing_ends_every_block_as_draining(self, opened: Open) -> None:
        async with opened(rtf=0.1, lanes=1) as pool:
            listeners = [Listener() for _ in range(3)]
            for each in listeners:
                pool.submit(job(LONG), 0.0, each)
            await until(lambda: any(each.slices for each in listeners))
            await pool.close()
            assert [each.error.row_code if each.error else "" for each in listeners] == ["draining"] * 3
            with pytest.raises(Busy):
                pool.submit(job(), 0.0, Listener())
