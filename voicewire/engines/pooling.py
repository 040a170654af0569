"""What a pool of engines is to those who want blocks made, wherever its workers run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from voicewire.engines.outlook import Outlook
from voicewire.engines.ticket import Sink, Ticket
from voicewire.types import Job, Model, Priority, Voice


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a pool holds now, and what it has counted since its start."""

    queued: int
    running: int
    workers: int  # alive
    restarts: int
    retries: int  # blocks made once more after their worker died
    refused: int
    completed: int
    failed: int
    cancelled: int
    sink_errors: int
    rendered_ms: int  # of audio handed to sinks
    halvings: int = 0  # batches halved because memory ran out


class Pool(Protocol):
    """Makes the blocks of one model. Everything but `start` and `close` returns at once, on the event loop."""

    model: Model
    voices: tuple[Voice, ...]

    async def start(self) -> None:
        """Return when blocks can be submitted. Raises `EngineFailed`."""
        ...

    async def close(self) -> None:
        """Stop; blocks still here fail as `draining`."""
        ...

    def submit(
        self,
        job: Job,
        deadline: float,
        sink: Sink,
        *,
        tenant: str = "",
        priority: Priority = Priority.LIVE,
        weight: float = 1.0,
    ) -> Ticket:
        """Have a block made for `sink`, due at `deadline` on `time.monotonic`.

        Of tenants that want more than can be done, each gets its share by `weight`. Raises `Busy` when too much
        waits, and `BadRequest` for text that is not Unicode.
        """
        ...

    def cancel(self, ticket: Ticket) -> None:
        """Drop a block: its sink is not called again. Nothing happens when it has ended."""
        ...

    def postpone(self, ticket: Ticket, deadline: float) -> None:
        """Give a block another deadline. Nothing happens when it has ended."""
        ...

    def rouse(self) -> None:
        """Say that a block will probably be submitted at once: a worker at rest is sooner with it then."""
        ...

    def outlook(self, priority: Priority = Priority.LIVE, *, tenant: str = "", weight: float = 1.0) -> Outlook:
        """What somebody who comes now has to expect: whoever would wait too long is refused before, by `Pipeline`."""
        ...

    def stats(self) -> PoolStats:
        """The figures of this moment."""
        ...
