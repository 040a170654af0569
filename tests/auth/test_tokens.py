"""Our own tokens: those we made are read, and a table of forged ones is refused, each for one flaw alone."""

from __future__ import annotations

import base64
import hmac
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicewire.auth.secret_files import BadSecretFile
from voicewire.auth.tokens import LEEWAY_S, LIFE_S, SECRET_FILE, AccessTokens, open_secret, peek
from voicewire.errors import Unauthorized

SECRET = b"a secret of tests, 32 bytes long"
OTHER = b"another secret, which is as long"
NOW = 1_800_000_000
HEADER = {"alg": "HS256", "typ": "JWT"}
CLAIMS = {
    "iss": "voicewire",
    "aud": "voicewire",
    "sub": "u_1",
    "tenant": "t_1",
    "role": "creator",
    "login": "l_1",
    "iat": NOW,
    "exp": NOW + LIFE_S,
    "jti": "an id",
}


def encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def sign(header: str, claims: str, secret: bytes = SECRET, digest: str = "sha256") -> str:
    """A token of any texts, signed as ours are."""
    signed = f"{encode(header.encode())}.{encode(claims.encode())}"
    return f"{signed}.{encode(hmac.digest(secret, signed.encode(), digest))}"


def token(header: dict[str, Any] | None = None, secret: bytes = SECRET, **claims: Any) -> str:
    """A good token but for what is given; None leaves a claim out."""
    merged = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return sign(json.dumps(HEADER | (header or {})), json.dumps(merged), secret)


def doubled(name: str, value: object) -> str:
    """Good claims behind a second, first claim of the same name."""
    return "{" + json.dumps({name: value})[1:-1] + "," + json.dumps(CLAIMS)[1:]


def swapped(part: int, **changed: object) -> str:
    """A good token of which one part was changed after it was signed."""
    parts = token().split(".")
    parts[part] = encode(json.dumps((HEADER if part == 0 else CLAIMS) | changed).encode())
    return ".".join(parts)


