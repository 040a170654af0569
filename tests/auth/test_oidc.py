"""Tokens of an issuer, against one that speaks the published protocol on this machine."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import jwt
import pytest

from tests.auth.issuer import CLIENT_ID, CLIENT_SECRET, LocalIssuer, SigningKey, local_issuer, unsigned
from voicewire.auth.issuer import Client
from voicewire.auth.issuer_http import IssuerHttp
from voicewire.auth.jwks import FETCH_EVERY_S, KEEP_S, REFRESH_S
from voicewire.auth.oidc import Issuers, clients
from voicewire.errors import BadRequest, Busy, Unauthorized, VoicewireError

DAY_S = 86_400


class Clock:
    """Time that tests move: seconds since the start of each test."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(scope="module")
def running() -> Iterator[Mapping[str, LocalIssuer]]:
    """An issuer for each algorithm."""
    with local_issuer("RS256") as rs256, local_issuer("ES256") as es256:
        yield {"RS256": rs256, "ES256": es256}


@pytest.fixture(params=["RS256", "ES256"])
def issuer(running: Mapping[str, LocalIssuer], request: pytest.FixtureRequest) -> LocalIssuer:
    running[request.param].reset()
    return running[request.param]


@pytest.fixture
def es256(running: Mapping[str, LocalIssuer]) -> LocalIssuer:
    running["ES256"].reset()
    return running["ES256"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def trusting(clock: Clock) -> AsyncIterator[Callable[..., Issuers]]:
    """Makes those who trust an issuer, and closes them."""
    opened: list[Issuers] = []

    def trust(issuer: LocalIssuer, **changed: str) -> Issuers:
        client = Client(**{"issuer": issuer.url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **changed})
        opened.append(Issuers([client], IssuerHttp(), clock))
        return opened[-1]

    yield trust
    for each in opened:
        await each.aclose()


Trusting = Callable[..., Issuers]


async def refused(issuers: Issuers, token: str) -> str:
    """The code of the error that `token` gets."""
    with pytest.raises(VoicewireError) as caught:
        await issuers.find(token)
    return caught.value.row_code


async def test_a_good_token_names_its_person(issuer: LocalIssuer, trusting: Trusting) -> None:
    issuers = trusting(issuer)
    found = await issuers.find(issuer.token())
    assert (found.issuer, found.subject, found.email) == (issuer.url, "person-1", "ada@example.org")
    assert found.email_verified
    assert found.name == "Ada"
    assert found.expires == pytest.approx(time.time() + 300, abs=5)
    for _ in range(50):
        await issuers.find(issuer.token())
    assert issuer.asked == {"openid-configuration": 1, "jwks": 1}


@pytest.mark.parametrize(
    ("claims", "verified"),
    [({"email_verified": True}, True), ({"email_verified": "true"}, True), ({"email_verified": False}, False),
     ({"email_verified": None}, False), ({"email_verified": "yes"}, False), ({"email_verified": 1}, False),
     ({"email": None}, False), ({"email": 7}, False)],
)  # fmt: skip
async def test_an_address_counts_only_when_the_issuer_checked_it(
    es256: LocalIssuer, trusting: Trusting, claims: dict[str, Any], verified: bool
) -> None:
    assert (await trusting(es256).find(es256.token(**claims))).email_verified is verified


def forged(issuer: LocalIssuer) -> dict[str, str]:
    """Tokens that are wrong in one way each."""
    key, stranger, now = issuer.keys[-1], SigningKey("ES256"), int(time.time())
    claims = issuer.claims()
    other = SigningKey("RS256", kid=key.kid)
    public = jwt.PyJWK.from_dict(key.jwk).key
    spki = public.public_bytes(encoding=_pem()[0], format=_pem()[1])
    head, body, signature = issuer.token().split(".")
    return {
        "no algorithm": unsigned({"alg": "none", "kid": key.kid}, claims),
        "an algorithm in other letters": unsigned({"alg": "nOnE", "kid": key.kid}, claims),
        "the public key as a secret": _hs256(claims, spki, key.kid),
        "another's key under a known name": stranger.sign(claims, kid=key.kid),
        "another kind of key under a known name": other.sign(claims),
        "a key of its own": stranger.sign(claims, kid=key.kid, jwk=stranger.jwk),
        "an address of keys": stranger.sign(claims, kid=key.kid, jku=f"{issuer.url}/evil"),
        "an address of certificates": stranger.sign(claims, kid=key.kid, x5u=f"{issuer.url}/evil"),
        "a name like a path": key.sign(claims, kid="../../etc/passwd"),
        "a critical extension": key.sign(claims, crit=["exp"]),
        "a changed body": f"{head}.{body[:-2]}AA.{signature}",
        "no signature": f"{head}.{body}.",
        "another issuer's name": issuer.token(iss="https://evil.example"),
        "the issuer with a slash": issuer.token(iss=issuer.url + "/"),
        "another audience": issuer.token(aud="another"),
        "no audience": issuer.token(aud=None),
        "for another client": issuer.token(azp="another"),
        "no end": issuer.token(exp=None),
        "ended": issuer.token(iat=now - 600, exp=now - 60),
        "a life of 31 years": issuer.token(exp=now + 31 * 365 * DAY_S),
        "a life of a day and a second": issuer.token(iat=now, exp=now + DAY_S + 1),
        "issued tomorrow": issuer.token(iat=now + DAY_S, exp=now + DAY_S + 60),
        "not yet good": issuer.token(nbf=now + 600),
        "no subject": issuer.token(sub=None),
        "no time of issue": issuer.token(iat=None),
        "a refresh token": issuer.token(typ="Refresh"),
        "the ID token of a login": issuer.token(nonce="n"),
        "a logout token": key.sign(claims, typ="logout+jwt"),
        "too large": issuer.token(filler="x" * 9_000),
    }


def _pem() -> tuple[Any, Any]:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return Encoding.PEM, PublicFormat.SubjectPublicKeyInfo


def _hs256(claims: dict[str, Any], secret: bytes, kid: str) -> str:
    import base64
    import hashlib
    import hmac

    signed = unsigned({"alg": "HS256", "kid": kid}, claims).rsplit(".", 1)[0]
    digest = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


async def test_forged_tokens_are_all_refused(issuer: LocalIssuer, trusting: Trusting, clock: Clock) -> None:
    issuers = trusting(issuer)
    await issuers.find(issuer.token())
    got = {}
    for name, token in forged(issuer).items():
        clock.now_s += FETCH_EVERY_S  # so that what names a key may have it looked for
        got[name] = await refused(issuers, token)
    assert len(got) >= 20
    assert set(got.values()) == {"unauthorized"}, got
    assert set(issuer.asked) == {"openid-configuration", "jwks"}, "a token named an address, and it was asked"
    await issuers.find(issuer.token())


async def test_a_named_audience_takes_tokens_of_other_clients(es256: LocalIssuer, trusting: Trusting) -> None:
    issuers = trusting(es256, audience="speech")
    assert (await issuers.find(es256.token(aud=["account", "speech"], azp="a-program"))).subject == "person-1"
    assert await refused(issuers, es256.token(aud=CLIENT_ID)) == "unauthorized"


async def test_keys_change_and_no_token_fails(issuer: LocalIssuer, trusting: Trusting, clock: Clock) -> None:
    issuers = trusting(issuer)
    for _ in range(5):
        before = issuer.token()
        await issuers.find(before)
        clock.now_s += FETCH_EVERY_S
        issuer.rotate()
        await asyncio.gather(*(issuers.find(each) for each in [before, issuer.token()] * 10))
    assert issuer.asked["jwks"] == 6


async def test_a_key_that_left_ends_after_ten_minutes(es256: LocalIssuer, trusting: Trusting, clock: Clock) -> None:
    issuers, before = trusting(es256), es256.token()
    await issuers.find(before)
    es256.rotate()
    clock.now_s += KEEP_S - 1
    await issuers.find(es256.token())
    await issuers.find(before)
    clock.now_s += REFRESH_S
    assert await refused(issuers, before) == "unauthorized"
    await issuers.find(es256.token())


async def test_strangers_who_invent_keys_cost_a_fetch_every_half_minute(
    es256: LocalIssuer, trusting: Trusting, clock: Clock
) -> None:
    issuers, key = trusting(es256), es256.keys[-1]
    await issuers.find(es256.token())
    for half_minute in range(1, 4):
        clock.now_s += FETCH_EVERY_S
        tokens = [key.sign(es256.claims(), kid=secrets.token_hex(8)) for _ in range(1_000 // 3 + 1)]
        got = await asyncio.gather(*(issuers.find(each) for each in tokens), return_exceptions=True)
        assert all(isinstance(each, Unauthorized) for each in got)
        assert es256.asked["jwks"] == 1 + half_minute


async def test_an_issuer_that_is_down_says_so_and_ends_nothing(
    es256: LocalIssuer, trusting: Trusting, clock: Clock
) -> None:
    knows, new = trusting(es256), trusting(es256)
    await knows.find(es256.token())
    es256.down = True
    clock.now_s += 3 * DAY_S
    assert (await knows.find(es256.token())).subject == "person-1"
    with pytest.raises(Busy) as caught:
        await new.find(es256.token())
    assert caught.value.row_code == "issuer_failed"
    assert caught.value.retry_after_ms
    assert "HTTP 503" in caught.value.message
    asked = es256.asked.total()
    for _ in range(100):
        assert await refused(new, es256.token()) == "issuer_failed"
    assert es256.asked.total() == asked
    es256.down = False
    clock.now_s += FETCH_EVERY_S
    assert (await new.find(es256.token())).subject == "person-1"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [({"issuer": "https://evil.example"}, "another issuer's"), ({"jwks_uri": "http://evil.example/jwks"}, "https"),
     ({"token_endpoint": "file:///etc/passwd"}, "https"), ({"jwks_uri": 7}, "not valid"),
     ({"id_token_signing_alg_values_supported": ["HS256"]}, "signing key"),
     ({"authorization_endpoint": "https://a@evil.example/"}, "https")],
)  # fmt: skip
async def test_an_issuer_that_cannot_be_trusted_is_not_used(
    es256: LocalIssuer, trusting: Trusting, changed: dict[str, Any], problem: str
) -> None:
    es256.changed = changed
    with pytest.raises(Busy, match=problem):
        await trusting(es256).find(es256.token())
    assert es256.asked["jwks"] == 0


async def test_a_redirect_is_not_followed(es256: LocalIssuer, trusting: Trusting) -> None:
    es256.changed = {"jwks_uri": f"{es256.url}/moved"}
    with pytest.raises(Busy, match="redirect"):
        await trusting(es256).find(es256.token())
    assert es256.asked == {"openid-configuration": 1, "moved": 1}


async def test_an_answer_has_an_end(es256: LocalIssuer, trusting: Trusting) -> None:
    es256.changed = {"filler": "x" * 300_000}
    with pytest.raises(Busy, match="more than"):
        await trusting(es256).find(es256.token())


async def test_a_caller_who_leaves_ends_no_fetch_for_others(es256: LocalIssuer, trusting: Trusting) -> None:
    issuers = trusting(es256)
    leaves, stays = (asyncio.create_task(issuers.find(es256.token())) for _ in range(2))
    while not es256.asked["openid-configuration"]:
        await asyncio.sleep(0.001)
    leaves.cancel()
    assert (await stays).subject == "person-1"


async def test_only_issuers_that_are_trusted_are_known(es256: LocalIssuer, trusting: Trusting) -> None:
    issuers = trusting(es256)
    with pytest.raises(BadRequest):
        issuers.named("https://evil.example")
    assert [client.name for client in issuers] == ["127.0.0.1"]
    assert Client("https://accounts.google.com", "a").name == "Google"
    assert CLIENT_SECRET not in repr(next(iter(issuers)))


@pytest.mark.parametrize(
    "address",
    ["", "http://issuer.example", "https://", "ftp://issuer.example", "https://a:b@issuer.example",
     "https://issuer.example?a=b", "https://issuer.example#a", "http://127.0.0.1.evil.example", "https://a:port"],
)  # fmt: skip
def test_an_issuer_is_asked_over_https(address: str) -> None:
    with pytest.raises(ValueError, match="https"):
        Client(address, "a")


def test_one_client_id_stands_for_all_issuers_or_one_for_each() -> None:
    both = ("https://a.example", "https://b.example/")
    assert [(each.client_id, each.client_secret) for each in clients(both, "vw", "s")] == [("vw", "s"), ("vw", "s")]
    assert [(each.client_id, each.client_secret) for each in clients(both, "x, y", "p,q")] == [("x", "p"), ("y", "q")]
    assert clients(both[:1], "vw", "with, comma")[0].client_secret == "with, comma"
    assert clients((), "") == []
    with pytest.raises(ValueError, match="3 values stand for 2 issuers"):
        clients(both, "x,y,z")
    with pytest.raises(ValueError, match="client id"):
        clients(both, "")
