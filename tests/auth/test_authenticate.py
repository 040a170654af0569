import logging
import traceback
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
from redis.asyncio import Redis
from starlette.datastructures import Headers

from voicewire.auth.authenticate import (
    Authenticator,
    check_origin,
    credential_from_headers,
    local_access,
    local_principal,
    refuse_query_secrets,
    same_limits,
)
from voicewire.auth.keys import KeyLimits, KeyRecord, generate_key, hash_key, key_id
from voicewire.auth.principal import Limits
from voicewire.auth.tickets import TicketStore
from voicewire.errors import BadRequest, Forbidden, Unauthorized

ORIGIN = "https://reader.example"
PEPPER = b"p" * 32
NOW = datetime(2025, 1, 1, tzinfo=UTC)


class Shelf:
    """A key store in memory, for what an authenticator does with one; the real one has tests of its own."""

    def __init__(self) -> None:
        self.records: dict[str, KeyRecord] = {}
        self.asked: list[str] = []
        self.uses: list[str] = []

    async def find(self, key_id: str, /) -> KeyRecord | None:
        self.asked.append(key_id)
        return self.records.get(key_id)

    def used(self, key_id: str, /) -> None:
        self.uses.append(key_id)

    def put(self, key: str, **fields: object) -> str:
        self.records[key_id(key)] = KeyRecord(key_id(key), hash_key(PEPPER, key), NOW, **fields)  # type: ignore[arg-type]  # as a test names them
        return key

    def change(self, key: str, **fields: object) -> None:
        self.records[key_id(key)] = msgspec.structs.replace(self.records[key_id(key)], **fields)


@pytest.fixture
def keys() -> Shelf:
    return Shelf()


@pytest.fixture
def authenticator(keys: Shelf, redis: Redis) -> Authenticator:
    return Authenticator(keys, PEPPER, TicketStore(redis), same_limits(Limits(streams=7)), now=lambda: NOW)


async def test_a_good_key_is_its_caller(keys: Shelf, authenticator: Authenticator) -> None:
    key = keys.put(generate_key(), label="a client", scopes=frozenset({"speak"}), tenant="acme")
    principal = await authenticator.authenticate(key)
    assert (principal.id, principal.tenant, principal.label, principal.kind) == (key_id(key), "acme", "a client", "key")
    assert principal.scopes == {"speak"}
    assert principal.limits == Limits(streams=7)
    assert keys.uses == [key_id(key)]


@pytest.mark.parametrize(
    "shown",
    [
        None,
        "",
        "x",
        pytest.param(generate_key(), id="unknown key"),
        "correct-horse-battery",
        "ä" * 20,
        "x" * 10_000_000,
    ],
)
async def test_anything_else_is_nobody(keys: Shelf, authenticator: Authenticator, shown: str | None) -> None:
    keys.put(generate_key())
    keys.put("the-key-of-the-operator")
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(shown)
    assert keys.uses == []


