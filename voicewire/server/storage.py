"""Redis and PostgreSQL as a gateway has them: its own or given ones, here or on their way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicewire.config import Config, ConfigError
from voicewire.errors import Busy
from voicewire.server.tasks import supervise, together
from voicewire.storage.address import without_password
from voicewire.storage.embedded import EmbeddedServer, FolderLock
from voicewire.storage.embedded_postgres import EmbeddedPostgres
from voicewire.storage.embedded_redis import EmbeddedRedis
from voicewire.storage.migrations import SchemaError, migrate
from voicewire.storage.redis import open_redis
from voicewire.storage.store import Store, Unreachable

LOGGER = logging.getLogger(__name__)

SCHEMA_RETRY_S = 1.0
SCHEMA_REFUSED_S = 60.0


@dataclass(frozen=True, slots=True)
class Storage:
    """What outlives the gateway. `migrated` is set once the database has the schema."""

    redis: Redis
    store: Store
    migrated: asyncio.Event = field(default_factory=asyncio.Event)

    async def missing(self) -> list[str]:
        """Name what cannot be asked now."""
        names = []
        if await _redis_problem(self.redis):
            names.append("redis")
        try:
            await self.store.fetchval("SELECT 1")
        except Busy:
            names.append("postgres")
        return names if self.migrated.is_set() or "postgres" in names else [*names, "postgres"]

    async def migrate(self) -> None:
        """Bring the database up to date. Raises `Unreachable` and `SchemaError`."""
        await migrate(self.store)
        self.migrated.set()

    async def keep_migrating(self) -> None:
        """Bring the database up to date as soon as it is there."""
        while not self.migrated.is_set():
            await asyncio.sleep(SCHEMA_RETRY_S)
            try:
                await self.migrate()
            except Unreachable:
                continue
            except SchemaError as error:
                LOGGER.error("%s", error)  # noqa: TRY400 - its message says all
                await asyncio.sleep(SCHEMA_REFUSED_S)
        await asyncio.Event().wait()


async def open_storage(config: Config, stack: contextlib.AsyncExitStack, opened: Callable[[], bool]) -> Storage:
    """Start what is embedded, and connect to what is given; what is away is logged, and the start goes on.

    A start that is refused before it has `opened` leaves nothing in the data folder that was not there. Raises
    `ConfigError`.
    """
    if not (config.redis_url and config.postgres_url):
        lock = FolderLock(config.data_dir)

        @stack.push
        def let_go(kind: type[BaseException] | None, *_: object) -> None:
            lock.release(discard=kind is not None and not opened())

        lock.acquire()
    redis = asyncio.create_task(_redis_url(config, stack, opened), name="redis starts")
    postgres = asyncio.create_task(_postgres_url(config, stack, opened), name="postgres starts")
    await together(redis, postgres)
    storage = Storage(open_redis(redis.result()), Store(postgres.result()))
    stack.push_async_callback(storage.redis.aclose)
    await storage.store.open()
    stack.push_async_callback(storage.store.close)
    await _look(config, storage)
    supervise(stack, "schema", storage.keep_migrating)
    return storage


async def _look(config: Config, storage: Storage) -> None:
    if config.redis_url and (problem := await _redis_problem(storage.redis)):
        LOGGER.warning("Redis at %s cannot be reached yet: %s", without_password(config.redis_url), problem)
    try:
        await storage.migrate()
    except Unreachable as error:
        LOGGER.warning(
            "PostgreSQL at %s cannot be reached yet: %s", without_password(config.postgres_url), error.reason
        )
    except SchemaError as error:
        raise ConfigError(str(error)) from error


async def _redis_problem(redis: Redis) -> str:
    try:
        await redis.ping()
    except (RedisError, OSError) as error:
        return str(error) or type(error).__name__
    return ""


async def _redis_url(config: Config, stack: contextlib.AsyncExitStack, opened: Callable[[], bool]) -> str:
    return config.redis_url or await _start("redis", EmbeddedRedis(config.data_dir), stack, opened)


async def _postgres_url(config: Config, stack: contextlib.AsyncExitStack, opened: Callable[[], bool]) -> str:
    return config.postgres_url or await _start("postgres", EmbeddedPostgres(config.data_dir), stack, opened)


async def _start(
    name: str, server: EmbeddedServer, stack: contextlib.AsyncExitStack, opened: Callable[[], bool]
) -> str:
    @stack.push_async_exit
    async def leave(kind: type[BaseException] | None, *_: object) -> None:
        await server.stop()
        if kind is not None and not opened():
            await asyncio.to_thread(server.discard)

    url = await server.start()
    supervise(stack, name, server.watch)
    return url
