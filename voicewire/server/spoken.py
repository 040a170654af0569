"""What usage says of a stream: who speaks, with what."""

from __future__ import annotations

from dataclasses import dataclass

from voicewire.auth.principal import Principal
from voicewire.storage.ledger import Item


@dataclass(frozen=True, slots=True)
class Spoken:
    """See the module."""

    principal: Principal
    stream: str
    model: str
    voice: str

    def item(self, block: int, *, cached: bool) -> Item:
        principal = self.principal
        return Item(principal.tenant, self.stream, block, self.model, self.voice, principal.key, cached)
