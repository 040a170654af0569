"""The keys of a gateway, where PostgreSQL goes away as the first of them is made."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from voicewire.accounts.keys import Keys
from voicewire.accounts.news import News
from voicewire.auth.keys import key_id
from voicewire.auth.secret_files import read_client_key
from voicewire.config import Config
from voicewire.server.keyring import open_keyring
from voicewire.server.storage import Storage
from voicewire.storage.store import COMMAND_S, Session, Store, Unreachable


class Hiccup(Store):
    """A store whose first transactions end without an answer, each in its own way."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.lost = ["before the end", "behind it"]

    @asynccontextmanager
    async def transaction(self, timeout_s: float = COMMAND_S) -> AsyncIterator[Session]:
        how = self.lost.pop(0) if self.lost else ""
        async with super().transaction(timeout_s) as session:
            yield session
            if how == "before the end":
                raise Unreachable("away")
        if how == "behind it":
            raise Unreachable("away")


async def test_the_first_key_is_known_whatever_answer_is_lost(
    redis: Redis, postgres_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with AsyncExitStack() as stack:
        store = await Hiccup(postgres_url).open()
        stack.push_async_callback(store.close)
        storage = Storage(redis, store)
        storage.migrated.set()
        await open_keyring(Config(data_dir=tmp_path), storage, News(redis), stack)
        async with asyncio.timeout(10):
            while "waits for PostgreSQL" not in caplog.text:
                await asyncio.sleep(0.02)
        [record] = await Keys(store, b"", None).page("home")
        assert key_id(read_client_key(tmp_path)) == record.id
    assert [each.levelname for each in caplog.records if each.levelno > logging.WARNING] == []
