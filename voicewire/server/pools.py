"""Which engines a gateway runs, and what each of them needs."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from voicewire.config import Config, ConfigError, settings
from voicewire.engines.base import EngineSpec
from voicewire.engines.pool import LocalPool
from voicewire.engines.pooling import Pool
from voicewire.errors import EngineFailed
from voicewire.server.tasks import together
from voicewire.types import Model, Voice

Offers = Sequence[tuple[Model, Sequence[Voice]]]

LOOK_S = 0.5  # between looks at what engines here can speak
WORKER = ("-m", "voicewire.worker")
UPSTREAM = {"lanes": "upstream_lanes", "timeout_s": "upstream_timeout_s"}
UPSTREAM_STALL_S = 90.0  # more than upstream_timeout_s may be: then a block fails alone
WHOLE_STALL_S = 180.0  # half a minute of audio in one piece, on a CPU
# large blocks of memory stay with the process: else every pass of torch faults its pages in anew
KEEP_MEMORY = ("env", "MALLOC_MMAP_MAX_=0", f"MALLOC_TRIM_THRESHOLD_={1 << 34}")


@dataclass(frozen=True, slots=True)
class Needs:
    """What an engine needs that is not every engine's. `stall_s`: without a slice for so long, a worker is hung."""

    stall_s: float = 10.0
    prefix: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)  # of the engine → the setting it comes from
    python: str = ""  # the setting that names the Python of an environment of its own


NEEDS: Mapping[str, Needs] = {
    "espeak": Needs(),
    "tone": Needs(),
    "kokoro": Needs(60.0, KEEP_MEMORY, {"path": "kokoro_path", "device": "kokoro_device"}),
    "openai": Needs(
        UPSTREAM_STALL_S,
        options=UPSTREAM
        | {
            "url": "openai_url",
            "key": "openai_key",
            "model": "openai_model",
            "voices": "openai_voices",
            "rate_hz": "openai_rate_hz",
        },
    ),
    "minimax": Needs(
        UPSTREAM_STALL_S,
        options=UPSTREAM
        | {
            "url": "minimax_url",
            "key": "minimax_key",
            "group": "minimax_group",
            "model": "minimax_model",
            "voices": "minimax_voices",
        },
    ),
    "elevenlabs": Needs(
        UPSTREAM_STALL_S,
        options=UPSTREAM
        | {
            "url": "elevenlabs_url",
            "key": "elevenlabs_key",
            "model": "elevenlabs_model",
            "voices": "elevenlabs_voices",
        },
    ),
    "chatterbox": Needs(
        WHOLE_STALL_S,
        KEEP_MEMORY,
        {
            "path": "chatterbox_path",
            "device": "chatterbox_device",
            "multilingual": "chatterbox_multilingual",
            "samples": "chatterbox_samples",
        },
        "chatterbox_python",
    ),
    "dia": Needs(
        WHOLE_STALL_S,
        KEEP_MEMORY,
        {"path": "dia_path", "device": "dia_device", "precision": "dia_precision", "samples": "dia_samples"},
        "dia_python",
    ),
}


async def open_pools(config: Config, stack: contextlib.AsyncExitStack) -> dict[str, Pool]:
    """Start the configured engines; return their pools by model. Raises `ConfigError` in the engine's own words."""
    opening = [asyncio.create_task(open_pool(config, name, stack), name=name) for name in config.engines_here]
    await together(*opening)
    pools: Sequence[Pool] = [each.result() for each in opening]
    return {pool.model.id: pool for pool in pools}


async def open_pool(config: Config, name: str, stack: contextlib.AsyncExitStack) -> LocalPool:
    """Start one engine on this machine. Raises `ConfigError` in its own words."""
    needs = NEEDS[name]
    python = (needs.python and getattr(config, needs.python)) or sys.executable
    options = {option: getattr(config, setting) for option, setting in needs.options.items()}
    pool = LocalPool(
        EngineSpec(f"voicewire.engines.{name}:open_engine", options),
        command=(*_without_secrets(), *needs.prefix, python, *WORKER),
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
    return pool


async def follow_voices(pools: Mapping[str, Pool], offer: Callable[[Offers], None]) -> None:
    """Say what there is, again whenever one of the engines of this machine has other voices, until cancelled."""
    here = [pool for pool in pools.values() if isinstance(pool, LocalPool)]
    before: Offers = []
    while True:
        now = [(pool.model, pool.voices) for pool in here]
        if now != before:
            before = now
            offer([(pool.model, pool.voices) for pool in pools.values()])
        await asyncio.sleep(LOOK_S)


def retire(pools: Iterable[Pool]) -> None:
    """The end is near. Workers here may have had the signal, too: they are replaced only for blocks that wait."""
    for pool in pools:
        if isinstance(pool, LocalPool):
            pool.retire()


def missing_engines(pools: Mapping[str, Pool]) -> list[str]:
    """Name what keeps a gateway from speaking: an engine of its own that is down, or that nobody speaks at all."""
    down = [model for model, pool in pools.items() if not pool.stats().workers]
    here = [f"engine {model}" for model in down if isinstance(pools[model], LocalPool)]
    return here or (["a worker"] if len(down) == len(pools) else [])


def _without_secrets() -> tuple[str, ...]:
    """Start a worker without the settings that are secret: whoever looks at processes sees their environment."""
    return ("env", *(f"--unset={row.variable}" for row in settings() if row.secret))
