import hmac
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicewire.auth.keys import (
    GIVEN_KEY_ID,
    KeyLimits,
    KeyRecord,
    generate_key,
    hash_key,
    key_id,
    matches,
    well_formed,
)
from voicewire.auth.principal import Limits

PEPPER = b"p" * 32
NOW = datetime(2025, 1, 1, tzinfo=UTC)


def _record(key: str, revoked: datetime | None = None) -> KeyRecord:
    return KeyRecord(key_id(key), hash_key(PEPPER, key), NOW, revoked=revoked)


def test_a_key_has_the_documented_form() -> None:
    assert re.fullmatch(r"vw_live_[a-z2-7]{8}_[A-Za-z0-9_-]{43}", generate_key())
    assert generate_key("test").startswith("vw_test_")


def test_randomness_is_taken_from_the_caller() -> None:
    assert generate_key(random_bytes=bytes) == f"vw_live_aaaaaaaa_{'A' * 43}"
    assert generate_key() != generate_key()


@given(st.binary(min_size=32, max_size=32))
def test_every_key_is_found_by_its_public_part_and_matches_only_its_own_record(seed: bytes) -> None:
    key = generate_key(random_bytes=lambda size: seed[:size])
    other = generate_key(random_bytes=lambda size: bytes(255 - byte for byte in seed[:size]))
    assert key_id(key) == key.split("_")[2]
    assert well_formed(key)
    assert matches(PEPPER, key, _record(key), NOW)
    assert not matches(PEPPER, other, _record(key), NOW)


GOOD = generate_key(random_bytes=bytes)

FORGED = {
    "empty": "",
    "only the prefix": "vw_live_",
    "no secret": GOOD[:17],
    "another secret": GOOD[:-1] + "B",
    "shorter": GOOD[:-1],
    "longer": GOOD + "A",
    "another id": GOOD.replace("aaaaaaaa", "aaaaaaab"),
    "another environment": GOOD.replace("live", "test"),
    "upper case": GOOD.upper(),
    "a space before": " " + GOOD,
    "a newline behind": GOOD + "\n",
    "a NUL behind": GOOD + "\0",
    "padding": GOOD + "=",
    "standard base64": GOOD[:-1] + "/",
    "full-width digits": GOOD.replace("aaaaaaaa", "aaaaaaa２"),
    "lone surrogate": GOOD[:-1] + "\ud800",
    "the hash": hash_key(PEPPER, GOOD),
    "twice": GOOD + GOOD,
    "ten megabytes": "A" * 10_000_000,
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
def test_a_forged_key_never_matches(forged: str) -> None:
    assert not matches(PEPPER, forged, _record(GOOD), NOW)
    assert not matches(PEPPER, forged, None, NOW)


def test_a_key_of_another_form_can_only_be_the_operators() -> None:
    assert key_id("correct-horse-battery") == GIVEN_KEY_ID
    assert key_id(FORGED["a newline behind"]) == GIVEN_KEY_ID


def test_another_pepper_does_not_match() -> None:
    assert not matches(b"q" * 32, GOOD, _record(GOOD), NOW)


def test_a_revoked_key_does_not_match() -> None:
    assert not matches(PEPPER, GOOD, _record(GOOD, revoked=NOW), NOW)


def test_a_key_ends_when_it_expires_and_with_its_tenant() -> None:
    over = msgspec.structs.replace(_record(GOOD), expires=NOW)
    assert not matches(PEPPER, GOOD, over, NOW)
    assert matches(PEPPER, GOOD, over, NOW - timedelta(seconds=1))
    assert not matches(PEPPER, GOOD, msgspec.structs.replace(over, expires=None, suspended=True), NOW)


def test_a_keys_own_limits_only_lower() -> None:
    plan = Limits(streams=5, requests_minute=60, models=frozenset({"espeak", "kokoro"}))
    own = KeyLimits(streams=2, requests_minute=600, models=frozenset({"kokoro", "tone"}))
    assert own.lower(plan) == replace(plan, streams=2, models=frozenset({"kokoro"}))
    assert KeyLimits().lower(plan) == plan
    both = own.within(KeyLimits(streams=3, contexts=1, models=frozenset({"tone"})))
    assert both == KeyLimits(streams=2, contexts=1, requests_minute=600, models=frozenset({"tone"}))
    record = msgspec.structs.replace(_record(GOOD), limits=own, expires=NOW)
    principal = record.principal(plan)
    assert (principal.limits, principal.expires, principal.key) == (own.lower(plan), NOW.timestamp(), "aaaaaaaa")


def test_the_work_is_the_same_for_a_known_and_an_unknown_id(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    compare: Callable[[str, str], bool] = hmac.compare_digest

    def spy(left: str, right: str) -> bool:
        compared.append((len(left), len(right)))
        return compare(left, right)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    for key, record in [(GOOD, _record(GOOD)), (FORGED["another secret"], _record(GOOD)), (GOOD, None)]:
        matches(PEPPER, key, record, NOW)
    assert compared == [(64, 64)] * 3


def test_a_record_shows_neither_key_nor_hash() -> None:
    record = _record(GOOD)
    assert GOOD not in repr(record)
    assert record.hash not in repr(record)
    assert record.hash not in str(record)


@pytest.mark.parametrize(
    ("key", "good"),
    [("seven77", False), ("eight888", True), ("x" * 256, True), ("x" * 257, False), ("has a space", False),
     ("tab\tinside", False), ("umlautsäöü", False), ("\x7f" * 10, False)],
)  # fmt: skip
def test_well_formed_bounds_what_is_hashed(key: str, good: bool) -> None:
    assert well_formed(key) is good
