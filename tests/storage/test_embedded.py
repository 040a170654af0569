"""What the embedded servers share: who has a data folder, and what is left of a start that was refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from voicewire.storage.embedded import FolderLock, StartError, holder

HOLD = """
import sys
from pathlib import Path
from voicewire.storage.embedded import FolderLock
lock = FolderLock(Path(sys.argv[1]))
lock.acquire()
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[FolderLock]:
    lock = FolderLock(tmp_path / "data")
    yield lock
    lock.release()


def test_a_second_gateway_on_the_same_folder_is_refused_by_the_process_of_the_first(
    tmp_path: Path, lock: FolderLock
) -> None:
    lock.acquire()
    with pytest.raises(StartError, match=rf"{tmp_path}/data is in use by another voicewire \(process {os.getpid()}\)"):
        FolderLock(tmp_path / "data").acquire()
    lock.release()
    lock.acquire()


def test_a_process_that_is_killed_lets_its_folder_go(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        assert holder(tmp_path) == other.pid
        with pytest.raises(StartError, match=f"process {other.pid}"):
            FolderLock(tmp_path).acquire()
        other.kill()
    assert holder(tmp_path) is None
    lock = FolderLock(tmp_path)
    lock.acquire()
    lock.release()


def test_a_folder_is_made_for_its_owner_only(tmp_path: Path, lock: FolderLock) -> None:
    lock.acquire()
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_what_a_refused_start_made_is_gone_and_what_was_there_stays(tmp_path: Path, lock: FolderLock) -> None:
    lock.acquire()
    lock.release(discard=True)
    assert list(tmp_path.iterdir()) == []
    lock.acquire()
    (tmp_path / "data" / "a key").touch()
    lock.release(discard=True)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["a key"]
    lock.acquire()
    lock.release()
    lock.acquire()
    lock.release(discard=True)
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"a key", "lock"}


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/voicewire"])
def test_a_folder_that_cannot_be_is_named(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=f"the data folder {tmp_path / folder} cannot be used"):
        FolderLock(tmp_path / folder).acquire()


def test_nobody_holds_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert holder(tmp_path / "nowhere") is None
