"""What the sinks of a pool's blocks are told, and what is counted of it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from functools import partial

from voicewire.engines.ticket import Ticket
from voicewire.errors import VoicewireError
from voicewire.types import Slice

COUNTED = (
    "restarts", "retries", "refused", "completed", "failed", "cancelled", "sink_errors", "rendered_ms", "halvings",
)  # fmt: skip

logger = logging.getLogger(__name__)


class Sinks:
    """Tells them. `cancel` drops the block of one that raises; `counts` are a pool's since its start."""

    def __init__(self, cancel: Callable[[Ticket], None]) -> None:
        self.counts = dict.fromkeys(COUNTED, 0)
        self._cancel = cancel

    def deliver(self, ticket: Ticket, slice: Slice) -> None:
        """Hand on what the sink has not got of a slice."""
        fresh = ticket.unseen(slice)
        if any(fresh):
            self.counts["rendered_ms"] += len(fresh.packets) * ticket.job.format.frame_ms
            self._tell(ticket, partial(ticket.sink.slice, fresh))

    def fail(self, ticket: Ticket, error: VoicewireError) -> None:
        """Tell of a block that has ended."""
        self.counts["failed"] += 1
        self._tell(ticket, partial(ticket.sink.failed, error))

    def _tell(self, ticket: Ticket, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            # One listener's mistake must not end the connection that carries the others' audio.
            logger.exception("the sink of block %d failed", ticket.id)
            self.counts["sink_errors"] += 1
            self._cancel(ticket)
            with contextlib.suppress(Exception):  # who waits is told, if that can still be done
                ticket.sink.failed(VoicewireError("internal"))
