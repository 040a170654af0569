"""What all live sessions of a gateway share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from voicewire import frames
from voicewire.auth.principal import Principal
from voicewire.context import Context
from voicewire.pipeline import Pipeline
from voicewire.server.live.journal import Journal
from voicewire.server.live.ticker import Ticker
from voicewire.server.metering import Meter
from voicewire.session import Limits


@dataclass(frozen=True, slots=True)
class Settings:
    """What a live session takes from the configuration."""

    limits: Limits
    stall_s: float
    resume_s: float
    resume_bytes_max: int
    default_model: str

    def limits_of(self, principal: Principal) -> Limits:
        """Return what a session of `principal` may do."""
        own = principal.limits
        return self.limits.within(own.contexts, own.text_chars, own.models)


@dataclass(frozen=True, slots=True)
class Machinery:
    """The parts."""

    settings: Settings
    pipeline: Pipeline
    ticker: Ticker
    journal: Journal
    meter: Meter
    parser: frames.Parser
    observe: Callable[[Context], None]  # told of every context that ends here
