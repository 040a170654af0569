"""Blocks encoded of takes: in a format that nobody has asked for before, without an engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import closing
from functools import partial
from threading import Event

from voicewire.cache.shelf import Shelf
from voicewire.clips import Take
from voicewire.render import Encoders, slices_of
from voicewire.takes import replay
from voicewire.types import Job, Slice

THREADS = 2
AT_ONCE = 256  # blocks: beyond it, engines make them

LOGGER = logging.getLogger(__name__)

Tell = Callable[[Slice], None]


class Forms:
    """Encodes what is on the shelf, in threads, so that the event loop goes on."""

    def __init__(self, shelf: Shelf) -> None:
        self.encoded = 0  # blocks, since the start
        self._shelf = shelf
        self._count = 0
        self._free = asyncio.Semaphore(THREADS)
        self._resting = [Encoders() for _ in range(THREADS)]

    async def encode(self, key: bytes, job: Job, tell: Tell) -> bool:
        """Tell of the slices of a take's block as they are ready, on the event loop, and return whether there are any.

        There are none where there is no such take, or no thread in time. Once cancelled, it tells nothing more.
        """
        if self._count >= AT_ONCE:
            return False
        self._count += 1
        try:
            take = await self._shelf.get(key)
            return isinstance(take, Take) and await self._begun() and await self._run(key, take, job, tell)
        finally:
            self._count -= 1

    def close(self) -> None:
        """Let go of the encoders that rest."""
        for encoders in self._resting:
            encoders.close()

    async def _begun(self) -> bool:
        try:
            async with asyncio.timeout(self._shelf.look_s):
                return await self._free.acquire()
        except TimeoutError:
            self._shelf.stats.late += 1
            return False

    async def _run(self, key: bytes, take: Take, job: Job, tell: Tell) -> bool:
        loop, encoders = asyncio.get_running_loop(), self._resting.pop()
        telling = _Telling(loop, partial(self._tell, tell))
        running = loop.run_in_executor(None, telling.encode, take, job, encoders)
        running.add_done_callback(partial(self._ended, key, encoders))
        try:
            await asyncio.shield(running)
        except ValueError:  # before there was anything to tell
            return False
        finally:
            telling.over.set()
        return True

    def _tell(self, tell: Tell, slice: Slice) -> None:
        self.encoded += slice.last
        tell(slice)

    def _ended(self, key: bytes, encoders: Encoders, running: asyncio.Future[None]) -> None:
        self._resting.append(encoders)
        self._free.release()
        if not running.cancelled() and (error := running.exception()):
            LOGGER.error("the take %s cannot be encoded", key.hex(), exc_info=error)


class _Telling:
    """Encodes in a thread, and tells on the event loop until it is over."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Tell) -> None:
        self.over = Event()
        self._loop = loop
        self._tell = tell

    def encode(self, take: Take, job: Job, encoders: Encoders) -> None:
        """Raises `ValueError` for a take that is none."""
        rate_hz, chunks = replay(take.recording)
        with closing(slices_of(chunks, rate_hz, job, encoders)) as slices:
            for slice in slices:
                if self.over.is_set():
                    return
                if slice.packets or slice.words or slice.last:
                    self._loop.call_soon_threadsafe(self._hand_on, slice)

    def _hand_on(self, slice: Slice) -> None:
        if not self.over.is_set():
            self._tell(slice)
