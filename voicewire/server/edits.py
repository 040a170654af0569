"""Tables that an operator keeps in files of the data folder: an edit is taken while the server runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from voicewire.config import ConfigError

LOGGER = logging.getLogger(__name__)

LOOK_S = 1.0

Table = TypeVar("Table")
Stamp = tuple[int, int, int]  # when it was written, how long it is, and which file it is


@dataclass(slots=True)
class Edited(Generic[Table]):
    """One file. `read` raises `ConfigError`, and then nothing is changed; `take` says whether anything was."""

    path: Path
    read: Callable[[], Table]
    take: Callable[[Table], bool]
    _seen: Stamp | None = None

    async def run(self) -> None:
        """Look at it once a second."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Take what stands there if it was written since the last look; what is wrong with it is logged, once."""
        stamp = await asyncio.to_thread(_stamp, self.path)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            table = await asyncio.to_thread(self.read)
        except ConfigError as error:
            LOGGER.warning("%s: what stood there before holds on", error)
            return
        if self.take(table):
            LOGGER.info("%s was read again", self.path.name)


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:  # none; one that cannot be read is found so when it is
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
