"""Which engines a gateway runs, and what each of them needs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from voicewire.config import Config, ConfigError, settings
from voicewire.engines.base import EngineSpec
from voicewire.engines.pool import LocalPool
from voicewire.engines.pooling import Pool
from voicewire.errors import EngineFailed

WORKER = (sys.executable, "-m", "voicewire.worker")
# large blocks of memory stay with the process: else every pass of torch faults its pages in anew
KEEP_MEMORY = ("env", "MALLOC_MMAP_MAX_=0", f"MALLOC_TRIM_THRESHOLD_={1 << 34}")


@dataclass(frozen=True, slots=True)
class Needs:
    """What an engine needs that is not every engine's. `stall_s`: without a slice for so long, a worker is hung."""

    stall_s: float = 10.0
    prefix: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)  # of the engine → the setting it comes from


NEEDS: Mapping[str, Needs] = {
    "espeak": Needs(),
    "tone": Needs(),
    "kokoro": Needs(60.0, KEEP_MEMORY, {"path": "kokoro_path", "device": "kokoro_device"}),
}


async def open_pools(config: Config, stack: contextlib.AsyncExitStack) -> dict[str, Pool]:
    """Start the configured engines; return their pools by model. Raises `ConfigError` in the engine's own words."""
    pools: dict[str, Pool] = {}
    for name in config.engines:
        needs = NEEDS[name]
        options = {option: getattr(config, setting) for option, setting in needs.options.items()}
        pool = LocalPool(
            EngineSpec(f"voicewire.engines.{name}:open_engine", options),
            command=(*_without_secrets(), *needs.prefix, *WORKER),
            workers=config.worker_count,
            queue_limit=config.queue_limit,
            stall_s=needs.stall_s,
        )
        try:
            await pool.start()
        except EngineFailed as error:
            problem = error.fields.get("problem", "see the log")
            raise ConfigError(f"the engine {name} does not start: {problem}") from error
        stack.push_async_callback(pool.close)
        pools[pool.model.id] = pool
    return pools


def _without_secrets() -> tuple[str, ...]:
    """Start a worker without the settings that are secret: whoever looks at processes sees their environment."""
    return ("env", *(f"--unset={row.variable}" for row in settings() if row.secret))
