"""A database as a first start makes one: made once for a run of tests, then laid into the data folder of each server.

Making one takes PostgreSQL a second; `tests/storage/test_embedded_postgres.py` shows that servers do it themselves.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from voicewire.storage.embedded_postgres import EmbeddedPostgres

KEPT_IN = "TESTS_FOLDER"  # a variable, since all processes of a run share what it names; ours would be settings


@contextmanager
def kept_for_the_run() -> Iterator[None]:
    """Have a folder where the database is kept."""
    folder = tempfile.mkdtemp(prefix="voicewire-")
    os.environ[KEPT_IN] = folder
    try:
        yield
    finally:
        del os.environ[KEPT_IN]
        shutil.rmtree(folder)


def lay_database(data_dir: Path) -> None:
    """Put a new database into a data folder, unless it has one."""
    folder = data_dir / "postgres"
    if not folder.exists():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", _made(), folder], check=True)  # with its owner, who is not root


def _made() -> Path:
    kept_in = Path(os.environ[KEPT_IN])
    with (kept_in / "lock").open("a") as lock, ThreadPoolExecutor(1) as thread:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (kept_in / "made").exists():
            thread.submit(asyncio.run, _make(kept_in)).result()  # the caller's thread may have a loop that runs
            (kept_in / "postgres" / "postgres.log").unlink()
            (kept_in / "made").touch()
    return kept_in / "postgres"


async def _make(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    try:
        await server.start()
    finally:
        await server.stop()
