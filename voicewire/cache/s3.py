"""Clips and takes in a bucket of S3, or of what speaks like it, an object each; its rules say how long they stay."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import S3Store

from voicewire.cache.base import Held, Kept, Read, Write

TIMEOUT = timedelta(seconds=5)
CONNECT = timedelta(seconds=1)
THREADS = 2
MEDIA_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where and as whom. `url` is `s3://bucket/prefix`; what is empty is taken as the vendor's own tools take it."""

    url: str
    endpoint: str = ""  # of what is not Amazon's
    region: str = ""
    key_id: str = ""
    secret: str = field(default="", repr=False)

    def open(self) -> S3Store:
        """Return a client, which connects when it is first used."""
        parts = urlsplit(self.url)
        given = {
            "endpoint": self.endpoint,
            "region": self.region,
            "access_key_id": self.key_id,
            "secret_access_key": self.secret,
        }
        options: dict[str, Any] = {name: value for name, value in given.items() if value}
        return S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            client_options={
                "timeout": TIMEOUT,
                "connect_timeout": CONNECT,
                "allow_http": self.endpoint.startswith("http://"),
            },
            retry_config={"max_retries": 1, "retry_timeout": TIMEOUT},
            **options,
        )


class S3Backend:
    """See the module, and `Backend`."""

    writes_at_once = 4
    far = True

    def __init__(self, bucket: Bucket) -> None:
        self._store = bucket.open()
        self._threads = ThreadPoolExecutor(THREADS, "cache")

    @property
    def held(self) -> Held:
        return Held()

    async def open(self) -> None:
        """Nothing is asked of the bucket before it is needed: a start does not wait for it."""

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def refresh(self) -> None:
        """A bucket is asked for what is wanted, and is never listed."""

    def may_have(self, key: bytes) -> bool:  # noqa: ARG002 - only the bucket knows
        return True

    async def get(self, key: bytes, read: Read) -> Kept | None:
        with _as_os_errors():
            try:
                answer = await obstore.get_async(self._store, _path(key))
                data = bytes(await answer.bytes_async())
            except (FileNotFoundError, NotFoundError):
                return None
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(read, data))

    async def has(self, key: bytes) -> bool:
        with _as_os_errors():
            try:
                await obstore.head_async(self._store, _path(key))
            except (FileNotFoundError, NotFoundError):
                return False
        return True

    async def put(self, key: bytes, write: Write) -> None:
        data = await asyncio.get_running_loop().run_in_executor(self._threads, write)
        with _as_os_errors():
            await obstore.put_async(self._store, _path(key), data, attributes={"Content-Type": MEDIA_TYPE})

    async def discard(self, key: bytes) -> None:
        with _as_os_errors():
            await obstore.delete_async(self._store, _path(key))


def _path(key: bytes) -> str:
    name = key.hex()
    return f"{name[:2]}/{name}.clip"


@contextmanager
def _as_os_errors() -> Iterator[None]:
    try:
        yield
    except BaseError as error:
        raise ConnectionError(str(error).partition("\n")[0]) from error
