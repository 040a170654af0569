import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from voicewire.auth.secret_files import BadSecretFile, kept_secret, leave_client_key, read_client_key


def test_a_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    made = kept_secret(tmp_path / "new" / "folder", "pepper")
    assert len(made) == 32
    assert kept_secret(tmp_path / "new" / "folder", "pepper") == made
    assert kept_secret(tmp_path / "new" / "folder", "another") != made


def test_files_are_for_the_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        kept_secret(tmp_path / "data", "pepper")
        leave_client_key(tmp_path / "data", "the-key")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
    assert modes == dict.fromkeys(["keys.lock", "pepper", "client-key"], 0o600)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_those_who_start_at_once_share_one_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(lambda _: kept_secret(tmp_path / "data", "pepper"), range(16)))) == 1


@pytest.mark.parametrize("content", ["", "zz", "00ff", "\xff\xfe"])
def test_a_bad_secret_stops_the_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "pepper").write_bytes(content.encode("latin-1"))
    with pytest.raises(BadSecretFile, match="pepper"):
        kept_secret(tmp_path, "pepper")


def test_a_client_key_is_left_and_read(tmp_path: Path) -> None:
    leave_client_key(tmp_path, "the-key")
    assert read_client_key(tmp_path) == "the-key"


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_no_client_key_is_an_empty_one(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "client-key").write_bytes(content)
    assert read_client_key(tmp_path) == ""
