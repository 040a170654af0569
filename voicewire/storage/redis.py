"""The one way to a Redis: bounded in connections and time, and never a command sent twice."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo

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
    return Redis.from_pool(pool)


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