ENDS = {
    "revoked": {"revoked": NOW},
    "expired": {"expires": NOW},
    "its tenant suspended": {"suspended": True},
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
async def test_a_key_that_ended_is_nobody_and_so_is_what_it_made(
    keys: Shelf, authenticator: Authenticator, end: dict[str, object]
) -> None:
    key = keys.put(generate_key())
    principal = await authenticator.authenticate(key)
    await authenticator.confirm(principal)
    ticket = await authenticator._tickets.create(principal, ORIGIN)
    keys.change(key, **end)
    for attempt in (authenticator.authenticate(key), authenticator.confirm(principal)):
        with pytest.raises(Unauthorized):
            await attempt
    with pytest.raises(Unauthorized):
        await authenticator.redeem(ticket, ORIGIN)


async def test_a_ticket_is_redeemed_once(keys: Shelf, authenticator: Authenticator) -> None:
    principal = await authenticator.authenticate(keys.put(generate_key()))
    ticket = await authenticator._tickets.create(principal, ORIGIN)
    assert (await authenticator.redeem(ticket, ORIGIN)).id == principal.id
    with pytest.raises(Unauthorized):
        await authenticator.redeem(ticket, ORIGIN)


async def test_who_stays_long_has_the_limits_and_scopes_of_now(keys: Shelf, authenticator: Authenticator) -> None:
    key = keys.put(generate_key())
    principal = await authenticator.authenticate(key)
    keys.change(key, limits=KeyLimits(streams=2), scopes=frozenset({"voices:read", "admin"}))
    fresh = await authenticator.confirm(replace(principal, kind="ticket"))
    assert (fresh.limits.streams, fresh.kind) == (2, "ticket")
    assert fresh.scopes == {"voices:read"}


async def test_a_local_caller_has_no_key_that_could_be_revoked(authenticator: Authenticator) -> None:
    await authenticator.confirm(local_principal())
    ticket = await authenticator._tickets.create(local_principal(), "http://localhost:8080")
    assert (await authenticator.redeem(ticket, "http://localhost:8080")).id == "local"


async def test_the_store_is_asked_once_whatever_is_shown(keys: Shelf, authenticator: Authenticator) -> None:
    for shown in (generate_key(), "not a key", "", "x" * 1_000):
        with pytest.raises(Unauthorized):
            await authenticator.authenticate(shown)
    assert len(keys.asked) == 4


async def test_a_refused_key_shows_nowhere(authenticator: Authenticator, caplog: pytest.LogCaptureFixture) -> None:
    canary = "vw_live_canary77_" + "Zq" * 21 + "Z"
    with caplog.at_level(logging.DEBUG), pytest.raises(Unauthorized) as refused:
        await authenticator.authenticate(canary)
    error = refused.value
    told = str(error) + repr(error) + repr(error.fields) + "".join(traceback.format_exception(error))
    assert canary not in told + caplog.text
    with pytest.raises(BadRequest) as clash:
        credential_from_headers({"Authorization": f"Bearer {canary}", "X-API-Key": "another"})
    assert canary not in str(clash.value) + repr(clash.value.fields)
    with pytest.raises(BadRequest) as query:
        refuse_query_secrets(f"key={canary}")
    assert canary not in str(query.value) + repr(query.value.fields)


CREDENTIALS: list[tuple[dict[str, str], str | None]] = [
    ({}, None),
    ({"Authorization": "Bearer abc"}, "abc"),
    ({"authorization": "bearer abc"}, "abc"),
    ({"AUTHORIZATION": "BEARER   abc  "}, "abc"),
    ({"X-API-Key": "abc"}, "abc"),
    ({"x-api-key": " abc "}, "abc"),
    ({"Authorization": "Bearer abc", "X-API-Key": "abc"}, "abc"),
    ({"Authorization": "Basic dXNlcjpwYXNz"}, None),
    ({"Authorization": "Basic dXNlcjpwYXNz", "X-API-Key": "abc"}, "abc"),
    ({"Authorization": "Bearer a b"}, "a b"),
    ({"Authorization": "Bearerabc"}, None),
]


@pytest.mark.parametrize(("headers", "credential"), CREDENTIALS)
def test_reads_the_credential_of_either_header(headers: dict[str, str], credential: str | None) -> None:
    assert credential_from_headers(headers) == credential
    assert credential_from_headers(Headers(headers)) == credential


def test_two_credentials_are_one_too_many() -> None:
    with pytest.raises(BadRequest):
        credential_from_headers({"Authorization": "Bearer abc", "X-API-Key": "abd"})
    repeated = Headers(raw=[(b"authorization", b"Bearer abc"), (b"authorization", b"Bearer abd")])
    with pytest.raises(BadRequest):
        credential_from_headers(repeated)


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"X-API-Key": " "}])
def test_an_empty_credential_is_not_the_same_as_none(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized):
        credential_from_headers(headers)


@pytest.mark.parametrize(
    "query",
    ["token=x", "key=x", "api_key=x", "apikey=x", "access_token=x", "authorization=x", "xi-api-key=x", "ticket=x",
     "password=x", "secret=x", "TOKEN=x", "Api-Key=x", "ACCESS_TOKEN=x", "X-API-Key=x", "jwt=x", "token", "token=",
     "voice=amy&token=x", "%74oken=x", "%20token=x", "api%5Fkey=x",
     "refresh_token=x", "id_token=x", "client_secret=x"],
)  # fmt: skip
def test_a_secret_in_the_query_is_refused(query: str) -> None:
    with pytest.raises(BadRequest):
        refuse_query_secrets(query)


@pytest.mark.parametrize("query", ["", "voice=amy", "text=my+key%3Dx", "keyboard=x", "tokens=5", "monkey=1", "%"])
def test_other_queries_pass(query: str) -> None:
    refuse_query_secrets(query)


def test_a_query_of_a_thousand_fields_is_refused_not_searched() -> None:
    with pytest.raises(BadRequest):
        refuse_query_secrets("&".join(f"a{number}=1" for number in range(1_000)))


ALLOWED = frozenset({"https://reader.example", "http://localhost:8080", "null"})


@pytest.mark.parametrize("origin", [None, "https://reader.example", "http://localhost:8080"])
def test_an_absent_or_listed_origin_passes(origin: str | None) -> None:
    check_origin(origin, ALLOWED)


@pytest.mark.parametrize(
    "origin",
    ["", "null", "NULL", "https://evil.example", "http://reader.example", "https://READER.example",
     "HTTPS://reader.example", "https://reader.example:443", "https://reader.example:8443", "https://reader.example/",
     "https://sub.reader.example", "https://reader.example.evil.example", "https://reader.example@evil.example",
     "https://evil.example#https://reader.example", " https://reader.example", "https://reader.example\t",
     "http://localhost", "http://localhost:8081", "http://127.0.0.1:8080", "https://reader.example, https://evil"],
)  # fmt: skip
def test_any_other_origin_is_refused(origin: str) -> None:
    with pytest.raises(Forbidden):
        check_origin(origin, ALLOWED)


LOCAL = {"listening": ["127.0.0.1"], "port": 8080, "peer": "127.0.0.1"}
HERE = {"Host": "127.0.0.1:8080", "Origin": "http://127.0.0.1:8080"}

