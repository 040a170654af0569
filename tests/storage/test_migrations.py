"""The schema: applied once, in turns, in whole; and what is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from voicewire.storage.migrations import Migration, SchemaError, migrate, migrations, version
from voicewire.storage.store import Store

ONE = Migration(1, "0001_one", "CREATE TABLE one (a int); INSERT INTO one VALUES (1);")
TWO = Migration(2, "0002_two", "ALTER TABLE one ADD b int;")


@pytest.fixture
async def bare(store: Store) -> Store:
    """A store without a schema."""
    await store.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return store


async def test_an_empty_database_gets_all_and_then_nothing(bare: Store) -> None:
    assert await version(bare) == ""
    assert await migrate(bare) == [each.name for each in migrations()]
    assert await version(bare) == migrations()[-1].name
    assert await migrate(bare) == []


async def test_what_is_new_is_added(bare: Store) -> None:
    assert await migrate(bare, [ONE]) == ["0001_one"]
    assert await migrate(bare, [ONE, TWO]) == ["0002_two"]
    assert await bare.fetchval("SELECT a FROM one WHERE b IS NULL") == 1


async def test_gateways_that_start_together_take_turns(bare: Store) -> None:
    applied = await asyncio.gather(*(migrate(bare, [ONE, TWO]) for _ in range(4)))
    assert sorted(applied) == [[], [], [], ["0001_one", "0002_two"]]


async def test_a_migration_that_fails_leaves_the_database_as_it_was(bare: Store) -> None:
    await migrate(bare, [ONE])
    wrong = Migration(3, "0003_wrong", "CREATE TABLE three (); SELECT 1/0;")
    with pytest.raises(Exception, match="division by zero"):
        await migrate(bare, [ONE, TWO, wrong])
    assert await version(bare) == "0001_one"
    assert await bare.fetchval("SELECT to_regclass('three')") is None


async def test_a_history_that_was_changed_is_refused(bare: Store) -> None:
    await migrate(bare, [ONE, TWO])
    with pytest.raises(SchemaError, match="made with another 0001_one"):
        await migrate(bare, [ONE._replace(sql="CREATE TABLE one (a text);"), TWO])


async def test_a_database_of_a_newer_version_is_refused_and_untouched(bare: Store) -> None:
    await migrate(bare, [ONE, TWO])
    with pytest.raises(
        SchemaError, match="is at 0002_two, made by a newer voicewire; this one knows it up to 0001_one"
    ):
        await migrate(bare, [ONE])
    assert await version(bare) == "0002_two"


def test_the_files_are_numbered_without_a_gap(tmp_path: Path) -> None:
    for name in ("0001_one.sql", "0003_three.sql"):
        (tmp_path / name).touch()
    with pytest.raises(AssertionError, match="number is missing"):
        migrations(tmp_path)
    (tmp_path / "2_two.sql").touch()
    with pytest.raises(AssertionError, match="is not named"):
        migrations(tmp_path)
