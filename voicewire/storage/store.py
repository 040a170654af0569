"""The one way to PostgreSQL: bounded in connections and time, with its errors translated once.

What fails for the server's sake raises `Busy`; a statement that was sent may have been applied all the same, so
whoever tries again sends the same keys. No other file knows the client library.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from voicewire.errors import RETRY_MS, BadRequest, Busy

CONNECTIONS_MAX = 10
CONNECT_S = 2.0  # to connect, and for a free connection: each
COMMAND_S = 10.0  # for an answer
CLOSE_S = 5.0
IDLE_S = 300.0

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL counts microseconds from it
FOREVER = datetime.max.replace(tzinfo=UTC)  # what `infinity` is read as
INFINITY = (1 << 63) - 1

AWAY = (
    OSError,  # a TimeoutError, too
    asyncpg.InterfaceError,  # of a connection that closes under a statement
    asyncpg.InternalClientError,  # so does one that the server ended while nothing was asked
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.OperatorInterventionError,  # it is shut down, or took too long
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # a deadlock or a lost race: the same again may do
    asyncpg.ReadOnlySQLTransactionError,  # what was the primary has become a standby
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)

# What clients may say and no column holds: U+0000, half a character, a number out of bounds. The rest is our mistake.
NOT_KEPT = (
    asyncpg.CharacterNotInRepertoireError,
    asyncpg.UntranslatableCharacterError,
    asyncpg.NumericValueOutOfRangeError,
)
NOT_SENT = (UnicodeEncodeError, OverflowError)

LOGGER = logging.getLogger(__name__)

Row = Mapping[str, Any]  # as the client's records are


class Conflict(BadRequest):
    """What was to be unique is there already; `constraint` names the rule."""

    code = "conflict"

    def __init__(self, constraint: str) -> None:
        super().__init__()
        self.constraint = constraint


class Unreachable(Busy):
    """PostgreSQL cannot be asked now; `reason` says why, for the log, without a secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(retry_after_ms=RETRY_MS)
        self.reason = reason

    def __str__(self) -> str:
        return f"PostgreSQL cannot be asked: {self.reason}"


class Session:
    """One connection. Every method takes the statement and its `$1, $2, …`, and raises `Busy` or `Conflict`."""

    def __init__(self, connection: Any, timeout_s: float = COMMAND_S) -> None:
        self._connection = connection
        self._timeout_s = timeout_s

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        """Return all rows."""
        rows: list[Row] = await self._ask("fetch", sql, *args)
        return rows

    async def fetchrow(self, sql: str, *args: object) -> Row | None:
        """Return the first row, or None."""
        row: Row | None = await self._ask("fetchrow", sql, *args)
        return row

    async def fetchval(self, sql: str, *args: object) -> Any:
        """Return the first value of the first row, or None."""
        return await self._ask("fetchval", sql, *args)

    async def execute(self, sql: str, *args: object) -> str:
        """Return the status, such as `UPDATE 1`. Without arguments, `sql` may hold several statements."""
        status: str = await self._ask("execute", sql, *args)
        return status

    async def executemany(self, sql: str, args: Iterable[Sequence[object]]) -> None:
        """Run one statement for each tuple of arguments: all of them or none."""
        await self._ask("executemany", sql, args)

    async def lock(self, name: str) -> None:
        """Wait until no other transaction holds `name`; it is held until this one ends."""
        await self.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", name)

    async def _ask(self, method: str, *args: object) -> Any:
        with _translated():  # also when the connection is gone before anything is awaited
            return await getattr(self._connection, method)(*args, timeout=self._timeout_s)