ALLOWED_LOCALLY = {
    "127.0.0.1": (LOCAL, HERE),
    "localhost": (LOCAL, {"Host": "localhost:8080", "Origin": "http://localhost:8080"}),
    "IPv6": (LOCAL | {"listening": ["::1"], "peer": "::1"}, {"Host": "[::1]:8080", "Origin": "http://[::1]:8080"}),
    "both": (LOCAL | {"listening": ["127.0.0.1", "::1"]}, HERE),
    "by name": (LOCAL | {"listening": ["localhost"]}, HERE),
    "IPv4 in IPv6": (LOCAL | {"peer": "::ffff:127.0.0.1"}, HERE),
    "port 80": (LOCAL | {"port": 80}, {"Host": "localhost", "Origin": "http://localhost"}),
}

REFUSED_LOCALLY = {
    "listens everywhere": (LOCAL | {"listening": ["0.0.0.0"]}, HERE),
    "listens everywhere, IPv6": (LOCAL | {"listening": ["::"]}, HERE),
    "listens on a name": (LOCAL | {"listening": ["server.example"]}, HERE),
    "listens elsewhere too": (LOCAL | {"listening": ["127.0.0.1", "192.168.1.5"]}, HERE),
    "listens nowhere": (LOCAL | {"listening": []}, HERE),
    "listens on an empty name, which is everywhere": (LOCAL | {"listening": [""]}, HERE),
    "another peer": (LOCAL | {"peer": "192.168.1.9"}, HERE),
    "another peer in IPv6 clothes": (LOCAL | {"peer": "::ffff:192.168.1.9"}, HERE),
    "no peer": (LOCAL | {"peer": ""}, HERE),
    "no origin: not a browser": (LOCAL, {"Host": HERE["Host"]}),
    "no host": (LOCAL, {"Origin": HERE["Origin"]}),
    "a foreign page": (LOCAL, HERE | {"Origin": "https://evil.example"}),
    "a sandboxed page": (LOCAL, HERE | {"Origin": "null"}),
    "a page on another port": (LOCAL, HERE | {"Origin": "http://127.0.0.1:8081"}),
    "a page of the other name": (LOCAL, HERE | {"Origin": "http://localhost:8080"}),
    "a rebound name": (LOCAL, {"Host": "evil.example:8080", "Origin": "http://evil.example:8080"}),
    "a name that only begins so": (
        LOCAL,
        {"Host": "localhost.evil.example:8080", "Origin": "http://localhost.evil.example:8080"},
    ),
    "another port in both": (LOCAL, {"Host": "localhost:9090", "Origin": "http://localhost:9090"}),
    "no port": (LOCAL, {"Host": "localhost", "Origin": "http://localhost"}),
    "https": (LOCAL, HERE | {"Origin": "https://127.0.0.1:8080"}),
    "upper case": (LOCAL, {"Host": "LOCALHOST:8080", "Origin": "http://LOCALHOST:8080"}),
    "a proxy: X-Forwarded-For": (LOCAL, HERE | {"X-Forwarded-For": "203.0.113.5"}),
    "a proxy: x-forwarded-host": (LOCAL, HERE | {"x-forwarded-host": "reader.example"}),
    "a proxy: X-Forwarded-Proto": (LOCAL, HERE | {"X-FORWARDED-PROTO": "https"}),
    "a proxy: Forwarded": (LOCAL, HERE | {"Forwarded": "for=203.0.113.5"}),
    "a proxy: Forwarded, empty": (LOCAL, HERE | {"Forwarded": ""}),
    "a proxy: Via": (LOCAL, HERE | {"Via": "1.1 cache"}),
    "a proxy: X-Real-IP": (LOCAL, HERE | {"X-Real-IP": "203.0.113.5"}),
}


@pytest.mark.parametrize(("where", "headers"), ALLOWED_LOCALLY.values(), ids=ALLOWED_LOCALLY.keys())
def test_a_browser_on_this_machine_needs_no_key(where: dict[str, object], headers: dict[str, str]) -> None:
    assert local_access(**where, headers=headers)  # type: ignore[arg-type]  # the table is of mixed values


@pytest.mark.parametrize(("where", "headers"), REFUSED_LOCALLY.values(), ids=REFUSED_LOCALLY.keys())
def test_anybody_else_does(where: dict[str, object], headers: dict[str, str]) -> None:
    assert not local_access(**where, headers=headers)  # type: ignore[arg-type]  # the table is of mixed values


def test_two_hosts_or_origins_are_not_one() -> None:
    host, origin = (b"host", b"127.0.0.1:8080"), (b"origin", b"http://127.0.0.1:8080")
    twice = [Headers(raw=[host, host, origin]), Headers(raw=[host, origin, (b"origin", b"https://evil.example")])]
    assert not any(local_access(["127.0.0.1"], 8080, "127.0.0.1", headers) for headers in twice)


def test_the_local_caller_may_speak_and_not_administer() -> None:
    principal = local_principal()
    principal.require("speak")
    with pytest.raises(Forbidden):
        principal.require("admin")
