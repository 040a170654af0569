"""What all live sessions of a gateway share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from voicewire import frames
from voicewire.context import Context
from voicewire.pipeline import Pipeline
from voicewire.server.journal import Journal
from voicewire.server.metering import Meter
from voicewire.server.ticker import Ticker
from voicewire.session import Limits


@dataclass(frozen=True, slots=True)
class Settings:
    """What a live session takes from the configuration."""

    limits: Limits
    stall_s: float
    resume_s: float
    resume_bytes_max: int


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