class Store:
    """A pool of connections, made as they are needed: it opens also where PostgreSQL is away."""

    def __init__(self, url: str, *, connections_max: int = CONNECTIONS_MAX) -> None:
        self._url = url
        self._connections_max = connections_max
        self._pool: Any = None

    async def open(self) -> Store:
        """Make the pool, without a connection yet."""
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._connections_max,
            max_inactive_connection_lifetime=IDLE_S,
            timeout=CONNECT_S,
            command_timeout=COMMAND_S,
            connection_class=_Connection,
            init=_prepare,
            server_settings={"application_name": "voicewire", "timezone": "UTC"},
        )
        return self

    async def close(self) -> None:
        """Close every connection, with patience for what runs."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), CLOSE_S)
        except (TimeoutError, *AWAY):
            pool.terminate()

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        """Return all rows."""
        async with self._session() as session:
            return await session.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> Row | None:
        """Return the first row, or None."""
        async with self._session() as session:
            return await session.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: object) -> Any:
        """Return the first value of the first row, or None."""
        async with self._session() as session:
            return await session.fetchval(sql, *args)

    async def execute(self, sql: str, *args: object) -> str:
        """Return the status, such as `UPDATE 1`."""
        async with self._session() as session:
            return await session.execute(sql, *args)

    async def executemany(self, sql: str, args: Iterable[Sequence[object]]) -> None:
        """Run one statement for each tuple of arguments: all of them or none."""
        async with self._session() as session:
            await session.executemany(sql, args)

    @asynccontextmanager
    async def transaction(self, timeout_s: float = COMMAND_S) -> AsyncIterator[Session]:
        """Do all that is done in it, or nothing; each statement has `timeout_s`.

        A `Busy` at its end leaves open whether it was committed.
        """
        async with self._session(timeout_s) as session:
            transaction = session._connection.transaction()
            with _translated():
                await transaction.start()
            try:
                yield session
            except BaseException:
                await _roll_back(transaction)
                raise
            with _translated():
                await transaction.commit()

    @asynccontextmanager
    async def _session(self, timeout_s: float = COMMAND_S) -> AsyncIterator[Session]:
        assert self._pool is not None, "open() the store first"
        with _translated():
            connection = await self._pool.acquire(timeout=CONNECT_S)
        try:
            yield Session(connection, timeout_s)
        finally:
            await _release(self._pool, connection)


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # it comes without types
    """Saves the question that would undo settings of the session: nothing here makes any."""

    def get_reset_query(self) -> str:
        return ""


async def _prepare(connection: Any) -> None:
    add = connection.set_type_codec
    for name in ("json", "jsonb"):
        await add(name, encoder=_to_json, decoder=json.loads, schema="pg_catalog")
    await add("timestamptz", encoder=_to_ticks, decoder=_to_time, schema="pg_catalog", format="tuple")


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _to_ticks(time: datetime) -> tuple[int]:
    if time.tzinfo is None:
        raise ValueError(f"a time without its zone: {time}")
    return (INFINITY if time >= FOREVER else (time - EPOCH) // timedelta(microseconds=1),)


def _to_time(ticks: tuple[int]) -> datetime:
    """In UTC, and comparable, which the library's own `infinity` is not."""
    return FOREVER if ticks[0] == INFINITY else EPOCH + timedelta(microseconds=ticks[0])


async def _release(pool: Any, connection: Any) -> None:
    try:
        await pool.release(connection, timeout=CONNECT_S)
    except AWAY as error:
        LOGGER.debug("a connection to PostgreSQL ended badly: %s", reason_of(error))


async def _roll_back(transaction: Any) -> None:
    try:
        await transaction.rollback()
    except (asyncpg.PostgresError, *AWAY) as error:  # the server rolls back by itself what has no connection
        LOGGER.debug("a rollback was not answered: %s", reason_of(error))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise Conflict(error.constraint_name or "") from error
    except asyncpg.DataError as error:
        if not isinstance(error, NOT_KEPT) and not isinstance(error.__cause__, NOT_SENT):
            raise
        raise BadRequest(problem="a value cannot be kept") from error
    except AWAY as error:
        raise Unreachable(reason_of(error)) from error


def reason_of(error: BaseException) -> str:
    """What went wrong, in one line; messages of the server and of sockets hold no password."""
    return " ".join(str(error).split()) or type(error).__name__
