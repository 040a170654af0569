"""The one way to a Redis: bounded in connections and time, and never a command sent twice."""

from __future__ import annotations

from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import ConnectionError as RedisConnectionError

CONNECTIONS_MAX = 16
TIMEOUT_S = 1.0  # to connect, for a reply, and for a free connection: each


def open_redis(url: str) -> Redis:
    """Return a client for `url` (`redis://`, `rediss://`, `unix://`), which connects when it is first used.

    Replies are bytes. A command that fails raises `redis.RedisError` and may have been applied: redis-py's
    own retries are off, since after a reset they apply an INCR twice. Who tries again sends the same id.
    """
    pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS_MAX,
        timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        decode_responses=False,
        driver_info=DriverInfo(),  # or each connection reads from disk which version the library is
    )
    pool.connection_class = _steady(pool.connection_class)
    return Redis.from_pool(pool)


def _steady(kind: type[Any]) -> type[Any]:
    """A kind of connection of redis-py's that is lost, and no mistake of ours, where it is closed as it is written to.

    uvloop raises a `RuntimeError` for that, which redis-py hands on.
    """

    class Steady(kind):  # type: ignore[misc]  # the address says which kind it is
        async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
            try:
                await super().send_packed_command(command, check_health)
            except RuntimeError as error:
                raise RedisConnectionError(str(error)) from error

    return Steady


def patient(redis: Redis, reply_s: float) -> Redis:
    """Return a client of the same server, with one connection, for a command that waits there for up to `reply_s`."""
    pool = redis.connection_pool
    return Redis.from_pool(
        BlockingConnectionPool(
            max_connections=1,
            timeout=TIMEOUT_S,
            connection_class=pool.connection_class,
            **{**pool.connection_kwargs, "socket_timeout": reply_s + TIMEOUT_S},
        )
    )
