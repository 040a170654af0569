"""Which dialects a gateway speaks."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from voicewire.catalogue import Catalogue
from voicewire.config import Config, ConfigError
from voicewire.server.callers import Callers
from voicewire.server.dialects.aliases import Aliases
from voicewire.server.dialects.openai import OpenAi
from voicewire.server.metrics import Metrics
from voicewire.server.recite import Reciter


def dialects(
    config: Config,
    reciter: Reciter,
    callers: Callers,
    catalogue: Callable[[str], Catalogue],
    metrics: Metrics,
) -> list[APIRouter]:
    """Return the doors of all dialects. Raises `ConfigError` for a table of aliases that is not understood."""
    try:
        aliases = Aliases.read(config.data_dir)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return [OpenAi(reciter, callers, catalogue, aliases, metrics).router()]
