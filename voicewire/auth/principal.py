"""Who is calling, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from voicewire.auth.scopes import SCOPES
from voicewire.errors import Forbidden

HOME_TENANT = "home"
"""The tenant of the server itself: its operator, the bootstrap key, and whoever sits at its machine."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one tenant may hold at once and ask for; a key may have less than its tenant's plan."""

    streams: int = 100  # connections and requests that speak, over all gateways
    contexts: int = 16  # per stream
    text_chars: int = 10_000  # per context or request
    requests_minute: int = 6_000
    models: frozenset[str] | None = None  # None: all
    metered: bool = False  # whether seconds are limited by the balance; they are recorded anyway
    cached_percent: int = 100  # what a block that was made before costs
    weight: float = 1.0  # its share, beside other tenants', of engines that cannot do all that is asked for

    def __post_init__(self) -> None:
        if min(self.streams, self.contexts, self.text_chars, self.requests_minute) < 1:
            raise ValueError("every limit is at least 1")
        if not self.weight > 0:
            raise ValueError("the weight is more than 0")


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose credential was checked. `id` names the key or person behind it, never the secret."""

    id: str
    tenant: str
    scopes: frozenset[str]
    kind: Literal["key", "user", "ticket", "local"]
    label: str = ""
    limits: Limits = field(default_factory=Limits)
    user: str = ""  # the person's id, where there is one
    key: str = ""  # the key's id, where there is one
    expires: float | None = None  # when the credential ends, as a time of day in seconds

    def require(self, scope: str) -> None:
        """Raise `Forbidden` unless this caller has `scope`, a name from the table of scopes."""
        assert scope in SCOPES
        if scope not in self.scopes:
            raise Forbidden(problem=f"it lacks the scope {scope}")
