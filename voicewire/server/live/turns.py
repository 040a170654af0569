"""What a client says in its turn: a name that it cancelled is not begun again before it was told of the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

WAITING_MAX = 64  # messages; who sends more is answered sooner, and out of turn


class Turns:
    """Does one thing after the other. What would begin a name that ends just now waits, and all behind it."""

    def __init__(self) -> None:
        self._ending: set[str] = set()
        self._waiting: deque[tuple[str, Callable[[], None]]] = deque()

    def ending(self, name: str) -> None:
        """`ended` follows once the client was told."""
        self._ending.add(name)

    def ended(self, name: str) -> None:
        """Go on with what waited for that."""
        self._ending.discard(name)
        self._go_on()

    def do(self, work: Callable[[], None], begins: str = "") -> None:
        """Do `work`, which begins `begins`, now or in its turn."""
        self._waiting.append((begins, work))
        self._go_on()

    def forget(self) -> None:
        """The client is gone, and what waited with it."""
        self._waiting.clear()

    def _go_on(self) -> None:
        while self._waiting and (self._waiting[0][0] not in self._ending or len(self._waiting) > WAITING_MAX):
            self._waiting.popleft()[1]()
