"""`voicewire migrate`, on a given and on the embedded PostgreSQL."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.conftest import Served
from voicewire.commands.migrate import migrate_database
from voicewire.commands.problems import Exit, Problem
from voicewire.config import Config
from voicewire.storage.embedded import StartError
from voicewire.storage.migrations import migrations
from voicewire.storage.store import Store

NAMES = [each.name for each in migrations()]


async def said(config: Config) -> list[str]:
    out = io.StringIO()
    await migrate_database(config, out)
    return out.getvalue().splitlines()


async def test_the_embedded_database_is_made_and_brought_up_to_date(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path / "data")
    last = f"the schema is at {NAMES[-1]}"
    assert await said(config) == [*(f"{name} is applied" for name in NAMES), last]
    assert await said(config) == [last]


async def test_a_running_server_keeps_its_database_to_itself(served: Served) -> None:
    with pytest.raises(StartError, match="is in use by another voicewire"):
        await said(Config(data_dir=served.data_dir))


async def test_a_given_database_is_brought_up_to_date_and_no_folder_is_made(tmp_path: Path, postgres_url: str) -> None:
    store = await Store(postgres_url).open()
    await store.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await store.close()
    await said(Config(data_dir=tmp_path / "data", postgres_url=postgres_url))
    assert await said(Config(data_dir=tmp_path / "data", postgres_url=postgres_url)) == [
        f"the schema is at {NAMES[-1]}"
    ]
    assert not (tmp_path / "data").exists()


async def test_a_database_that_is_away_is_a_problem_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="cannot be reached") as caught:
        await said(Config(data_dir=tmp_path, postgres_url="postgresql://someone:hunter2@127.0.0.1:1/x"))
    assert caught.value.exit == Exit.UNREACHABLE
    assert "hunter2" not in str(caught.value)


async def test_a_database_of_a_newer_voicewire_is_a_problem(tmp_path: Path, postgres_url: str) -> None:
    store = await Store(postgres_url).open()
    await store.execute("INSERT INTO migrations (number, name, sha256) VALUES (9999, '9999_later', '')")
    await store.close()
    with pytest.raises(Problem, match="made by a newer voicewire") as caught:
        await said(Config(data_dir=tmp_path, postgres_url=postgres_url))
    assert caught.value.exit == Exit.FAILED
