"""Clips and takes in a folder, a file each, two levels deep, within a bound of bytes; the least recently used go first.

A file is written beside its place and renamed into it, so that a killed process leaves a whole clip or none. What a
power cut leaves is told by the checksum. Which files there are is kept in memory: a clip that is not here costs no look
at the disk. A folder that several gateways share is read through again and again, so that they stay within the bound
together.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TypeVar

from voicewire.cache.base import Held, Kept, Read, Write
from voicewire.cache.entry import Corrupt

T = TypeVar("T")

SUFFIX = ".clip"
READERS = 2
CLIPS_MAX = 200_000  # files, however small: what is known of each takes memory
PAGE_BYTES = 4_096  # in which a disk counts
TOUCH_S = 600.0  # that a file's time of use may be behind
LEFT_S = 60.0  # after which a file that is still being written was left behind by a process that died
FOLDER_MODE, FILE_MODE = 0o700, 0o600
READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe would have it wait for who writes
WRITING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FsBackend:
    """See the module, and `Backend`. `shared`: other gateways use the folder, too."""

    writes_at_once = 1
    far = False

    def __init__(self, folder: Path, size_bytes: int, *, shared: bool = False) -> None:
        self._folder = folder
        self._new = folder / "new"
        self._size_bytes = size_bytes
        self._shared = shared
        self._sizes: OrderedDict[bytes, int] = OrderedDict()  # on disk, the least recently used first
        self._held = Held()
        self._lock = Lock()  # of the two before: threads change them
        self._scanned = False
        self._names = itertools.count()
        self._readers = ThreadPoolExecutor(READERS, "cache reads")
        self._writer = ThreadPoolExecutor(1, "cache writes")

    @property
    def held(self) -> Held:
        with self._lock:
            return replace(self._held)

    async def open(self) -> None:
        await self._do(self._writer, self._prepare)

    async def close(self) -> None:
        """Let what is being written be written."""
        for threads in (self._readers, self._writer):
            threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._writer.shutdown)

    def may_have(self, key: bytes) -> bool:
        return self._shared or not self._scanned or key in self._sizes

    async def refresh(self) -> None:
        await self._do(self._writer, self._scan)

    async def get(self, key: bytes, read: Read) -> Kept | None:
        return await self._do(self._readers, partial(self._get, key, read))

    async def has(self, key: bytes) -> bool:
        return await self._do(self._readers, self._path(key).exists)

    async def put(self, key: bytes, write: Write) -> None:
        await self._do(self._writer, partial(self._put, key, write))

    async def discard(self, key: bytes) -> None:
        await self._do(self._writer, partial(self._remove, key))

    @staticmethod
    async def _do(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work)

    # in threads

    def _path(self, key: bytes) -> Path:
        name = key.hex()
        return self._folder / name[0] / name[1] / (name + SUFFIX)

    def _prepare(self) -> None:
        """Make the folder."""
        self._new.mkdir(FOLDER_MODE, parents=True, exist_ok=True)

    def _scan(self) -> None:
        """Read the whole folder; clips come in the order of their last use."""
        self._prepare()
        self._sweep()
        found = sorted(self._files())
        with self._lock:
            self._sizes = OrderedDict((key, size) for _, key, size in found)
            self._held.clips, self._held.size_bytes = len(self._sizes), sum(self._sizes.values())
            self._scanned = True
        self._evict()

    def _sweep(self) -> None:
        """Remove what a killed process was writing."""
        for path in self._new.iterdir():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - LEFT_S:
                    path.unlink()

    def _files(self) -> Iterator[tuple[float, bytes, int]]:
        for path in self._folder.glob(f"[0-9a-f]/[0-9a-f]/*{SUFFIX}"):
            with contextlib.suppress(OSError, ValueError):  # gone meanwhile; not of ours
                status = path.stat()
                yield status.st_mtime, bytes.fromhex(path.stem), _on_disk(status.st_size)

    def _get(self, key: bytes, read: Read) -> Kept | None:
        try:
            data = self._read(key)
        except FileNotFoundError:
            self._forget(key)
            return None
        self._use(key, _on_disk(len(data)))
        return read(data)

    def _read(self, key: bytes) -> bytes:
        """In few calls: behind each a thread waits for the interpreter, which the event loop has."""
        file = os.open(self._path(key), READING)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise Corrupt("it is no file")
            data = os.read(file, status.st_size)
            if time.time() - status.st_mtime > TOUCH_S:
                os.utime(file)
        finally:
            os.close(file)
        return data

    def _put(self, key: bytes, write: Write) -> None:
        """In few calls, as `_read`: folders are made when one is found missing."""
        path, new = self._path(key), self._new / f"{os.getpid()}-{next(self._names)}"
        data = write()
        if _on_disk(len(data)) > self._size_bytes:
            return
        try:
            _within(self._new, partial(_write, new, data))
            _within(path.parent, partial(new.replace, path))
        except OSError:
            with contextlib.suppress(OSError):
                new.unlink()
            raise
        self._use(key, _on_disk(len(data)))
        self._evict()

    def _remove(self, key: bytes) -> None:
        self._forget(key)
        with contextlib.suppress(FileNotFoundError):
            self._path(key).unlink()

    def _use(self, key: bytes, size: int) -> None:
        with self._lock:
            self._held.size_bytes += size - self._sizes.pop(key, 0)
            self._sizes[key] = size
            self._held.clips = len(self._sizes)

    def _forget(self, key: bytes) -> None:
        with self._lock:
            self._held.size_bytes -= self._sizes.pop(key, 0)
            self._held.clips = len(self._sizes)

    def _evict(self) -> None:
        while key := self._too_many():
            with contextlib.suppress(FileNotFoundError):
                self._path(key).unlink()

    def _too_many(self) -> bytes | None:
        """Take the least recently used clip out, if there are too many."""
        with self._lock:
            if self._held.size_bytes <= self._size_bytes and len(self._sizes) <= CLIPS_MAX:
                return None
            key, size = self._sizes.popitem(last=False)
            self._held.size_bytes -= size
            self._held.clips -= 1
            self._held.evicted += 1
            return key


def _on_disk(size: int) -> int:
    return -(-size // PAGE_BYTES) * PAGE_BYTES


def _within(folder: Path, work: Callable[[], object]) -> None:
    """Do what needs `folder`, which is made where it is missing, also when somebody has removed it meanwhile."""
    try:
        work()
    except FileNotFoundError:
        folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        work()


def _write(path: Path, data: bytes) -> None:
    file = os.open(path, WRITING, FILE_MODE)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
    finally:
        os.close(file)
