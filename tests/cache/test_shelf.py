from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.cache.making import clip_of, key_of
from tests.cache.test_fs import files
from voicewire.cache.base import Backend, Held, Read, Write
from voicewire.cache.fs import FsBackend
from voicewire.cache.noop import Noop
from voicewire.cache.shelf import LOOKS_MAX, Shelf
from voicewire.clips import Clip

PATIENT_S = 30.0


class Stuck:
    """A double for a disk or a network that hangs: nothing comes back before `free` is set."""

    writes_at_once = 1

    def __init__(self, *, far: bool = False) -> None:
        self.far = far
        self.free = asyncio.Event()
        self.asked = 0
        self.held = Held()

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def refresh(self) -> None: ...

    def may_have(self, _key: bytes) -> bool:
        return True

    async def get(self, _key: bytes, _read: Read) -> Clip | None:
        self.asked += 1
        await self.free.wait()
        return clip_of(1)

    async def has(self, _key: bytes) -> bool:
        self.asked += 1
        await self.free.wait()
        return False

    async def put(self, _key: bytes, _write: Write) -> None:
        await self.free.wait()

    async def discard(self, _key: bytes) -> None: ...


@asynccontextmanager
async def running(backend: Backend | Stuck, waiting_bytes: int = 1 << 20) -> AsyncIterator[Shelf]:
    await backend.open()
    shelf = Shelf(backend, look_s=PATIENT_S, waiting_bytes=waiting_bytes)
    task = asyncio.create_task(shelf.run())
    yield shelf
    task.cancel()
    await asyncio.wait({task})
    await backend.close()


async def test_a_clip_is_found_before_and_after_it_is_written(tmp_path: Path) -> None:
    async with running(FsBackend(tmp_path, 1 << 20)) as shelf:
        written = asyncio.Event()
        shelf.put(key_of(1), clip_of(1), written.set)
        assert shelf.may_have(key_of(1))
        assert await shelf.get(key_of(1)) == clip_of(1)
        assert files(tmp_path) == []
        await written.wait()
        assert len(files(tmp_path)) == 1
        assert await shelf.get(key_of(1)) == clip_of(1)
        assert await shelf.get(key_of(2)) is None
    assert (shelf.stats.written, shelf.stats.hits, shelf.stats.misses) == (1, 1, 1)


async def test_what_waits_is_written_before_the_end(tmp_path: Path) -> None:
    async with running(FsBackend(tmp_path, 1 << 20)) as shelf:
        for number in range(20):
            shelf.put(key_of(number), clip_of(number))
        await shelf.drain()
        assert len(files(tmp_path)) == 20


async def test_a_corrupt_clip_is_a_miss_and_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(FsBackend(tmp_path, 1 << 20)) as shelf:
        shelf.put(key_of(1), clip_of(1))
        await shelf.drain()
        [path] = files(tmp_path)
        path.write_bytes(path.read_bytes()[:-1])
        assert await shelf.get(key_of(1)) is None
        assert files(tmp_path) == []
        assert not shelf.may_have(key_of(1))
    assert shelf.stats.corrupt == 1
    assert key_of(1).hex() in caplog.text


async def test_a_disk_that_fails_costs_nobody_anything(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "cache"
    async with running(FsBackend(folder, 1 << 20)) as shelf:
        shelf.put(key_of(1), clip_of(1))
        await shelf.drain()
        shutil.rmtree(folder)
        folder.write_text("no folder any more")
        assert await shelf.get(key_of(1)) is None
        told = asyncio.Event()
        shelf.put(key_of(2), clip_of(2), told.set)
        await told.wait()
        assert await shelf.get(key_of(2)) is None
        folder.unlink()
        shelf.put(key_of(3), clip_of(3))
        await shelf.drain()
        assert await shelf.get(key_of(3)) == clip_of(3)
    assert (shelf.stats.lost, shelf.stats.failures) == (1, 3)
    assert len([each for each in caplog.records if each.levelno == logging.WARNING]) == 1


async def test_nobody_waits_long_and_all_wait_for_one_look() -> None:
    stuck = Stuck()
    shelf = Shelf(stuck, look_s=0.05)
    assert await asyncio.gather(*(shelf.get(key_of(1)) for _ in range(100))) == [None] * 100
    assert (stuck.asked, shelf.stats.late) == (1, 1)
    stuck.free.set()
    assert await shelf.get(key_of(1)) == clip_of(1)


async def test_one_who_goes_takes_the_clip_from_nobody() -> None:
    stuck = Stuck()
    shelf = Shelf(stuck, look_s=PATIENT_S)
    first, second = (asyncio.create_task(shelf.get(key_of(1))) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    stuck.free.set()
    assert await second == clip_of(1)


async def test_looks_at_once_are_bounded() -> None:
    stuck = Stuck()
    shelf = Shelf(stuck, look_s=PATIENT_S)
    looks = [asyncio.create_task(shelf.get(key_of(number))) for number in range(1_000)]
    await asyncio.sleep(0.05)
    assert stuck.asked == 256
    stuck.free.set()
    found = await asyncio.gather(*looks)
    assert found.count(None) == shelf.stats.late == 744


async def test_what_comes_faster_than_it_is_written_is_not_kept() -> None:
    stuck = Stuck()
    async with running(stuck, 100_000) as shelf:
        told = 0

        def tell() -> None:
            nonlocal told
            told += 1

        for number in range(100):
            shelf.put(key_of(number), clip_of(number), tell)
        assert 0 < shelf.stats.lost == told < 100
        stuck.free.set()
        await shelf.drain()
        assert (shelf.stats.written, told) == (100 - shelf.stats.lost, 100)


async def test_what_is_put_twice_is_written_once_by_whichever_writer() -> None:
    stuck = Stuck()
    stuck.writes_at_once = 2
    told: list[int] = []
    async with running(stuck) as shelf:
        for again in range(3):
            shelf.put(key_of(1), clip_of(1), partial(told.append, again))
            await asyncio.sleep(0.01)
        stuck.free.set()
        await shelf.drain()
        assert (shelf.stats.written, shelf.stats.lost, sorted(told)) == (1, 0, [0, 1, 2])
        shelf.put(key_of(2), clip_of(2))
        await shelf.drain()
        assert shelf.stats.written == 2


async def test_nowhere_keeps_nothing() -> None:
    async with running(Noop()) as shelf:
        told = asyncio.Event()
        shelf.put(key_of(1), clip_of(1), told.set)
        assert told.is_set()
        assert not shelf.keeps
        assert not shelf.may_have(key_of(1))
        assert await shelf.get(key_of(1)) is None
        assert shelf.stats.lost == 0


async def test_a_crowd_that_asks_for_one_take_asks_once_and_one_who_leaves_takes_nobody_along() -> None:
    stuck = Stuck(far=True)
    async with running(stuck) as shelf:
        leaving, *staying = (asyncio.create_task(_asked(shelf)) for _ in range(50))
        await asyncio.sleep(0)
        leaving.cancel()
        stuck.free.set()
        await asyncio.gather(*staying)
        assert stuck.asked == 1
        assert not shelf.may_have(key_of(1))


async def _asked(shelf: Shelf) -> None:
    ask = shelf.ask(key_of(1))
    assert ask
    await asyncio.shield(ask)


async def test_no_more_is_asked_for_at_once_than_is_looked_for() -> None:
    stuck = Stuck(far=True)
    async with running(stuck) as shelf:
        asks = [shelf.ask(key_of(number)) for number in range(LOOKS_MAX + 10)]
        assert asks.count(None) == 10
        stuck.free.set()
        await asyncio.gather(*filter(None, asks))
