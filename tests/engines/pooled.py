"""A pool of tone workers for tests: what listens, what is expected, and how to wait."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from voicewire.engines.base import EngineSpec
from voicewire.engines.pool import LocalPool
from voicewire.engines.tone import open_engine
from voicewire.errors import VoicewireError
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


def processes(pool: LocalPool) -> list[int]:
    return [child._process.pid for child in pool._children.values() if child._process]


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def new_pool(
    options: Options, workers: int = 1, queue_limit: int = 100, stall_s: float = 10.0, factory: str = TONE
) -> LocalPool:
    spec = EngineSpec(factory, options)
    return LocalPool(spec, command=COMMAND, workers=workers, queue_limit=queue_limit, stall_s=stall_s)


StartPool = Callable[..., Awaitable[LocalPool]]
