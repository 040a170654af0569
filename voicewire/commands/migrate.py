"""`voicewire migrate`: bring the database up to date without starting the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TextIO

from voicewire.commands.problems import Exit, Problem
from voicewire.config import Config
from voicewire.storage.address import without_password
from voicewire.storage.embedded import FolderLock
from voicewire.storage.embedded_postgres import EmbeddedPostgres
from voicewire.storage.migrations import SchemaError, migrate, version
from voicewire.storage.store import Store, Unreachable


async def migrate_database(config: Config, out: TextIO) -> None:
    """Apply what is due and say what that was. Raises `Problem`."""
    async with _address(config) as url:
        store = await Store(url).open()
        try:
            applied = await migrate(store)
            now = await version(store)
        except Unreachable as error:
            raise Problem(Exit.UNREACHABLE, f"{without_password(url)} cannot be reached: {error.reason}") from error
        except SchemaError as error:
            raise Problem(Exit.FAILED, str(error)) from error
        finally:
            await store.close()
    out.writelines(f"{name} is applied\n" for name in applied)
    out.write(f"the schema is at {now}\n")


@asynccontextmanager
async def _address(config: Config) -> AsyncIterator[str]:
    """The database's address; the embedded one runs for as long. Raises `StartError` while a server has it."""
    if config.postgres_url:
        yield config.postgres_url
        return
    lock, server = FolderLock(config.data_dir), EmbeddedPostgres(config.data_dir)
    lock.acquire()
    try:
        yield await server.start()
    finally:
        await server.stop()
        await asyncio.to_thread(lock.release)
