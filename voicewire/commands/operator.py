"""What an operator's commands work on: the stores that the settings name, whether or not a server runs on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicewire.accounts.grants import Grants
from voicewire.accounts.news import News
from voicewire.accounts.plans import Plans
from voicewire.accounts.subscriptions import Subscriptions
from voicewire.commands.problems import Exit, Problem
from voicewire.config import Config
from voicewire.errors import Busy, VoicewireError
from voicewire.remote.presence import Fleet
from voicewire.remote.scripts import FleetCalls
from voicewire.server.storage import Storage, open_storage
from voicewire.storage.embedded import EmbeddedServer, holder
from voicewire.storage.embedded_postgres import EmbeddedPostgres
from voicewire.storage.embedded_redis import EmbeddedRedis
from voicewire.storage.ledger import Ledger
from voicewire.storage.ledger_service import LedgerService
from voicewire.storage.redis import open_redis
from voicewire.storage.store import Store

DOUBT = "no server says whether balances limit speech"
DISAGREEMENT = "servers that run do not agree whether balances limit speech"


@dataclass(frozen=True, slots=True)
class Operator:
    """The parts. What is changed is told to every gateway by `news`.

    `doubt` says why a server may have other limits than `plans` has; empty: it has the same.
    """

    store: Store
    redis: Redis
    news: News
    plans: Plans
    grants: Grants
    subscriptions: Subscriptions
    doubt: str


class _Later:
    """Stands for the ledger where nothing is asked of it: a server finds by itself what was granted."""

    async def grant(self, _grant_id: str, /) -> None:
        raise Busy

    async def reverse(self, _grant_id: str, /) -> int:
        raise Busy


@asynccontextmanager
async def open_ledger(operator: Operator) -> AsyncIterator[Ledger]:
    """Open the ledger beside a server's, or alone; at the end, what was done is recorded. Raises `Busy`."""
    service = LedgerService(operator.redis, operator.store)
    try:
        await service.start()
        yield service.ledger
    except (RedisError, OSError) as error:
        raise Busy from error
    finally:
        await service.close()


@asynccontextmanager
async def open_operator(config: Config) -> AsyncIterator[Operator]:
    """Open the stores: those of a server that runs here, given ones, or the embedded ones, started for as long.

    Raises `Problem` where they are not there, and for what the block was refused.
    """
    async with AsyncExitStack() as stack:
        storage = await _open(config, stack)
        try:
            yield await _operator(config, storage)
        except Busy as error:
            raise Problem(Exit.UNREACHABLE, "the database does not answer") from error
        except VoicewireError as error:
            missing = error.row_code == "not_found"
            raise Problem(Exit.FAILED, "there is no such thing here" if missing else error.message) from error


async def _operator(config: Config, storage: Storage) -> Operator:
    news = News(storage.redis)
    billing, doubt = await billing_of(config, storage.redis)
    plans = Plans(storage.store, news, billing=billing, contexts=config.contexts_max)
    grants = Grants(storage.store, _Later())
    subscriptions = Subscriptions(storage.store, grants, news)
    return Operator(storage.store, storage.redis, news, plans, grants, subscriptions, doubt)


async def billing_of(config: Config, redis: Redis) -> tuple[bool, str]:
    """Return whether balances limit speech by the servers that run, and ""; else by `config`, and what is in doubt."""
    try:
        members = await Fleet(redis, FleetCalls()).members()
    except (RedisError, OSError):
        members = []
    said = {each.beat.billing for each in members if each.beat.kind == "gateway" and each.beat.billing is not None}
    if len(said) == 1:
        return said.pop(), ""
    return config.billing, DISAGREEMENT if said else DOUBT


async def _open(config: Config, stack: AsyncExitStack) -> Storage:
    embedded = not (config.redis_url and config.postgres_url)
    if embedded and not config.data_dir.exists():
        raise Problem(Exit.USAGE, f"there is no data folder {config.data_dir}: name that of the server with --data")
    if embedded and holder(config.data_dir) is not None:
        return await _join(config, stack)
    storage = await open_storage(config, stack, lambda: True)
    if not storage.migrated.is_set():
        raise Problem(Exit.UNREACHABLE, "the database cannot be reached")
    return storage


async def _join(config: Config, stack: AsyncExitStack) -> Storage:
    """Connect to what a running server has; it keeps its schema up to date."""
    redis = open_redis(config.redis_url or _address(EmbeddedRedis(config.data_dir), stack))
    stack.push_async_callback(redis.aclose)
    store = await Store(config.postgres_url or _address(EmbeddedPostgres(config.data_dir), stack)).open()
    stack.push_async_callback(store.close)
    return Storage(redis, store)


def _address(server: EmbeddedServer, stack: AsyncExitStack) -> str:
    stack.push_async_callback(server.stop)  # which ends nothing that it did not start
    return server.url()
