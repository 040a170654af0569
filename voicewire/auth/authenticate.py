"""From what a request shows to who is asking: headers, origins, keys and tickets."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from ipaddress import IPv6Address, ip_address
from typing import Protocol
from urllib.parse import parse_qsl

from voicewire.auth.keys import KeyStore, key_id, matches, utc_now, well_formed
from voicewire.auth.principal import HOME_TENANT, Limits, Principal
from voicewire.auth.scopes import CLIENT_SCOPES
from voicewire.auth.tickets import TicketStore
from voicewire.errors import BadRequest, Forbidden, Unauthorized

SECRET_PARAMETERS = frozenset(
    {
        "token", "key", "apikey", "accesstoken", "authtoken", "authorization", "bearer",
        "xapikey", "xiapikey", "ticket", "password", "secret", "jwt", "refreshtoken", "idtoken", "clientsecret",
    }
)  # fmt: skip
"""Query parameters that carry credentials elsewhere; compared without case, `_` and `-`."""

LOCAL_ID = "local"
"""The id of the caller that `local_access` lets in; no key has it, since theirs are longer."""

QUERY_FIELDS_MAX = 100
HTTP_PORT = 80  # which browsers leave out
KEY_HEADERS = frozenset({"x-api-key", "xi-api-key"})
KEY_SCHEMES = frozenset({"bearer", "token"})
PROXY_HEADERS = ("forwarded", "via", "x-real-ip")
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


LimitsOf = Callable[[str], Awaitable[Limits]]
"""Tells what a tenant may hold at once and ask for."""


def same_limits(limits: Limits) -> LimitsOf:
    """Return what gives every tenant the same `limits`."""

    async def of(_: str) -> Limits:
        return limits

    return of


class People(Protocol):
    """Knows people by their tokens: JSON Web Tokens of ours or of an issuer that is trusted."""

    async def find(self, token: str, /) -> Principal:
        """Return the person that `token` was given to. Raises `Unauthorized`."""
        ...

    async def confirm(self, principal: Principal, /) -> None:
        """Raise `Unauthorized` when the person was suspended, or logged out, since."""
        ...


class Authenticator:
    """Checks credentials against one key store, one ticket store, and what knows people where there is one."""

    def __init__(
        self,
        keys: KeyStore,
        pepper: bytes,
        tickets: TicketStore,
        limits: LimitsOf,
        people: People | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._keys = keys
        self._pepper = pepper
        self._tickets = tickets
        self._limits = limits
        self._people = people
        self._now = now

    async def authenticate(self, credential: str | None) -> Principal:
        """Return the caller that `credential`, an API key or a person's token, stands for.

        Raises `Unauthorized`, and `Busy` when it cannot be known now.
        """
        if credential and self._people and looks_like_token(credential):
            return await self._people.find(credential)
        key = credential if credential and well_formed(credential) else ""
        record = await self._keys.find(key_id(key))
        if not matches(self._pepper, key, record, self._now()) or record is None:
            raise Unauthorized
        self._keys.used(record.id)
        return record.principal(await self._limits(record.tenant))

    async def redeem(self, ticket: str, origin: str | None) -> Principal:
        """Spend a ticket and return its caller. Raises `Unauthorized`, also when its key was revoked since."""
        return await self.confirm(await self._tickets.redeem(ticket, origin))

    async def confirm(self, principal: Principal) -> Principal:
        """Return `principal` as it is by now, for connections that live long: limits and scopes may be less.

        Raises `Unauthorized` when what it showed is not good any more, and `Busy` when it cannot be known now.
        """
        if principal.id == LOCAL_ID:
            return principal
        if principal.key:
            return await self._confirm_key(principal)
        if principal.kind == "local":  # a call: what let it in was good once
            return replace(principal, limits=await self._limits(principal.tenant))
        if self._people is None or (principal.expires or math.inf) <= self._now().timestamp():
            raise Unauthorized
        await self._people.confirm(principal)
        return replace(principal, limits=await self._limits(principal.tenant))

    async def _confirm_key(self, principal: Principal) -> Principal:
        record = await self._keys.find(principal.key)
        if record is None or record.ended(self._now()):
            raise Unauthorized
        fresh = record.principal(await self._limits(record.tenant))
        return replace(fresh, kind=principal.kind, scopes=principal.scopes & fresh.scopes)


def looks_like_token(credential: str) -> bool:
    """Whether `credential` has the form of a JSON Web Token in compact serialization: RFC 7515, section 3.1."""
    return credential.count(".") == 2 and not credential.startswith("vw_")


def credential_from_headers(headers: Mapping[str, str]) -> str | None:
    """Return the credential of `Authorization: Bearer` or `Token`, `X-API-Key` or `xi-api-key`; None where none stands.

    Raises `BadRequest` when they disagree, `Unauthorized` for a Bearer header without a token.
    """
    found = {value.strip() for name, value in headers.items() if name.lower() in KEY_HEADERS}
    for name, value in headers.items():
        if name.lower() == "authorization":
            scheme, _, token = value.strip().partition(" ")
            if scheme.lower() in KEY_SCHEMES:
                found.add(token.strip())
    if len(found) > 1:
        raise BadRequest(problem="it carries more than one credential")
    if "" in found:
        raise Unauthorized
    return found.pop() if found else None


def refuse_query_secrets(query: str) -> None:
    """Raise `BadRequest` when a query string has a credential in it: addresses end in logs and histories."""
    try:
        names = [name for name, _ in parse_qsl(query, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)]
    except ValueError:
        raise BadRequest(problem="the query is too long") from None
    if any(_plain(name) in SECRET_PARAMETERS for name in names):
        raise BadRequest(problem="a credential belongs in a header, not in the address")


def _plain(name: str) -> str:
    return name.strip().casefold().replace("_", "").replace("-", "")


def check_origin(origin: str | None, allowed: Collection[str]) -> None:
    """Raise `Forbidden` unless `origin` is absent or exactly, to the letter, one of `allowed`.

    Browsers send scheme, host and port in one normal form, so anything that needs interpreting is not from one.
    """
    if origin is not None and (origin == "null" or origin not in allowed):
        raise Forbidden(problem="the origin of this page is not allowed")


def local_principal(limits: Limits | None = None) -> Principal:
    """Return the person who sits at the machine on which the server runs."""
    return Principal(LOCAL_ID, HOME_TENANT, CLIENT_SCOPES, "local", "this machine", limits or Limits())


def local_access(listening: Collection[str], port: int, peer: str, headers: Mapping[str, str]) -> bool:
    """Whether a request without a credential comes from a browser on a page of this very server and machine.

    `listening` are the addresses that the server is bound to, `peer` is the other end's address. All of it must hold:
    nobody else can reach the server, nothing stands between, and `Origin` and `Host` are one loopback name with
    the server's port, which neither a foreign page nor a name rebound to 127.0.0.1 can show.
    """
    fields = [(name.lower(), value) for name, value in headers.items()]
    if not listening or not all(_is_loopback(address) for address in (*listening, peer)):
        return False
    if any(name in PROXY_HEADERS or name.startswith("x-forwarded-") for name, _ in fields):
        return False
    hosts = [value for name, value in fields if name == "host"]
    origins = [value for name, value in fields if name == "origin"]
    return len(hosts) == 1 and hosts[0] in _own_names(port) and origins == [f"http://{hosts[0]}"]


def _own_names(port: int) -> set[str]:
    names = {f"{name}:{port}" for name in LOOPBACK_NAMES}
    return names | LOOPBACK_NAMES if port == HTTP_PORT else names


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback
