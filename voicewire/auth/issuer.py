"""One OpenID Connect issuer: what it says of itself, its keys, whom its tokens name, and the exchange of a code.

OpenID Connect Discovery 1.0 and Core 1.0 (sections 3.1.2 to 3.1.3), with PKCE (RFC 7636). All that is believed comes
from the configured issuer's own document; a token names no address and no algorithm.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from voicewire.auth.issuer_http import IssuerHttp, Reply, allowed_address, issuer_failed
from voicewire.auth.jwks import KeySet
from voicewire.auth.tokens import ISSUER_ALGORITHMS, Claims, Demands, decode, read_key
from voicewire.errors import Busy, Unauthorized

if TYPE_CHECKING:
    from voicewire.auth.signatures import Key

LOGGER = logging.getLogger(__name__)

WELL_KNOWN = "/.well-known/openid-configuration"
SCOPE = "openid email profile"
METADATA_S = 3_600.0  # how long what an issuer says of itself is taken as so
RETRY_S = 5.0  # after it could not be asked
OK = 200
REFUSED = 400
KEYS_MAX = 32  # of one set
KID_CHARS_MAX = 256
EMAIL_CHARS_MAX = 254
NAME_CHARS_MAX = 200
LONG_AGO = float("-inf")


@dataclass(frozen=True, slots=True)
class Client:
    """How this server is known at one issuer. `audience`, where set, is whom tokens of callers are for.

    Raises `ValueError` when the issuer's address is not https, or http on this machine.
    """

    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    audience: str = ""

    def __post_init__(self) -> None:
        if not allowed_address(self.issuer, loopback=True) or "?" in self.issuer:
            raise ValueError(f"the issuer {self.issuer!r} must be an https address without a query")
        if not self.client_id:
            raise ValueError(f"the issuer {self.issuer!r} needs a client id")

    @property
    def name(self) -> str:
        """What people call the issuer."""
        host = urlsplit(self.issuer).hostname or ""
        return "Google" if host == "accounts.google.com" else host


@dataclass(frozen=True, slots=True)
class Identity:
    """A person as an issuer knows them. `expires` is a time of day in seconds."""

    issuer: str
    subject: str
    email: str
    email_verified: bool
    name: str
    expires: float


class Metadata(msgspec.Struct, frozen=True):
    """What of an issuer's document matters here."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    id_token_signing_alg_values_supported: tuple[str, ...] = ISSUER_ALGORITHMS
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Issuer:
    """Asks one issuer, as `client`. Raises `Busy`, by the code `issuer_failed`, when it is away or not usable."""

    def __init__(
        self,
        client: Client,
        http: IssuerHttp,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.client = client
        self._http = http
        self._clock = clock
        self._now = now
        self._keys = KeySet(self._fetch_keys, clock)
        self._metadata: Metadata | None = None
        self._problem: Busy | None = None
        self._asked_s = LONG_AGO
        self._asking = asyncio.Lock()

    async def person_of(self, token: str, kid: str) -> Identity:
        """Return whom `token`, which a caller showed, names. Raises `Unauthorized`."""
        audience = self.client.audience or self.client.client_id
        claims = await self._claims(token, kid, audience)
        _check_bearer(claims, self.client)
        return _identity(claims)

    async def person_who_came(self, token: str, kid: str, nonce: str) -> Identity:
        """Return whom the ID token names that came from the issuer for the login of `nonce`. Raises `Unauthorized`."""
        claims = await self._claims(token, kid, self.client.client_id, from_issuer=True)
        _check_id_token(claims, self.client.client_id, nonce)
        return _identity(claims)

    async def address(self, redirect_uri: str, state: str, nonce: str, challenge: str) -> str:
        """Return where a browser is sent to log in."""
        metadata = await self._about()
        query = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": redirect_uri,
            "scope": SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in metadata.authorization_endpoint else "?"
        return metadata.authorization_endpoint + joint + urlencode(query)

    async def exchange(self, code: str, redirect_uri: str, verifier: str) -> str:
        """Return the ID token for `code`. Raises `Unauthorized` when the issuer does not take the code."""
        metadata = await self._about()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        basic = self._sign(form, metadata.token_endpoint_auth_methods_supported)
        return self._id_token(await self._http.post(metadata.token_endpoint, form, basic))

    async def check_sender(self, named: str | None) -> None:
        """Raise `Unauthorized` when a login's answer names another issuer, or none though this one does: RFC 9207."""
        metadata = await self._about()
        if named is None and not metadata.authorization_response_iss_parameter_supported:
            return
        if named != self.client.issuer:
            raise Unauthorized

    async def aclose(self) -> None:
        """End what is under way."""
        await self._keys.aclose()

    async def _claims(self, token: str, kid: str, audience: str, *, from_issuer: bool = False) -> Claims:
        key = await self._keys.find(kid, from_issuer=from_issuer)
        if key is None:
            raise Unauthorized
        return decode(token, key, Demands(self.client.issuer, frozenset({audience})), self._now())

    def _sign(self, form: dict[str, str], methods: tuple[str, ...]) -> tuple[str, str] | None:
        """Name the client in `form`, or return what stands for it in the header: RFC 6749, section 2.3.1."""
        client = self.client
        if client.client_secret and "client_secret_basic" in methods:
            return quote(client.client_id, safe=""), quote(client.client_secret, safe="")
        form["client_id"] = client.client_id
        if client.client_secret:
            form["client_secret"] = client.client_secret
        return None

    def _id_token(self, reply: Reply) -> str:
        token = reply.body.get("id_token")
        if reply.status == OK and isinstance(token, str):
            return token
        reason = reply.body.get("error")
        if reply.status == REFUSED and reason == "invalid_grant":
            raise Unauthorized
        LOGGER.error("the issuer %s gives no ID token: HTTP %d, %r", self.client.issuer, reply.status, reason)
        raise issuer_failed("it does not accept this server; its log says why")

    async def _fetch_keys(self) -> Mapping[str, Key]:
        metadata = await self._about()
        reply = await self._http.get(metadata.jwks_uri)
        keys = _keys(reply.body, metadata.id_token_signing_alg_values_supported)
        if reply.status != OK or not keys:
            raise issuer_failed("it publishes no key for RS256 or ES256")
        return keys

    async def _about(self) -> Metadata:
        async with self._asking:
            if self._clock() - self._asked_s >= (RETRY_S if self._problem else METADATA_S):
                await self._ask()
        if self._metadata:  # also while the issuer is away: what it said last is the best there is
            return self._metadata
        assert self._problem
        raise self._problem

    async def _ask(self) -> None:
        try:
            self._metadata, self._problem = await self._discover(), None
        except Busy as error:
            LOGGER.warning("the issuer %s is not usable: %s", self.client.issuer, error)
            self._problem = error
        self._asked_s = self._clock()

    async def _discover(self) -> Metadata:
        reply = await self._http.get(self.client.issuer.rstrip("/") + WELL_KNOWN)
        if reply.status != OK:
            raise issuer_failed(f"its document is not there: HTTP {reply.status}")
        return _metadata(reply.body, self.client.issuer)


def _metadata(document: Mapping[str, Any], issuer: str) -> Metadata:
    try:
        metadata = msgspec.convert(document, Metadata)
    except msgspec.ValidationError as error:
        raise issuer_failed(f"its document is not valid: {error}") from error
    if metadata.issuer != issuer:
        raise issuer_failed("its document is another issuer's; the setting must be the same to the letter")
    algorithms = tuple(set(metadata.id_token_signing_alg_values_supported) & set(ISSUER_ALGORITHMS))
    if not algorithms:
        raise issuer_failed("it signs with neither RS256 nor ES256; give it a signing key")
    loopback = issuer.startswith("http:")
    addresses = (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri)
    if not all(allowed_address(each, loopback=loopback) for each in addresses):
        raise issuer_failed("its document has an address that is not https")
    return msgspec.structs.replace(metadata, id_token_signing_alg_values_supported=algorithms)


def _keys(document: Mapping[str, Any], algorithms: tuple[str, ...]) -> dict[str, Key]:
    """The keys of a set by id; those of other kinds and uses, and what is no key, are left out."""
    rows = document.get("keys")
    found: dict[str, Key] = {}
    for row in rows[:KEYS_MAX] if isinstance(rows, list) else []:
        kid = row.get("kid", "") if isinstance(row, dict) else None
        key = read_key(row, algorithms) if isinstance(kid, str) and len(kid) <= KID_CHARS_MAX else None
        if key:
            found[str(kid)] = key
    return found


def _check_bearer(claims: Claims, client: Client) -> None:
    # Keycloak's kinds, where ID and refresh tokens differ by this alone
    if claims.get("typ", "Bearer") != "Bearer" or "nonce" in claims:  # a nonce: the ID token of some browser's login
        raise Unauthorized
    if not client.audience and claims.get("azp", client.client_id) != client.client_id:
        raise Unauthorized


def _check_id_token(claims: Claims, client_id: str, nonce: str) -> None:
    shown, party = claims.get("nonce"), claims.get("azp")
    if not isinstance(shown, str) or not hmac.compare_digest(shown.encode(), nonce.encode()):
        raise Unauthorized
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if party != client_id and (several or party is not None):
        raise Unauthorized


def _identity(claims: Claims) -> Identity:
    email, checked = _text(claims, "email", EMAIL_CHARS_MAX), claims.get("email_verified")
    verified = bool(email) and (checked is True or checked == "true")  # some issuers write the truth value as text
    name = _text(claims, "name", NAME_CHARS_MAX) or _text(claims, "preferred_username", NAME_CHARS_MAX)
    return Identity(claims["iss"], claims["sub"], email, verified, name, claims["exp"])


def _text(claims: Claims, name: str, chars_max: int) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) and len(value) <= chars_max and value.isprintable() else ""
