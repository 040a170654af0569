"""Clips behind those in memory, and takes: looked up when memory has them not, and written while nobody waits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from voicewire.cache.base import Backend, Held, Kept
from voicewire.cache.entry import Corrupt, parse, serialize
from voicewire.clips import Take, size_of

LOOK_S = 0.25  # that a listener waits at most to learn whether a clip is there, unless it is set
LOOKS_MAX = 256  # at once: beyond it, blocks are made
WAITING_BYTES = 64 << 20  # of clips that are not written yet: beyond it, they are not kept
CLOSE_S = 5.0  # to write the rest
REFRESH_S = 300.0
ABSENT_S = 1.0
ABSENT_MAX = 1_000

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

    def __init__(
        self, backend: Backend, *, look_s: float = LOOK_S, waiting_bytes: int = WAITING_BYTES, takes: bool = True
    ) -> None:
        self._backend = backend
        self.look_s = look_s
        self._takes = takes
        self._waiting_max = waiting_bytes
        self._waiting: OrderedDict[bytes, tuple[Kept, Callable[[], None]]] = OrderedDict()
        self._waiting_bytes = 0
        self._writing: dict[bytes, Kept] = {}
        self._looks: dict[bytes, asyncio.Task[Kept | None]] = {}
        self._asks: dict[bytes, asyncio.Task[None]] = {}
        self._absent: OrderedDict[bytes, float] = OrderedDict()  # until when nobody looks for what was not there
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.stats = ShelfStats()

    @property
    def keeps(self) -> bool:
        """Whether there is a place at all."""
        return self._backend.writes_at_once > 0

    @property
    def keeps_takes(self) -> bool:
        """Whether takes are kept, too."""
        return self.keeps and self._takes

    @property
    def held(self) -> Held:
        return self._backend.held

    def may_have(self, key: bytes) -> bool:
        """Whether `get` is worth its time. Returns at once."""
        if key in self._waiting or key in self._writing:
            return True
        return self._absent.get(key, 0.0) < time.monotonic() and self._backend.may_have(key)

    def ask(self, key: bytes) -> asyncio.Task[None] | None:
        """Begin to ask whether `key` is there, where that takes its time; if not, `may_have` knows for a moment."""
        if not self._backend.far or not self.keeps_takes or not self.may_have(key):
            return None
        ask = self._asks.get(key)
        if ask is None and len(self._asks) < LOOKS_MAX:
            ask = self._asks[key] = asyncio.create_task(self._has(key), name="ask for a take")
            ask.add_done_callback(lambda _: self._asks.pop(key))
        return ask

    async def get(self, key: bytes) -> Kept | None:
        """Return the clip or take, if it is found soon enough. All who ask at once ask once."""
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

    def put(self, key: bytes, kept: Kept, then: Callable[[], None] = lambda: None) -> None:
        """Have a clip or take written; `then` is called when others can get it, or nobody ever will."""
        size = size_of(kept)
        if not self.keeps or key in self._waiting or key in self._writing:
            then()  # what is made twice at a time is the same, and is on its way
            return
        room = self._waiting_max // 2 if isinstance(kept, Take) else self._waiting_max  # clips are wanted sooner
        if self._waiting_bytes + size > room:
            self.stats.lost += 1
            then()
            return
        self._absent.pop(key, None)
        self._waiting[key] = kept, then
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

    async def _look(self, key: bytes) -> Kept | None:
        try:
            async with asyncio.timeout(self.look_s):
                found = await self._backend.get(key, partial(parse, key))
        except TimeoutError:
            self.stats.late += 1
            return None
        except OSError as error:
            self._failed("read", error)
            return None
        except Corrupt as error:
            await self._discard(key, error)
            return None
        if found is None:
            self.stats.misses += 1
        else:
            self.stats.hits += 1
        return found

    async def _has(self, key: bytes) -> None:
        try:
            async with asyncio.timeout(self.look_s):
                there = await self._backend.has(key)
        except (TimeoutError, OSError):  # the look beside it says so
            there = False
        if not there:
            self._absent[key] = time.monotonic() + ABSENT_S
            self._absent.move_to_end(key)
            while len(self._absent) > ABSENT_MAX:
                self._absent.popitem(last=False)

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
            key, (kept, then) = self._waiting.popitem(last=False)
            self._waiting_bytes -= size_of(kept)
            self._writing[key] = kept
            try:
                await self._backend.put(key, partial(serialize, key, kept))
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
