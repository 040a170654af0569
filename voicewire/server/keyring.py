"""The keys of a gateway: where they are kept, how they are found, and the first of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from voicewire.accounts.first_key import first_key, given_id, pepper_of
from voicewire.accounts.key_cache import KeyCache
from voicewire.accounts.keys import Keys
from voicewire.accounts.news import News
from voicewire.auth.keys import well_formed
from voicewire.auth.secret_files import CLIENT_KEY_FILE, BadSecretFile
from voicewire.config import Config, ConfigError, variable
from voicewire.server.storage import Storage
from voicewire.server.tasks import supervise
from voicewire.storage.store import Unreachable

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The parts. `first` is a key in clear, where one was made or given at this start."""

    keys: Keys
    cache: KeyCache
    pepper: bytes
    first: str | None

    def __repr__(self) -> str:
        return "Keyring()"


async def open_keyring(config: Config, storage: Storage, news: News, stack: contextlib.AsyncExitStack) -> Keyring:
    """Find or make the first key, now or as soon as PostgreSQL is there. Raises `ConfigError`."""
    given = config.bootstrap_key
    if given and not well_formed(given):
        raise ConfigError(f"{variable('bootstrap_key')}: it needs 8 to 256 visible ASCII characters")
    try:
        pepper = pepper_of(config)
        first = await _first(config, storage, pepper, stack)
    except BadSecretFile as error:
        raise ConfigError(str(error)) from error
    cache = KeyCache(storage.store, news, given_id(given), ready=storage.migrated.is_set)
    supervise(stack, "keys", cache.run)
    supervise(stack, "uses of keys", cache.keep_last_used)
    return Keyring(Keys(storage.store, pepper, news), cache, pepper, first)


async def _first(config: Config, storage: Storage, pepper: bytes, stack: contextlib.AsyncExitStack) -> str | None:
    if storage.migrated.is_set():
        with contextlib.suppress(Unreachable):
            return await first_key(storage.store, pepper, config.data_dir, config.bootstrap_key)

    async def later() -> None:
        await storage.migrated.wait()
        try:
            made = await first_key(storage.store, pepper, config.data_dir, config.bootstrap_key)
        except Unreachable as error:
            LOGGER.warning("the first API key waits for PostgreSQL: %s", error.reason)
            return  # and is begun again
        if made:
            LOGGER.info("the first API key is in %s", config.data_dir / CLIENT_KEY_FILE)
        await asyncio.Event().wait()

    supervise(stack, "first key", later)
    return config.bootstrap_key or None
