from __future__ import annotations

import asyncio
import os
import random
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.cache.making import any_of, clip_of, key_of, take_of
from voicewire.cache.entry import Corrupt, parse, serialize
from voicewire.cache.fs import LEFT_S, PAGE_BYTES, READERS, FsBackend
from voicewire.clips import Clip, Take

KIB = 1024


@asynccontextmanager
async def opened(folder: Path, size_bytes: int = 1 << 30, *, shared: bool = False) -> AsyncIterator[FsBackend]:
    backend = FsBackend(folder, size_bytes, shared=shared)
    await backend.open()
    await backend.refresh()
    yield backend
    await backend.close()


async def put(backend: FsBackend, number: int, size_bytes: int = 5_000) -> None:
    await backend.put(key_of(number), partial(serialize, key_of(number), clip_of(number, size_bytes)))


async def got(backend: FsBackend, number: int) -> Clip | Take | None:
    return await backend.get(key_of(number), partial(parse, key_of(number)))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_what_was_put_is_there_also_for_the_next_process(tmp_path: Path) -> None:
    async with opened(tmp_path) as backend:
        assert not backend.may_have(key_of(1))
        assert await got(backend, 1) is None
        await put(backend, 1)
        await put(backend, 1)
        assert backend.may_have(key_of(1))
        held = backend.held
        assert held.clips == 1
    async with opened(tmp_path) as backend:
        assert backend.held == held
        assert (backend.may_have(key_of(1)), backend.may_have(key_of(2))) == (True, False)
        assert await got(backend, 1) == clip_of(1)
        await backend.discard(key_of(1))
        await backend.discard(key_of(1))
        assert await got(backend, 1) is None
        assert backend.held.size_bytes == 0
    assert files(tmp_path) == []


async def test_a_clip_lies_two_levels_deep_and_is_nobody_elses(tmp_path: Path) -> None:
    async with opened(tmp_path / "cache") as backend:
        await put(backend, 1)
    name = key_of(1).hex()
    path = tmp_path / "cache" / name[0] / name[1] / f"{name}.clip"
    assert files(tmp_path) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (
        stat.S_IMODE(path.parent.stat().st_mode) == stat.S_IMODE((tmp_path / "cache" / "new").stat().st_mode) == 0o700
    )


async def test_takes_and_clips_are_within_one_bound_and_whichever_is_used_stays(tmp_path: Path) -> None:
    async with opened(tmp_path, 8 * PAGE_BYTES) as backend:
        take = partial(serialize, key_of(9), take_of(9, 3 * PAGE_BYTES))
        await backend.put(key_of(9), take)  # four pages
        await put(backend, 1)  # two, as each behind it
        assert await backend.has(key_of(9))
        assert await got(backend, 9) == take_of(9, 3 * PAGE_BYTES)
        await put(backend, 2)
        await put(backend, 3)
        assert [number for number in (1, 2, 3, 9) if await backend.has(key_of(number))] == [2, 3, 9]
        await put(backend, 4)
        assert [number for number in (1, 2, 3, 9) if await backend.has(key_of(number))] == [2, 3]
        assert backend.held.size_bytes == 6 * PAGE_BYTES


async def test_the_bound_holds_and_the_least_recently_used_goes(tmp_path: Path) -> None:
    async with opened(tmp_path, 8 * PAGE_BYTES) as backend:
        for number in range(4):
            await put(backend, number)  # two pages each
        assert await got(backend, 0)
        await put(backend, 4)
        assert [number for number in range(5) if backend.may_have(key_of(number))] == [0, 2, 3, 4]
        assert await got(backend, 1) is None
        assert (backend.held.size_bytes, backend.held.evicted) == (8 * PAGE_BYTES, 1)
        await put(backend, 5, 100 * KIB)  # larger than all
        assert not backend.may_have(key_of(5))
        assert len(files(tmp_path)) == 4


