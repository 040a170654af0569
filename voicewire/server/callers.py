"""Who calls over HTTP: a key, or a person at this very machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request

from voicewire.auth.authenticate import (
    Authenticator,
    check_origin,
    credential_from_headers,
    local_access,
    local_principal,
    refuse_query_secrets,
)
from voicewire.auth.principal import HOME_TENANT, Principal
from voicewire.server.limits import Limiter
from voicewire.server.logs import bind

SAFE_METHODS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Callers:
    """`listening` are the addresses the server is bound to; empty where it trusts nobody without a key."""

    authenticator: Authenticator
    origins: frozenset[str]
    listening: frozenset[str]
    port: int
    limiter: Limiter

    async def require(self, request: Request, scope: str) -> Principal:
        """Return the caller if it has `scope`. Raises `Unauthorized`, `Forbidden` or `BadRequest`."""
        self.check(request)
        principal = await self.identify(request)
        principal.require(scope)
        return principal

    def check(self, request: Request) -> None:
        """Raise `BadRequest` for a secret in the address, `Forbidden` for a page that is not to ask."""
        refuse_query_secrets(request.url.query)
        check_origin(request.headers.get("origin"), self.origins)

    async def identify(self, request: Request) -> Principal:
        """Return the caller, found and counted once for each request. Raises `Unauthorized` or `OverQuota`."""
        found: Principal | None = getattr(request.state, "principal", None)
        if found is None:
            found = request.state.principal = await self._principal(request)
            bind(tenant=found.tenant)
            self.limiter.general(found)
        return found

    async def _principal(self, request: Request) -> Principal:
        credential = credential_from_headers(request.headers)
        if credential is None and self._local(request):
            return local_principal(await self.limiter.limits_of(HOME_TENANT))
        return await self.authenticator.authenticate(credential)

    def _local(self, request: Request) -> bool:
        if not self.listening or request.client is None:
            return False
        headers: Mapping[str, str] = request.headers
        if request.method in SAFE_METHODS and "origin" not in headers:
            # browsers leave Origin out of a same-origin GET, and keep its answer from any other page
            headers = {**headers, "origin": f"http://{headers.get('host', '')}"}
        return local_access(self.listening, self.port, request.client.host, headers)
