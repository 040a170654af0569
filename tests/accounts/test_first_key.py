"""The first keys of a server: made, given, and taken over from before there were accounts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from voicewire.accounts.first_key import first_key, given_id
from voicewire.accounts.keys import Keys
from voicewire.auth.keys import GIVEN_KEY_ID, generate_key, hash_key, key_id, matches, utc_now
from voicewire.auth.scopes import ALL_SCOPES
from voicewire.auth.secret_files import BadSecretFile, read_client_key
from voicewire.storage.store import Store

PEPPER = b"p" * 32


async def _knows(store: Store, key: str, id: str = "") -> bool:
    records = {record.id: record for record in await Keys(store, PEPPER, None).page("")}
    return matches(PEPPER, key, records.get(id or key_id(key)), utc_now())


async def test_the_first_start_makes_one_key_for_everything(store: Store, tmp_path: Path) -> None:
    key = await first_key(store, PEPPER, tmp_path)
    assert key is not None
    assert await _knows(store, key)
    assert read_client_key(tmp_path) == key
    [record] = await Keys(store, PEPPER, None).page("home")
    assert record.scopes == ALL_SCOPES


async def test_the_second_start_says_no_key_and_keeps_the_first(store: Store, tmp_path: Path) -> None:
    key = await first_key(store, PEPPER, tmp_path)
    assert key is not None
    assert await first_key(store, PEPPER, tmp_path) is None
    assert await _knows(store, key)
    assert read_client_key(tmp_path) == key


async def test_gateways_that_start_together_make_one_key(store: Store, tmp_path: Path) -> None:
    made = await asyncio.gather(*(first_key(store, PEPPER, tmp_path) for _ in range(4)))
    assert len([key for key in made if key]) == 1


@pytest.mark.parametrize("given", [pytest.param(generate_key(), id="made key"), "correct-horse-battery"])
async def test_a_given_key_follows_the_configuration(store: Store, tmp_path: Path, given: str) -> None:
    assert await first_key(store, PEPPER, tmp_path, given) == given
    assert given_id(given) in {key_id(given), GIVEN_KEY_ID}
    assert await _knows(store, given, GIVEN_KEY_ID)
    assert read_client_key(tmp_path) == given
    assert await first_key(store, PEPPER, tmp_path, "another-good-key") == "another-good-key"
    assert not await _knows(store, given, GIVEN_KEY_ID)
    assert await _knows(store, "another-good-key", GIVEN_KEY_ID)
    assert await first_key(store, PEPPER, tmp_path) is None
    assert not await _knows(store, "another-good-key", GIVEN_KEY_ID)


@pytest.mark.parametrize("given", ["short", "has a space in it", "x" * 300, "new\nline-in-the-middle"])
async def test_a_given_key_that_nobody_should_use_is_refused_without_repeating_it(
    store: Store, tmp_path: Path, given: str
) -> None:
    with pytest.raises(ValueError, match="visible ASCII") as refused:
        await first_key(store, PEPPER, tmp_path, given)
    assert given not in str(refused.value)


def _line(key: str, **fields: object) -> dict[str, object]:
    return {"id": key_id(key), "hash": hash_key(PEPPER, key), "created": "2025-01-01T00:00:00Z", **fields}


async def test_keys_of_an_older_data_folder_are_taken_over_once(store: Store, tmp_path: Path) -> None:
    first, other, revoked = generate_key(), generate_key(), generate_key()
    lines = [
        _line(first, label="bootstrap", scopes=sorted(ALL_SCOPES)),
        _line(other, tenant="acme", scopes=["speak"]),
        _line(revoked, revoked="2025-02-01T00:00:00Z"),
    ]
    (tmp_path / "keys.json").write_text(json.dumps({"keys": lines}))
    assert await first_key(store, PEPPER, tmp_path) is None
    assert [await _knows(store, key) for key in (first, other, revoked)] == [True, True, False]
    record = await Keys(store, PEPPER, None).get("acme", key_id(other))
    assert record.scopes == {"speak"}
    assert await store.fetchval("SELECT plan FROM subscriptions WHERE tenant = 'acme'") == "home"
    assert not (tmp_path / "keys.json").exists()
    assert (tmp_path / "keys.json.taken").exists()
    assert await first_key(store, PEPPER, tmp_path) is None
    assert len(await Keys(store, PEPPER, None).page("")) == 3


BAD_FILES = {
    "not json": "{",
    "a list": "[]",
    "no id": '{"keys": [{"hash": "00", "created": "2025-01-01T00:00:00Z"}]}',
    "a misspelt field": '{"keys": [{"id": "a", "hash": "0", "created": "2025-01-01T00:00:00Z", "revokd": null}]}',
    "an unknown scope": '{"keys": [{"id": "a", "hash": "0", "created": "2025-01-01T00:00:00Z", "scopes": ["root"]}]}',
    "a limit of nothing": '{"keys": [{"id":"a","hash":"0","created":"2025-01-01T00:00:00Z","limits":{"streams":0}}]}',
}


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES.keys())
async def test_a_bad_file_stops_the_start_and_is_named(store: Store, tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(BadSecretFile, match=r"keys\.json: "):
        await first_key(store, PEPPER, tmp_path)
    assert (tmp_path / "keys.json").exists()
    assert await Keys(store, PEPPER, None).page("") == []
