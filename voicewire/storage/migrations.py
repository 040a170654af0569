"""The schema: numbered files, each applied once, in their order, all at once or not at all.

A file that was applied is never changed: what is different goes into a new one.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from voicewire.storage.store import Session, Store

FOLDER = Path(__file__).parent / "schema"
NAME = re.compile(r"(\d{4})_[a-z_]+\.sql")
MIGRATE_S = 600.0  # for each statement: an index over years of entries takes its time
LOCK = "migrations"

LOGGER = logging.getLogger(__name__)

TABLE = """
CREATE TABLE IF NOT EXISTS migrations (
    number  integer PRIMARY KEY,
    name    text NOT NULL,
    sha256  text NOT NULL,
    applied timestamptz NOT NULL DEFAULT now()
)
"""


class SchemaError(RuntimeError):
    """The database has a schema that this version of voicewire cannot work with; the message says why."""


class Migration(NamedTuple):
    """One file of the schema."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """Read the files, in order. A gap in the numbers or a name of another form is a mistake of ours."""
    found = [_read(path) for path in sorted(folder.glob("*.sql"))]
    assert [each.number for each in found] == list(range(1, len(found) + 1)), f"a number is missing in {folder}"
    return tuple(found)


async def migrate(store: Store, known: Sequence[Migration] | None = None) -> list[str]:
    """Bring the database up to date; return the names of what was applied. Gateways that start together take turns.

    Raises `SchemaError` where the database has what we do not know, and `Busy` where it cannot be asked.
    """
    known = migrations() if known is None else known
    async with store.transaction(MIGRATE_S) as session:
        await session.lock(LOCK)
        await session.execute(TABLE)
        due = known[await _applied(session, known) :]
        for migration in due:
            await session.execute(migration.sql)
            await session.execute(
                "INSERT INTO migrations (number, name, sha256) VALUES ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.sha256,
            )
    if due:
        LOGGER.info("the schema is now at %s", due[-1].name)
    return [migration.name for migration in due]


async def version(store: Store) -> str:
    """The name of the last migration in the database; empty where there is none."""
    if await store.fetchval("SELECT to_regclass('migrations')") is None:
        return ""
    return str(await store.fetchval("SELECT name FROM migrations ORDER BY number DESC LIMIT 1") or "")


def _read(path: Path) -> Migration:
    match = NAME.fullmatch(path.name)
    assert match, f"{path} is not named 0001_like_this.sql"
    return Migration(int(match[1]), path.stem, path.read_text(encoding="utf-8"))


async def _applied(session: Session, known: Sequence[Migration]) -> int:
    """How many of `known` the database has."""
    rows = await session.fetch("SELECT number, name, sha256 FROM migrations ORDER BY number")
    if len(rows) > len(known):
        raise SchemaError(
            f"the database is at {rows[-1]['name']}, made by a newer voicewire; this one knows it up to"
            f" {known[-1].name if known else 'nothing'}: install the newer one, or go back to a backup"
        )
    for row, migration in zip(rows, known, strict=False):
        if (row["number"], row["name"], row["sha256"]) != (migration.number, migration.name, migration.sha256):
            raise SchemaError(
                f"the database was made with another {row['name']} than this voicewire's {migration.name}:"
                " install the version that made it, or go back to a backup"
            )
    return len(rows)
