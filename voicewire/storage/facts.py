"""What was delivered is a fact: a gateway keeps it until PostgreSQL has it, and says it again until then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from voicewire.storage.ledger_script import Item
from voicewire.storage.life import Life, View

FACTS_MAX = 20_000
PARK, SETTLE, AMEND = "park", "settle", "amend"

Name = tuple[str, str, int]


@dataclass(slots=True)
class Fact:
    """How much of a block was delivered in all, as it was last told."""

    item: Item
    kind: str
    ms: int
    audio_ms: int
    metered: int
    life: Life | None  # in which Redis knows what PostgreSQL has of the block; None: it may not
    told_s: float
    applied: tuple[Life, int] | None = None  # and the last entry then
    asked: bool = False  # now


class Facts:
    """The facts that are not known to be in PostgreSQL: one for each block, the latest."""

    def __init__(self) -> None:
        self._facts: dict[Name, Fact] = {}

    def __len__(self) -> int:
        return len(self._facts)

    @property
    def full(self) -> bool:
        """Whether no more should be delivered before some are recorded."""
        return len(self._facts) >= FACTS_MAX

    def tell(self, fact: Fact) -> Fact:
        """Keep `fact`; return what is to be said of the block, with what was said of it before."""
        name = name_of(fact.item)
        before = self._facts.pop(name, None)
        self._facts[name] = fact if before is None else _merged(before, fact)
        return self._facts[name]

    def confirm(self, life: Life, view: View) -> None:
        """Forget what PostgreSQL has by now."""
        recorded = view.recorded
        done = [
            name
            for name, fact in self._facts.items()
            if fact.applied and fact.applied[0] == life and fact.applied[1] <= recorded
        ]
        for name in done:
            del self._facts[name]

    def said(self, tenant: str, stream: str, life: Life) -> bool:
        """Whether Redis has all facts of a stream, in this life."""
        mine = (fact for (of, name, _), fact in self._facts.items() if (of, name) == (tenant, stream))
        return all(fact.applied is not None and fact.applied[0] == life for fact in mine)

    def unsaid(self, life: Life) -> Iterator[Fact]:
        """Facts that Redis does not have in this life, as far as is known."""
        for fact in list(self._facts.values()):
            if not fact.asked and (fact.applied is None or fact.applied[0] != life):
                yield fact


def name_of(item: Item) -> Name:
    return (item.tenant, item.stream, item.block)


def _merged(before: Fact, fact: Fact) -> Fact:
    """A settled block stays settled, and only an amendment lowers what was said."""
    if fact.kind == AMEND:
        if before.kind != PARK:
            fact.ms, fact.audio_ms = min(before.ms, fact.ms), min(before.audio_ms, fact.audio_ms)
    elif before.kind != PARK:
        return before
    else:
        fact.ms, fact.audio_ms = max(before.ms, fact.ms), max(before.audio_ms, fact.audio_ms)
    fact.life = before.life
    return fact
