"""JSON Web Tokens: our own for people who logged in, and the checks that any token must pass, whoever issued it.

RFC 7519 and 8725. PyJWT checks the signature and nothing else: left to itself it takes tokens without an
end, with an end in 31 years, of 200 kB. What must hold stands in `Demands`; whatever does not is `Unauthorized`,
and no more is said.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

from voicewire.auth.secret_files import kept_secret
from voicewire.errors import Unauthorized

if TYPE_CHECKING:
    from voicewire.auth.signatures import Key

Claims = Mapping[str, Any]

TOKEN_CHARS_MAX = 8 * 1024
LIFE_S = 24 * 3_600
LEEWAY_S = 30
ISSUER_ALGORITHMS = ("RS256", "ES256")
OWN_ISSUER = "voicewire"
OWN_HEADER = {"alg": "HS256", "typ": "JWT"}
SECRET_FILE = "jwt-secret"  # noqa: S105 - the name of a file
SECRET_BYTES_MIN = 32
SUBJECT_CHARS_MAX = 255  # OpenID Connect Core 1.0, section 2

# They name a key, or change what was signed; the keys come from the configured issuer and from nowhere else.
HEADERS_REFUSED = frozenset({"b64", "crit", "enc", "jku", "jwk", "x5u", "zip"})
TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})  # a logout token, say, is no credential
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Demands:
    """What a token must show: `issuer` exactly, one of `audiences`, one of `algorithms`, and a short life."""

    issuer: str
    audiences: frozenset[str]
    algorithms: tuple[str, ...] = ISSUER_ALGORITHMS
    leeway_s: float = LEEWAY_S
    life_s_max: float = LIFE_S


class Peek(NamedTuple):
    """What a token says of itself before anything was checked: good as keys of a dictionary, for nothing else."""

    issuer: str
    kid: str  # "" where it names no key


class Access(NamedTuple):
    """What one of our own tokens says. Times are seconds since 1970."""

    user: str
    tenant: str
    role: str  # the person's on this server: creator or admin
    login: str
    issued: float
    expires: float
    id: str


def peek(token: str) -> Peek:
    """Return the issuer and key id that `token` claims. Raises `Unauthorized` when it is no token."""
    header, claims = _opened(token)
    issuer, kid = claims.get("iss"), header.get("kid", "")
    if not isinstance(issuer, str) or not isinstance(kid, str):
        raise Unauthorized
    return Peek(issuer, kid)


def read_key(jwk: Mapping[str, Any], algorithms: Collection[str] = ISSUER_ALGORITHMS) -> Key | None:
    """Return the key in a row of a JSON Web Key Set (RFC 7517); None where it is of another kind, use or algorithm."""
    if jwk.get("kty") not in {"RSA", "EC"} or jwk.get("use", "sig") != "sig":
        return None
    from voicewire.auth import signatures  # only who has an issuer comes here

    key = signatures.read_key(jwk)
    return key if key and key.algorithm_name in algorithms else None


def decode(token: str, key: Key, demands: Demands, now_s: float) -> Claims:
    """Return the claims of `token` when it was signed with `key` and meets `demands`. Raises `Unauthorized`."""
    _opened(token)
    return _checked(token, key, demands, now_s)


class AccessTokens:
    """Makes and reads our own tokens. `secret` has at least 32 bytes; every gateway of an installation has the same."""

    def __init__(
        self,
        secret: bytes,
        clock: Callable[[], float] = time.time,
        life_s: int = LIFE_S,
        random_id: Callable[[], str] = secrets.token_urlsafe,
    ) -> None:
        if len(secret) < SECRET_BYTES_MIN:
            raise ValueError(f"the secret needs at least {SECRET_BYTES_MIN} bytes")
        self._secret = secret
        self._clock = clock
        self._random_id = random_id
        self._demands = Demands(OWN_ISSUER, frozenset({OWN_ISSUER}), (OWN_HEADER["alg"],), life_s_max=life_s)
        self.life_s = life_s

    def issue(self, user: str, tenant: str, role: str, login: str) -> str:
        """Return a new token for one login of a person."""
        now = int(self._clock())
        claims = {
            "iss": OWN_ISSUER,
            "aud": OWN_ISSUER,
            "sub": user,
            "tenant": tenant,
            "role": role,
            "login": login,
            "iat": now,
            "exp": now + self.life_s,
            "jti": self._random_id(),
        }
        payload = json.dumps(claims, separators=(",", ":")).encode()
        from voicewire.auth.signatures import sign  # servers without people do without

        return sign(payload, self._key)

    @cached_property
    def _key(self) -> Key:
        from voicewire.auth.signatures import read_key

        octets = base64.urlsafe_b64encode(self._secret).decode().rstrip("=")
        key = read_key({"kty": "oct", "k": octets, "alg": OWN_HEADER["alg"]})
        assert key
        return key

    def read(self, token: str) -> Access:
        """Return what `token` says. Raises `Unauthorized` unless we made it and it is good now."""
        header, _ = _opened(token)
        if header != OWN_HEADER:
            raise Unauthorized
        claims = _checked(token, self._key, self._demands, self._clock())
        texts = [claims.get(name) for name in ("sub", "tenant", "role", "login", "jti")]
        if not all(isinstance(text, str) and text for text in texts):
            raise Unauthorized
        user, tenant, role, login, id = cast("list[str]", texts)
        return Access(user, tenant, role, login, claims["iat"], claims["exp"], id)


def open_secret(data_dir: Path, given: str = "") -> bytes:
    """Return the secret of our tokens: `given`, else the one in the data folder, made there at the first start.

    Raises `ValueError` when the given one is too short, `BadSecretFile` when the file is not good.
    """
    if not given:
        return kept_secret(data_dir, SECRET_FILE)
    if len(given.encode()) < SECRET_BYTES_MIN:
        raise ValueError(f"needs at least {SECRET_BYTES_MIN} bytes")
    return given.encode()


def _checked(token: str, key: Key, demands: Demands, now_s: float) -> Claims:
    from voicewire.auth.signatures import verify  # whoever has a key has it already

    payload = verify(token, key, demands.algorithms)
    if payload is None:
        raise Unauthorized
    claims = _object(payload)
    _check_names(claims, demands)
    _check_times(claims, demands, now_s)
    return claims


def _check_names(claims: Claims, demands: Demands) -> None:
    issuer, subject, audience = claims.get("iss"), claims.get("sub"), claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if issuer != demands.issuer or not all(isinstance(each, str) for each in audiences):
        raise Unauthorized
    if demands.audiences.isdisjoint(audiences):
        raise Unauthorized
    if not isinstance(subject, str) or not 1 <= len(subject) <= SUBJECT_CHARS_MAX or not subject.isprintable():
        raise Unauthorized


def _check_times(claims: Claims, demands: Demands, now_s: float) -> None:
    issued, expires = _time(claims.get("iat")), _time(claims.get("exp"))
    begins = _time(claims.get("nbf", issued))
    earliest, latest = now_s - demands.leeway_s, now_s + demands.leeway_s
    if issued > latest or begins > latest or expires <= earliest:
        raise Unauthorized
    if not 0 < expires - issued <= demands.life_s_max:
        raise Unauthorized


def _time(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise Unauthorized
    return value


def _opened(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, as they stand, of a token whose form is right to the letter."""
    if len(token) > TOKEN_CHARS_MAX or not _FORM.fullmatch(token):
        raise Unauthorized
    first, second, third = token.split(".")
    header, claims = _object(_octets(first)), _object(_octets(second))
    _octets(third)
    type = header.get("typ", "")
    if not isinstance(type, str) or type.lower() not in TYPES or not HEADERS_REFUSED.isdisjoint(header):
        raise Unauthorized
    return header, claims


def _octets(text: str) -> bytes:
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise Unauthorized from None
    # the last character has bits to spare: two texts must not be one token
    if base64.urlsafe_b64encode(octets).decode().rstrip("=") != text:
        raise Unauthorized
    return octets


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise Unauthorized from None
    if not isinstance(value, dict):
        raise Unauthorized
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("too large a number")
    return value
