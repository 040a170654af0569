"""What the log has of engines that fail: in their own words, which hold no text and no key, and not each time."""

from __future__ import annotations

import logging

from voicewire.errors import Busy, EngineFailed, VoicewireError

AGAIN_S = 60.0  # what goes on is said so often
KINDS_MAX = 64  # different ones that are told apart

logger = logging.getLogger(__name__)


class Complaints:
    """Hears of every block that failed, and says each problem once in `AGAIN_S`."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[float, int]] = {}  # problem → when it was said, and how often it was heard since

    def hear(self, model: str, error: VoicewireError, now: float) -> None:
        """`model` could not make a block. What is the caller's own mistake is not said."""
        problem = str(error.fields.get("problem", ""))
        if not problem or not isinstance(error, Busy | EngineFailed):
            return
        said_s, more = self._said.get(problem, (None, 0))
        if said_s is not None and now - said_s < AGAIN_S:
            self._said[problem] = said_s, more + 1
            return
        if said_s is None and len(self._said) >= KINDS_MAX and not self._forget(now):
            return
        self._said[problem] = now, 0
        logger.warning("%s failed: %s%s", model, problem, f" ({more} times more since then)" if more else "")

    def _forget(self, now: float) -> bool:
        """Make room, if any is so old that it would be said again."""
        self._said = {problem: each for problem, each in self._said.items() if now - each[0] < AGAIN_S}
        return len(self._said) < KINDS_MAX
