"""Looks whether an engine has other voices than it had, beside the thread that speaks: no long text holds that up."""

from __future__ import annotations

import threading
from collections.abc import Callable

from voicewire.engines.base import ChangingEngine

LOOK_S = 0.5


class Lookout:
    """Calls `tell`, from a thread of its own, each time that the voices of `engine` are others."""

    def __init__(self, engine: ChangingEngine, tell: Callable[[], None]) -> None:
        self._engine = engine
        self._tell = tell
        self._over = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="lookout", daemon=True).start()

    def close(self) -> None:
        """Look no more; one that looks just now may read on."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            if self._engine.look() and not self._over.is_set():
                self._tell()
