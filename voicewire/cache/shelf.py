"""Clips behind those in memory: looked up when memory has them not, and written while nobody waits."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from voicewire.cache.base import Backend, Held
from voicewire.cache.entry import Corrupt, parse, serialize
from voicewire.clips import Clip, size_of

LOOK_S = 0.25  # that a listener waits at most to learn whether a clip is there, unless it is set
LOOKS_MAX = 256  # at once: beyond it, blocks are made
WAITING_BYTES = 64 << 20  # of clips that are not written yet: beyond it, they are not kept
CLOSE_S = 5.0  # to write the rest
REFRESH_S = 300.0

LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class ShelfStats:
    """What a shelf has counted since its start."""

    hits: int = 0
    misses: int = 0  # of those that were looked for: where a clip is known not to be, nobody looks
    late: int = 0  # looks that took too long, or were too many
    written: int = 0
    lost: int = 0  # clips that could not be written, or came too fast
    corrupt: int = 0
    failures: int = 0  # times that the backend could not be used


class Shelf:
    """See the module. `run` must be running for anything to be written."""

    def __init__(self, backend: Backend, *, look_s: float = LOOK_S, waiting_bytes: int = WAITING_BYTES) -> None:
        self._backend = backend
        self._look_s = look_s
        self._waiting_max = waiting_bytes
        self._waiting: OrderedDict[bytes, tuple[Clip, Callable[[], None]]] = OrderedDict()
        self._waiting_bytes = 0
        self._writing: dict[bytes, Clip] = {}
        self._looks: dict[bytes, asyncio.Task[Clip | None]] = {}
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.stats = ShelfStats()

    @property
    def keeps(self) -> bool:
        """Whether there is a place at all."""
        return self._backend.writes_at_once > 0

    @property
    def held(self) -> Held:
        return self._backend.held

    def may_have(self, key: bytes) -> bool:
        """Whether `get` is worth its time. Returns at once."""
        return key in self._waiting or key in self._writing or self._backend.may_have(key)

    async def get(self, key: bytes) -> Clip | None:
        """Return the clip, if it is found soon enough. All who ask at once ask once."""
        if key in self._waiting:
            return self._waiting[key][0]
        if key in self._writing:
            return self._writing[key]
        look = self._looks.get(key)
        if look is None:
            if len(self._looks) >= LOOKS_MAX:
                self.stats.late += 1
                return None
            look = self._looks[key] = asyncio.create_task(self._look(key), name="look for a clip")
            look.add_done_callback(lambda _: self._looks.pop(key))
        return await asyncio.shield(look)

    def put(self, key: bytes, clip: Clip, then: Callable[[], None] = lambda: None) -> None:
        """Have a clip written; `then` is called when others can get it, or nobody ever will."""
        size = size_of(clip)
        if not self.keeps or key in self._waiting or key in self._writing:
            then()  # what is made twice at a time is the same, and is on its way
            return
        if self._waiting_bytes + size > self._waiting_max:
            self.stats.lost += 1
            then()
            return
        self._waiting[key] = clip, then
        self._waiting_bytes += size
        self._more.set()
        self._idle.clear()

    async def run(self) -> None:
        """Write what is put, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._refresh(), name="clips there are")
            for _ in range(self._backend.writes_at_once):
                tasks.create_task(self._write(), name="writes of clips")

    async def drain(self) -> None:
        """Wait until all is written, a moment at most."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._idle.wait()
        except TimeoutError:
            LOGGER.warning("%d clips were not written to the cache any more", len(self._waiting) + len(self._writing))

    async def _look(self, key: bytes) -> Clip | None:
        try:
            async with asyncio.timeout(self._look_s):
                clip = await self._backend.get(key, partial(parse, key))
        except TimeoutError:
            self.stats.late += 1
            return None
        except OSError as error:
            self._failed("read", error)
            return None
        except Corrupt as error:
            await self._discard(key, error)
            return None
        if clip is None:
            self.stats.misses += 1
        else:
            self.stats.hits += 1
        return clip

    async def _discard(self, key: bytes, error: Corrupt) -> None:
        self.stats.corrupt += 1
        LOGGER.warning("the clip %s is removed from the cache: %s", key.hex(), error)
        try:
            await self._backend.discard(key)
        except OSError as failure:
            self._failed("change", failure)

    async def _write(self) -> None:
        while True:
            while not self._waiting:
                self._more.clear()
                await self._more.wait()
            key, (clip, then) = self._waiting.popitem(last=False)
            self._waiting_bytes -= size_of(clip)
            self._writing[key] = clip
            try:
                await self._backend.put(key, partial(serialize, key, clip))
                self.stats.written += 1
            except OSError as error:
                self.stats.lost += 1
                self._failed("write", error)
            finally:
                del self._writing[key]
                then()
                if not self._waiting and not self._writing:
                    self._idle.set()

    async def _refresh(self) -> None:
        while True:
            try:
                await self._backend.refresh()
            except OSError as error:
                self._failed("read", error)
            await asyncio.sleep(REFRESH_S)

    def _failed(self, what: str, error: OSError) -> None:
        """Say the first of each hundred: a full disk fails every time."""
        if self.stats.failures % 100 == 0:
            LOGGER.warning("the cache of clips could not be used to %s: %s", what, error)
        self.stats.failures += 1