async def test_a_smaller_bound_holds_from_the_start_and_the_last_used_stay(tmp_path: Path) -> None:
    async with opened(tmp_path) as backend:
        for number in range(4):
            await put(backend, number)
    for age, path in enumerate(sorted(files(tmp_path))):
        os.utime(path, (time.time() - 1_000 * age,) * 2)
    oldest = [path.stem for path in sorted(files(tmp_path))][2:]
    async with opened(tmp_path, 4 * PAGE_BYTES) as backend:
        assert backend.held.clips == 2
        assert not any(backend.may_have(bytes.fromhex(name)) for name in oldest)


async def test_use_is_remembered_beyond_the_process(tmp_path: Path) -> None:
    async with opened(tmp_path) as backend:
        await put(backend, 1)
        [path] = files(tmp_path)
        os.utime(path, (0, 0))
        assert await got(backend, 1)
        assert path.stat().st_mtime > time.time() - 1_000


async def test_what_is_not_whole_is_not_given_out(tmp_path: Path) -> None:
    async with opened(tmp_path) as backend:
        await put(backend, 1)
        [path] = files(tmp_path)
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(Corrupt):
            await got(backend, 1)


async def test_a_link_is_not_followed(tmp_path: Path) -> None:
    async with opened(tmp_path / "cache") as backend:
        await put(backend, 1)
        [path] = files(tmp_path)
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OSError, match="symbolic"):
            await got(backend, 1)


@pytest.mark.parametrize("what", [os.mkfifo, os.mkdir])
async def test_what_is_no_file_is_a_lost_clip_and_holds_nobody_up(tmp_path: Path, what: Callable[[Path], None]) -> None:
    async with opened(tmp_path) as backend:
        await put(backend, 1)
        [path] = files(tmp_path)
        path.unlink()
        what(path)
        async with asyncio.timeout(5):
            for _ in range(READERS + 1):
                with pytest.raises(Corrupt):
                    await got(backend, 1)
        await put(backend, 2)
        assert await got(backend, 2) == clip_of(2)


async def test_what_others_put_into_a_shared_folder_is_found(tmp_path: Path) -> None:
    async with opened(tmp_path, shared=True) as one, opened(tmp_path, 4 * PAGE_BYTES, shared=True) as other:
        for number in range(3):
            await put(one, number)
        assert other.may_have(key_of(1))
        assert await got(other, 1) == clip_of(1)
        await other.refresh()
        assert other.held.clips == 2  # its bound is that of the folder
        await one.refresh()
        assert one.held.clips == 2


CLIPS = 6
WRITER = """
import asyncio, sys
from pathlib import Path
from tests.cache.making import any_of, key_of
from voicewire.cache.entry import serialize
from voicewire.cache.fs import FsBackend

CLIPS = 6

async def main():
    written = [serialize(key_of(number), any_of(number)) for number in range(CLIPS)]
    backend = FsBackend(Path(sys.argv[1]), 1 << 30)
    await backend.open()
    print("ready", flush=True)
    for number in range(1_000_000):
        await backend.put(key_of(number % CLIPS), lambda: written[number % CLIPS])

asyncio.run(main())
"""


@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.nightly)])
async def test_killed_in_the_middle_of_writes_it_leaves_no_bad_clip(tmp_path: Path, kills: int) -> None:
    rng, found, whole = random.Random(5), 0, [any_of(number) for number in range(CLIPS)]
    for _ in range(kills):
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(tmp_path), stdout=pipe)
        assert process.stdout
        assert await process.stdout.readline() == b"ready\n"
        await asyncio.sleep(rng.uniform(0.01, 0.1))
        process.send_signal(signal.SIGKILL)
        await process.wait()
        process.stdout.feed_eof()
        async with opened(tmp_path) as backend:
            for number in range(CLIPS):
                clip = await got(backend, number)  # raises, were it not whole
                assert clip is None or clip == whole[number]
                found += clip is not None
    assert found >= CLIPS


async def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    async with opened(tmp_path) as backend:
        left, current = tmp_path / "new" / "1-1", tmp_path / "new" / "1-2"
        for path in (left, current):
            path.write_bytes(b"half a clip")
        os.utime(left, (time.time() - 2 * LEFT_S,) * 2)
        await backend.refresh()
        assert (left.exists(), current.exists()) == (False, True)
        assert backend.held.clips == 0
