"""The interface of a speech engine, and how a worker process finds one."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from voicewire.errors import VoicewireError
from voicewire.types import Chunk, Model, Utterance, Voice


class Engine(Protocol):
    """Makes speech, in one process and on one thread, for up to `model.lanes` utterances at a time.

    Engines live in worker processes: they may block, keep global state and use a whole core.
    """

    @property
    def model(self) -> Model:
        """What this engine can do."""
        ...

    def voices(self) -> Sequence[Voice]:
        """Every voice it has, in the order in which a person would like to see them."""
        ...

    def synthesize(self, utterance: Utterance) -> Generator[Chunk, None, None]:
        """Speak one utterance; audio comes as soon as it is made, the first chunk as early as possible.

        Up to `model.lanes` of these generators may be open at once and are advanced in any order.
        Closing one frees its lane at once. Raises `errors.BadRequest("unknown_voice")` for a voice it
        does not have, and `errors.EngineFailed` when it cannot go on.
        """
        ...

    def close(self) -> None:
        """Give back what the engine holds. Nothing else is called afterwards."""
        ...


@runtime_checkable
class WaitingEngine(Engine, Protocol):
    """An engine whose audio is made elsewhere: an utterance that has nothing yet yields a chunk without samples.

    Whoever advances its utterances turns to another then, and waits where none has anything. What it makes costs.
    """

    def fileno(self) -> int:
        """A descriptor that is readable as long as an open utterance has something, or has ended."""
        ...


@runtime_checkable
class ChangingEngine(Engine, Protocol):
    """An engine whose voices can come and go while it is open."""

    def look(self) -> bool:
        """Look for what has changed, and return whether `voices` are others now. Called on a thread of its own."""
        ...


BatchPart = Chunk | VoicewireError | None
"""What a batch says of one of its utterances: audio, or why it failed, or, with None, that it is complete."""


@runtime_checkable
class BatchEngine(Engine, Protocol):
    """An engine that speaks several utterances in one pass for much less than the price of as many passes."""

    @property
    def batch_max(self) -> int:
        """How many utterances it takes at once."""
        ...

    @property
    def halvings(self) -> int:
        """How often a batch had to be halved because memory ran out, since the engine was opened."""
        ...

    def size(self, utterance: Utterance) -> int:
        """About how long it will be, in any unit: an engine pads the utterances of a batch to the longest."""
        ...

    def synthesize_batch(
        self, utterances: Sequence[Utterance], dropped: Collection[int] = ()
    ) -> Generator[tuple[int, BatchPart], None, None]:
        """Speak all of them; each part comes with the number of its utterance, as soon as it is ready.

        The chunks of an utterance are those of `synthesize`, up to rounding, and come in order; the first utterances
        come first as far as that can be had. One that fails does not fail the others. `dropped` holds the numbers of
        those that are not wanted any more, and may grow meanwhile; they need no end.
        """
        ...


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Which engine a worker process opens: `factory` is `"package.module:function"`. Options may be secret."""

    factory: str
    options: dict[str, str | int | float | bool] = field(default_factory=dict, repr=False)
