"""People of OpenID Connect issuers: those whose tokens are shown, and those who log in with a browser.

A browser's login is authorization code with PKCE, state and nonce. What it needs between its steps is in Redis,
once, for ten minutes, under a name that only the browser's cookie and the state together make: one alone is
worth nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import msgspec
from redis.asyncio import Redis

from voicewire.auth.issuer import Client, Identity, Issuer
from voicewire.auth.issuer_http import IssuerHttp
from voicewire.auth.tokens import peek
from voicewire.errors import BadRequest, Unauthorized
from voicewire.types import KEY_PREFIX

T = TypeVar("T")

LOGIN_KEY = "oidc-login:{hash}"
"""Redis, string with expiry: a browser's login that waits for the issuer's answer."""

ARRIVAL_KEY = "oidc-arrival:{hash}"
"""Redis, string with expiry: who came back, until the page asks."""

LOGIN_S = 600
ARRIVAL_S = 60
SECRET_BYTES = 32
CODE_CHARS_MAX = 4_096
_SECRET_FORM = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


class Begun(NamedTuple):
    """A login that began: where the browser goes, and the secret that it keeps in a cookie meanwhile."""

    address: str
    browser: str


class _Login(msgspec.Struct, frozen=True):
    issuer: str
    redirect_uri: str
    nonce: str
    verifier: str


class Issuers:
    """The issuers that are trusted. Raises `ValueError` when two are the same."""

    def __init__(
        self,
        clients: Sequence[Client],
        http: IssuerHttp,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._http = http
        self._issuers = {client.issuer: Issuer(client, http, clock, now) for client in clients}
        if len(self._issuers) != len(clients):
            raise ValueError("an issuer stands twice")

    def __iter__(self) -> Iterator[Client]:
        return (issuer.client for issuer in self._issuers.values())

    async def find(self, token: str) -> Identity:
        """Return whom `token` names. Raises `Unauthorized`, and `Busy` while its issuer is away."""
        shown = peek(token)
        issuer = self._issuers.get(shown.issuer)
        if issuer is None:
            raise Unauthorized
        return await issuer.person_of(token, shown.kid)

    def named(self, issuer: str) -> Issuer:
        """Return one that is trusted. Raises `BadRequest`."""
        if issuer not in self._issuers:
            raise BadRequest("not_found")
        return self._issuers[issuer]

    async def aclose(self) -> None:
        """Close what is open."""
        for issuer in self._issuers.values():
            await issuer.aclose()
        await self._http.aclose()


class OidcLogins:
    """Logins of browsers, in Redis, so that any gateway takes up what any other began."""

    def __init__(
        self,
        issuers: Issuers,
        redis: Redis,
        prefix: str = KEY_PREFIX,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.issuers = issuers
        self._redis = redis
        self._prefix = prefix
        self._random_bytes = random_bytes

    async def begin(self, issuer: str, redirect_uri: str, browser: str = "") -> Begun:
        """Begin a login at `issuer`; `browser` is the secret of one that has a login open already, in another tab."""
        if not _SECRET_FORM.fullmatch(browser):
            browser = self._secret()
        state, nonce, verifier = self._secret(), self._secret(), self._secret()
        challenge = _plain64(hashlib.sha256(verifier.encode()).digest())
        address = await self.issuers.named(issuer).address(redirect_uri, state, nonce, challenge)
        login = msgspec.json.encode(_Login(issuer, redirect_uri, nonce, verifier))
        await self._redis.set(self._key(LOGIN_KEY, state, browser), login, ex=LOGIN_S)
        return Begun(address, browser)

    async def finish(self, state: str, code: str, browser: str, sender: str | None) -> str:
        """Take an issuer's answer; return what the page shows once, within a minute, to learn who came.

        `sender` is the issuer that the answer names (RFC 9207). Raises `Unauthorized`, also for an answer that came
        twice, late, or in another browser; `Busy` when the issuer is away.
        """
        login = await self._take(LOGIN_KEY, state, browser, _Login)
        issuer = self.issuers.named(login.issuer)
        await issuer.check_sender(sender)
        if not 0 < len(code) <= CODE_CHARS_MAX:
            raise Unauthorized
        token = await issuer.exchange(code, login.redirect_uri, login.verifier)
        identity = await issuer.person_who_came(token, peek(token).kid, login.nonce)
        arrival = self._secret()
        await self._redis.set(self._key(ARRIVAL_KEY, arrival, browser), msgspec.json.encode(identity), ex=ARRIVAL_S)
        return arrival

    async def redeem(self, arrival: str, browser: str) -> Identity:
        """Return who came, once. Raises `Unauthorized` as `finish`."""
        return await self._take(ARRIVAL_KEY, arrival, browser, Identity)

    async def _take(self, template: str, name: str, browser: str, type: type[T]) -> T:
        if not _SECRET_FORM.fullmatch(name) or not _SECRET_FORM.fullmatch(browser):
            raise Unauthorized
        stored = await self._redis.getdel(self._key(template, name, browser))
        if stored is None:
            raise Unauthorized
        return msgspec.json.decode(stored, type=type)

    def _key(self, template: str, name: str, browser: str) -> str:
        # hashed, so that a look into Redis does not hand out logins
        return self._prefix + template.format(hash=hashlib.sha256(f"{name}.{browser}".encode()).hexdigest())

    def _secret(self) -> str:
        return _plain64(self._random_bytes(SECRET_BYTES))


def clients(issuers: Sequence[str], client_id: str, client_secret: str = "", audience: str = "") -> list[Client]:
    """Return how this server is known at each of `issuers`.

    One value stands for all of them; several, with commas between, for one issuer each. Raises `ValueError`.
    """
    columns = [_for_each(text, len(issuers)) for text in (client_id, client_secret, audience)]
    return [Client(*row) for row in zip(issuers, *columns, strict=True)]


def _for_each(text: str, count: int) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if count > 1 and len(parts) > 1:
        if len(parts) != count:
            raise ValueError(f"{len(parts)} values stand for {count} issuers")
        return parts
    return [text] * count


def _plain64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")