def malleable() -> str:
    """A good token whose last character is another that stands for the same bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    good = token()
    return good[:-1] + alphabet[alphabet.index(good[-1]) ^ 1]


FORGED: dict[str, Callable[[], str]] = {
    "alg none": lambda: sign('{"alg":"none","typ":"JWT"}', json.dumps(CLAIMS)).rsplit(".", 1)[0] + ".",
    "alg none, signed": lambda: token({"alg": "none"}),
    "another algorithm": lambda: sign('{"alg":"HS512","typ":"JWT"}', json.dumps(CLAIMS), digest="sha512"),
    "the algorithm of public keys": lambda: token({"alg": "RS256"}),
    "alg as a list": lambda: token({"alg": ["HS256"]}),
    "another secret": lambda: token(secret=OTHER),
    "an empty secret": lambda: token(secret=b""),
    "another issuer": lambda: token(iss="https://accounts.example.org"),
    "no issuer": lambda: token(iss=None),
    "the issuer in a list": lambda: token(iss=["voicewire"]),
    "another audience": lambda: token(aud="another"),
    "no audience": lambda: token(aud=None),
    "an audience that is no text": lambda: token(aud=["voicewire", 1]),
    "no end": lambda: token(exp=None),
    "an end in 31 years": lambda: token(exp=NOW + 31 * 365 * 24 * 3600),
    "a life of a day and a second": lambda: token(exp=NOW + LIFE_S + 1),
    "an end before the beginning": lambda: token(iat=NOW + 10, exp=NOW + 5),
    "ended": lambda: token(iat=NOW - LIFE_S - 31, exp=NOW - 31),
    "an end that is true": lambda: token(exp=True),
    "an end that is no number": lambda: token(exp="1900000000"),
    "an end that is NaN": lambda: token(exp=float("nan")),
    "an end without end": lambda: token(exp=float("inf")),
    "an end too large for a number": lambda: sign(json.dumps(HEADER), json.dumps(CLAIMS).replace(str(NOW), "1e999")),
    "an end of a thousand digits": lambda: sign(json.dumps(HEADER), json.dumps(CLAIMS).replace(str(NOW), "9" * 5000)),
    "no beginning": lambda: token(iat=None),
    "made tomorrow": lambda: token(iat=NOW + 86_400, exp=NOW + 2 * 86_400),
    "not yet good": lambda: token(nbf=NOW + LEEWAY_S + 1),
    "good from a time that is no number": lambda: token(nbf="now"),
    "no subject": lambda: token(sub=None),
    "an empty subject": lambda: token(sub=""),
    "a subject that is no text": lambda: token(sub=1),
    "a subject with a line end": lambda: token(sub="u_1\nu_2"),
    "no tenant": lambda: token(tenant=None),
    "no login": lambda: token(login=None),
    "no id": lambda: token(jti=None),
    "a key id": lambda: token({"kid": "../../../../dev/null"}),
    "an address of keys": lambda: token({"jku": "https://evil.example/keys.json"}),
    "an address of a certificate": lambda: token({"x5u": "https://evil.example/x.pem"}),
    "a key of its own": lambda: token({"jwk": {"kty": "oct", "k": encode(OTHER)}}, OTHER),
    "a critical header": lambda: token({"crit": ["exp"], "exp": NOW}),
    "unencoded": lambda: token({"b64": False, "crit": ["b64"]}),
    "compressed": lambda: token({"zip": "DEF"}),
    "another type": lambda: token({"typ": "logout+jwt"}),
    "a claim twice": lambda: sign(json.dumps(HEADER), doubled("sub", "u_2")),
    "a header twice": lambda: sign('{"alg":"none","alg":"HS256","typ":"JWT"}', json.dumps(CLAIMS)),
    "claims changed": lambda: swapped(1, role="admin"),
    "header changed": lambda: swapped(0, alg="HS384"),
    "huge": lambda: token(note="x" * 9_000),
    "deep": lambda: sign(json.dumps(HEADER), "[" * 3_000 + "]" * 3_000),
    "claims that are a list": lambda: sign(json.dumps(HEADER), "[]"),
    "claims that are no JSON": lambda: sign(json.dumps(HEADER), "voicewire"),
    "claims that are no text": lambda: token()[:-1] + "\u00e4",
    "a signature with other spare bits": malleable,
    "a signature with padding": lambda: token() + "=",
    "blanks around it": lambda: f" {token()} ",
    "a fourth part": lambda: token() + ".e30",
    "no signature": lambda: token().rsplit(".", 1)[0] + ".",
    "two parts": lambda: token().rsplit(".", 1)[0],
    "nothing": lambda: "",
    "dots": lambda: "..",
}


def tokens(now: float = NOW, secret: bytes = SECRET) -> AccessTokens:
    return AccessTokens(secret, clock=lambda: now)


def test_what_we_made_is_read() -> None:
    made = tokens().issue("u_1", "t_1", "admin", "l_1")
    access = tokens(NOW + LIFE_S - 1).read(made)
    assert access[:4] == ("u_1", "t_1", "admin", "l_1")
    assert (access.issued, access.expires) == (NOW, NOW + LIFE_S)
    assert access.id
    assert peek(made).issuer == "voicewire"
    assert tokens().issue("u_1", "t_1", "admin", "l_1") != made


def test_the_table_has_one_flaw_each() -> None:
    """What the table is made from is good."""
    assert tokens().read(token()).user == "u_1"
    assert tokens().read(sign(json.dumps(HEADER), json.dumps(CLAIMS))).user == "u_1"
    assert tokens().read(token(aud=["another", "voicewire"], nbf=NOW + LEEWAY_S)).user == "u_1"


@pytest.mark.parametrize("flaw", FORGED)
def test_a_forged_token_is_refused(flaw: str) -> None:
    forged = FORGED[flaw]()
    with pytest.raises(Unauthorized) as refusal:
        tokens().read(forged)
    assert refusal.value.__cause__ is None
    assert not forged or forged not in str(refusal.value)


def test_a_token_ends_with_its_life() -> None:
    made = tokens().issue("u_1", "t_1", "creator", "l_1")
    for late in (LEEWAY_S, LEEWAY_S + 1, LIFE_S):
        with pytest.raises(Unauthorized):
            tokens(NOW + LIFE_S + late).read(made)


@given(st.text() | st.binary().map(lambda octets: octets.decode("latin-1")), st.integers(0, 2))
def test_any_text_is_refused_in_one_way(text: str, part: int) -> None:
    parts = token().split(".")
    parts[part] = text if part == 2 else encode(text.encode("utf-8", "surrogatepass"))
    for forged in (text, ".".join(parts)):
        with pytest.raises(Unauthorized):
            tokens().read(forged)


def test_a_short_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        AccessTokens(b"x" * 31)
    with pytest.raises(ValueError, match="32 bytes"):
        open_secret(tmp_path, "x" * 31)


def test_the_secret_is_made_once_for_the_owner_only(tmp_path: Path) -> None:
    secret = open_secret(tmp_path / "new")
    assert open_secret(tmp_path / "new") == secret
    assert len(secret) >= 32
    file = tmp_path / "new" / SECRET_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert open_secret(tmp_path / "new", "given " * 8) == b"given " * 8
    file.write_text("short")
    with pytest.raises(BadSecretFile):
        open_secret(tmp_path / "new")
