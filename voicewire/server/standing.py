"""What this gateway knows of a caller, so that a first sound waits for Redis only where Redis may say no."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from voicewire.auth.principal import Principal
from voicewire.storage.rates import Taken

AMPLE_MS = 120_000  # of credit: more than the first blocks of a tenant's streams together
SPARE = 10  # a bucket is ample with a tenth of its requests left
FRESH_S = 60.0
CALLERS_MAX = 10_000


@dataclass(slots=True)
class _Known:
    credit_ms: float = 0.0
    requests: float = 0.0  # beyond what is kept spare
    credit_s: float = -math.inf  # when it was said
    requests_s: float = -math.inf


class Standing:
    """The last answers of Redis for each caller; bounded.

    It speaks for the first block of an utterance alone: what it is wrong about is one clause, which is billed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    def credit(self, caller: Principal, left_ms: float) -> None:
        """Take in what is left to a caller, 0 where a hold was refused."""
        known = self._of(caller)
        known.credit_ms, known.credit_s = left_ms, self._clock()

    def counted(self, caller: Principal, taken: Taken | None) -> None:
        """Take in what is left of a caller's requests; None: they are not counted."""
        known = self._of(caller)
        known.requests = math.inf if taken is None else taken.remaining - taken.limit / SPARE
        known.requests_s = self._clock()

    def ample(self, caller: Principal, want_ms: int) -> bool:
        """Whether a caller may surely hold `want_ms` and make one more request, which counts from now on."""
        known = self._known.get(_key(caller))
        if known is None or self._clock() - min(known.credit_s, known.requests_s) > FRESH_S:
            return False
        if known.credit_ms - want_ms < AMPLE_MS or known.requests < 1:
            return False
        known.credit_ms -= want_ms
        known.requests -= 1
        return True

    def _of(self, caller: Principal) -> _Known:
        key = _key(caller)
        known = self._known.setdefault(key, _Known())
        self._known.move_to_end(key)
        if len(self._known) > CALLERS_MAX:
            self._known.popitem(last=False)
        return known


def _key(caller: Principal) -> tuple[str, str]:
    return caller.tenant, caller.id
