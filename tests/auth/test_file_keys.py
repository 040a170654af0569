import json
import logging
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from voicewire.auth.authenticate import Authenticator
from voicewire.auth.file_keys import BadKeyFile, FileKeys, read_client_key
from voicewire.auth.keys import GIVEN_KEY_ID, generate_key, key_id, matches
from voicewire.auth.scopes import ALL_SCOPES, CLIENT_SCOPES


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def _knows(keys: FileKeys, key: str) -> bool:
    return matches(keys.pepper, key, await keys.find(key_id(key)))


async def test_the_first_start_makes_one_key_for_everything(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path / "new" / "folder")
    key = keys.bootstrap()
    assert key is not None
    assert await _knows(keys, key)
    assert read_client_key(tmp_path / "new" / "folder") == key
    assert [record.scopes for record in keys.records()] == [ALL_SCOPES]


async def test_the_second_start_says_no_key_and_keeps_the_first(tmp_path: Path) -> None:
    key = FileKeys(tmp_path).bootstrap()
    again = FileKeys(tmp_path)
    assert again.bootstrap() is None
    assert key is not None
    assert await _knows(again, key)
    assert read_client_key(tmp_path) == key


@pytest.mark.parametrize("given", [pytest.param(generate_key(), id="made key"), "correct-horse-battery"])
async def test_a_given_key_is_that_key_and_is_not_kept(tmp_path: Path, given: str) -> None:
    keys = FileKeys(tmp_path)
    assert keys.bootstrap(given) == given
    assert await _knows(keys, given)
    assert read_client_key(tmp_path) == given
    assert keys.records() == []
    assert not await _knows(FileKeys(tmp_path), given)


async def test_a_given_key_does_not_open_the_door_for_others(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path)
    keys.bootstrap("correct-horse-battery")
    assert not await _knows(keys, "correct-horse-batterz")
    assert not await _knows(keys, GIVEN_KEY_ID)


@pytest.mark.parametrize("given", ["short", "has a space in it", "x" * 300, "new\nline-in-the-middle"])
def test_a_given_key_that_nobody_should_use_is_refused_without_repeating_it(tmp_path: Path, given: str) -> None:
    with pytest.raises(ValueError, match="visible ASCII") as refused:
        FileKeys(tmp_path).bootstrap(given)
    assert given not in str(refused.value)


def test_files_are_for_the_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        FileKeys(tmp_path / "data").bootstrap()
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
    assert modes == dict.fromkeys(["keys.json", "keys.lock", "pepper", "client-key"], 0o600)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_neither_key_nor_pepper_stands_in_the_key_file(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path)
    key = keys.create("a client")
    content = (tmp_path / "keys.json").read_text()
    assert key not in content
    assert key.rsplit("_", 1)[1] not in content
    assert keys.pepper.hex() not in content


async def test_a_key_made_by_another_process_is_found_within_a_second(tmp_path: Path) -> None:
    clock = Clock()
    keys = FileKeys(tmp_path, clock)
    key = FileKeys(tmp_path).create("made beside it")
    assert not await _knows(keys, key)
    clock.now_s += 1
    assert await _knows(keys, key)


async def test_a_key_revoked_by_another_process_is_refused_within_a_second(tmp_path: Path) -> None:
    clock = Clock()
    keys = FileKeys(tmp_path, clock)
    key = keys.create("to go")
    assert FileKeys(tmp_path).revoke(key_id(key))
    clock.now_s += 1
    assert not await _knows(keys, key)


async def test_revoking_twice_or_nothing_says_so(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path)
    key = keys.create("to go")
    assert keys.revoke(key_id(key))
    assert not keys.revoke(key_id(key))
    assert not keys.revoke("aaaaaaaa")
    assert not await _knows(keys, key)
    assert keys.records()[0].revoked is not None


def test_two_who_write_at_once_lose_nothing(tmp_path: Path) -> None:
    stores = [FileKeys(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        made = set(threads.map(lambda number: key_id(stores[number % 4].create(f"key {number}")), range(40)))
    assert {record.id for record in FileKeys(tmp_path).records()} == made
    assert len(made) == 40


def test_two_who_start_at_once_share_one_pepper(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        peppers = set(threads.map(lambda _: FileKeys(tmp_path / "data").pepper, range(16)))
    assert len(peppers) == 1


BAD_FILES = {
    "not json": "{",
    "a list": "[]",
    "no id": '{"keys": [{"hash": "00", "created": "2025-01-01T00:00:00Z"}]}',
    "a misspelt field": '{"keys": [{"id": "a", "hash": "0", "created": "2025-01-01T00:00:00Z", "revokd": null}]}',
    "an unknown scope": '{"keys": [{"id": "a", "hash": "0", "created": "2025-01-01T00:00:00Z", "scopes": ["root"]}]}',
    "a limit of nothing": '{"keys": [{"id":"a","hash":"0","created":"2025-01-01T00:00:00Z","limits":{"streams":0}}]}',
}


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_stops_the_start_and_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(BadKeyFile, match=r"keys\.json: "):
        FileKeys(tmp_path)


async def test_a_file_that_goes_bad_keeps_the_keys_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    keys = FileKeys(tmp_path, clock)
    key = keys.create("stays")
    (tmp_path / "keys.json").write_text("{ half an edit")
    clock.now_s += 1
    with caplog.at_level(logging.ERROR):
        assert await _knows(keys, key)
    assert "keys.json" in caplog.text
    with pytest.raises(BadKeyFile):
        keys.create("not over a file that a person is mending")


@pytest.mark.parametrize("content", ["", "zz", "00ff", "\xff\xfe"])
def test_a_bad_pepper_stops_the_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "pepper").write_bytes(content.encode("latin-1"))
    with pytest.raises(BadKeyFile, match="pepper"):
        FileKeys(tmp_path)


def test_scopes_are_checked_and_default_to_those_of_a_client(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path)
    keys.create("a client")
    with pytest.raises(ValueError, match="sing"):
        keys.create("a singer", scopes=frozenset({"speak", "sing"}))
    assert [record.scopes for record in keys.records()] == [CLIENT_SCOPES]


def test_what_the_file_says_is_what_was_made(tmp_path: Path) -> None:
    key = FileKeys(tmp_path).create("a client", tenant="acme", scopes=frozenset({"speak"}))
    (made,) = json.loads((tmp_path / "keys.json").read_text())["keys"]
    assert made["id"] == key_id(key)
    assert (made["label"], made["tenant"], made["scopes"]) == ("a client", "acme", ["speak"])


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_no_client_key_is_an_empty_one(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "client-key").write_bytes(content)
    assert read_client_key(tmp_path) == ""


async def test_the_key_shows_nowhere_but_in_client_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    canary = "canary-4f1e99d2-do-not-show"
    with caplog.at_level(logging.DEBUG):
        keys = FileKeys(tmp_path)
        keys.bootstrap(canary)
        record = await keys.find(key_id(canary))
    assert canary not in caplog.text
    assert canary not in repr(keys) + repr(record) + repr(vars(keys)) + repr(Authenticator)
    shown = [path.name for path in tmp_path.iterdir() if canary.encode() in path.read_bytes()]
    assert shown == ["client-key"]
