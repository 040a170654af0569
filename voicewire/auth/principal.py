"""Who is calling, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from voicewire.auth.scopes import SCOPES
from voicewire.errors import Forbidden

HOME_TENANT = "home"
"""The tenant of a server that has no accounts: everyone who may use it shares what is in it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one principal may hold at once, over all its connections where that applies."""

    streams: int = 100
    contexts: int = 16  # per stream
    text_chars: int = 10_000  # per context

    def __post_init__(self) -> None:
        if min(self.streams, self.contexts, self.text_chars) < 1:
            raise ValueError("every limit is at least 1")


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose credential was checked. `id` names the key behind it, never the secret."""

    id: str
    tenant: str
    scopes: frozenset[str]
    kind: Literal["key", "ticket", "local"]
    label: str = ""
    limits: Limits = field(default_factory=Limits)

    def require(self, scope: str) -> None:
        """Raise `Forbidden` unless this caller has `scope`, a name from the table of scopes."""
        assert scope in SCOPES
        if scope not in self.scopes:
            raise Forbidden(problem=f"it lacks the scope {scope}")
