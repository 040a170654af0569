"""Logging in through an OpenID Connect issuer, with a browser: there, back, and who that was.

No token is ever in an address: the browser comes back to the page with a name behind the `#`, which reaches no server
and no log, and the page shows it once, together with the browser's cookie, for the tokens.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from voicewire.auth.authenticate import check_origin
from voicewire.auth.oidc import LOGIN_S, OidcLogins
from voicewire.errors import BadRequest, Busy, OverQuota, Unauthorized, VoicewireError
from voicewire.server.doors.description import declared
from voicewire.server.strangers import group_of
from voicewire.storage.rates import Rates

LOGGER = logging.getLogger(__name__)

FOLDER = "/v1/auth/oidc"
COOKIE = "vw_oidc"
PAGE = "/account/"
FOUND = 302
LOGINS_A_MINUTE = 30  # begun or answered, and as many exchanged, from one address
NEVER_STORED = {"Cache-Control": "no-store"}


class IssuerInfo(BaseModel):
    """An issuer that people may log in through."""

    issuer: str
    name: str


class Exchange(BaseModel):
    """What stood behind the `#` when the browser came back."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"code": "mZ2cA0m0dQm1jwX7cQkXy4i0zV4sV7xw3oN2b8m2m5E"}}
    )
    code: str = Field(min_length=1, max_length=128)


class Arrive(Protocol):
    """Makes or finds the person whom an issuer names, and logs them in."""

    async def __call__(self, issuer: str, subject: str, email: str, email_verified: bool, name: str) -> BaseModel:
        """Return the login. Raises `Forbidden` for who may not."""
        ...


@dataclass(frozen=True, slots=True)
class OidcDoor:
    """The routes. `origins` are those of the server's own pages; `public_url` is empty without a proxy."""

    logins: OidcLogins
    arrive: Arrive
    rates: Rates
    origins: frozenset[str]
    public_url: str

    def router(self, login: type[BaseModel]) -> APIRouter:
        """Return the routes; `login` is what an exchange answers with."""
        router = APIRouter(tags=["people"])
        add = router.add_api_route
        add(FOLDER, self.issuers, methods=["GET"], response_model=list[IssuerInfo])
        away: dict[str, Any] = {"methods": ["GET"], "status_code": FOUND, "response_class": RedirectResponse}
        add(f"{FOLDER}/login", self.login, **away, responses=declared("not_found"))
        add(f"{FOLDER}/callback", self.callback, **away)
        add(f"{FOLDER}/exchange", self.exchange, methods=["POST"], response_model=login)
        return router

    async def issuers(self) -> list[IssuerInfo]:
        """List the issuers that people may log in through."""
        return [IssuerInfo(issuer=client.issuer, name=client.name) for client in self.logins.issuers]

    async def login(self, request: Request, issuer: str) -> Response:
        """Send the browser to an issuer; back to the page, while that is down."""
        await self._slow_down(request)
        redirect_uri = f"{self._base(request)}{FOLDER}/callback"
        try:
            begun = await self.logins.begin(issuer, redirect_uri, request.cookies.get(COOKIE, ""))
        except Busy as problem:
            return _sorry(problem)
        answer = RedirectResponse(begun.address, FOUND, NEVER_STORED)
        secure = redirect_uri.startswith("https:")
        # Lax: the cookie must come along when the issuer sends the browser back
        answer.set_cookie(COOKIE, begun.browser, LOGIN_S, path=FOLDER, secure=secure, httponly=True, samesite="lax")
        return answer

    async def callback(
        self, request: Request, state: str = "", code: str = "", iss: str | None = None, error: str = ""
    ) -> Response:
        """Take an issuer's answer, and send the browser back to the page with what it shows once."""
        try:
            await self._slow_down(request)
            if error:
                LOGGER.info("an issuer let nobody in: %r", error[:64])
                raise Unauthorized
            arrival = await self.logins.finish(state, code, request.cookies.get(COOKIE, ""), iss)
        except VoicewireError as problem:
            return _sorry(problem)
        return RedirectResponse(f"{PAGE}#oidc={arrival}", FOUND, NEVER_STORED)

    async def exchange(self, request: Request, response: Response, body: Exchange) -> BaseModel:
        """Return the tokens of who came back, once, to the browser that began."""
        check_origin(request.headers.get("origin"), self.origins)
        await self._slow_down(request, "oidc-exchange")
        who = await self.logins.redeem(body.code, request.cookies.get(COOKIE, ""))
        response.headers.update(NEVER_STORED)
        return await self.arrive(who.issuer, who.subject, who.email, who.email_verified, who.name)

    async def _slow_down(self, request: Request, what: str = "oidc") -> None:
        address = group_of(request.client.host) if request.client else ""
        taken = await self.rates.take(f"{what}:{address}", LOGINS_A_MINUTE)
        if not taken.allowed:
            raise OverQuota(retry_after_ms=taken.retry_after_ms)

    def _base(self, request: Request) -> str:
        """Where the browser sees this server: it must come back to where its cookie is."""
        if self.public_url:
            return self.public_url.rstrip("/")
        shown = f"http://{request.headers.get('host', '')}"
        if shown not in self.origins:
            raise BadRequest(problem="the host is not one of this server's")
        return shown


def _sorry(problem: VoicewireError) -> RedirectResponse:
    # a person reads the answer: the page says it better than JSON
    return RedirectResponse(f"{PAGE}#oidc_error={problem.row_code}", FOUND, NEVER_STORED)
