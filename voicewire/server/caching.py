"""What a gateway keeps of what was spoken, in memory and behind it, and whether it asks others before it makes more."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from voicewire.cache.base import Backend
from voicewire.cache.fs import FsBackend
from voicewire.cache.noop import Noop
from voicewire.cache.shelf import Shelf
from voicewire.clips import Clips
from voicewire.config import Config, ConfigError
from voicewire.engines.pooling import Pool
from voicewire.pipeline import Pipeline
from voicewire.server.tasks import supervise
from voicewire.storage.flight import Flight


@dataclass(frozen=True, slots=True)
class Caching:
    """The parts."""

    clips: Clips
    shelf: Shelf
    flight: Flight | None
    share: bool  # between tenants

    def pipeline(self, pools: Mapping[str, Pool], public: Callable[[str, str], bool], wait_max_s: float) -> Pipeline:
        """Return the pipeline over `pools`; `public` knows the voices that all tenants have."""
        parts = (pools, self.clips, self.shelf, self.flight)
        if self.share:
            return Pipeline(*parts, public, wait_max_s=wait_max_s)
        return Pipeline(*parts, wait_max_s=wait_max_s)


async def open_caching(config: Config, redis: Redis, stack: contextlib.AsyncExitStack) -> Caching:
    """Open what is configured. Raises `ConfigError` for a folder that cannot be used."""
    backend = _backend(config)
    try:
        await backend.open()
    except OSError as error:
        raise ConfigError(f"the cache cannot be used: {error}") from error
    stack.push_async_callback(backend.close)
    shelf = Shelf(backend, look_s=config.cache_wait_ms / 1000, takes=config.cache_takes)
    flight = Flight(redis) if _has_others(config) else None
    supervise(stack, "cache", shelf.run)
    if flight:
        supervise(stack, "leases of blocks", flight.renew)
        supervise(stack, "blocks of others", flight.poll)
    stack.push_async_callback(shelf.drain)
    return Caching(Clips(config.cache_bytes), shelf, flight, config.cache_share)


def _backend(config: Config) -> Backend:
    if config.cache == "noop":
        return Noop()
    if config.cache == "fs":
        folder = Path(config.cache_dir).expanduser() if config.cache_dir else config.data_dir / "cache"
        return FsBackend(folder, config.cache_disk_bytes, shared=_has_others(config))
    from voicewire.cache.s3 import Bucket, S3Backend  # a library of 5 MB that few need

    return S3Backend(
        Bucket(
            config.cache_s3_url,
            config.cache_s3_endpoint,
            config.cache_s3_region,
            config.cache_s3_key_id,
            config.cache_s3_secret,
        )
    )


def _has_others(config: Config) -> bool:
    """Whether other gateways may read and write the same clips."""
    return bool(config.redis_url) and (config.cache == "s3" or (config.cache == "fs" and bool(config.cache_dir)))
