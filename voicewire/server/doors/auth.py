"""How people come in over HTTP: sign up, prove an address, log in, stay, leave, and set new passwords.

Every request of a stranger is counted by where it comes from, and what could be guessed by whose it is, too. Answers
are the same whether an address is known.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from voicewire.accounts.emails import EMAIL_CHARS_MAX, normal_email
from voicewire.accounts.entrance import Entered, Entrance
from voicewire.accounts.identities import Visitor
from voicewire.accounts.links import token_hash
from voicewire.accounts.users import NAME_CHARS_MAX, User
from voicewire.auth.passwords import PASSWORD_CHARS
from voicewire.auth.principal import Principal
from voicewire.errors import OverQuota, Unauthorized
from voicewire.server.callers import Callers
from voicewire.server.doors.description import OPEN, declared
from voicewire.server.doors.texts import Body, whole_text
from voicewire.storage.rates import Rates

FOLDER = "/v1/auth"
LOGINS_MINUTE = 10  # from one address, and as one person
SIGN_UPS_MINUTE = 5
LINKS_MINUTE = 20
REFRESHES_MINUTE = 60
MAILS_BURST = 3  # to one person; then one a minute, and the rest is not said to be dropped
TOKEN_CHARS_MAX = 256


def one_line(text: str) -> str:
    """Return `text` without blanks around it. Raises `ValueError` for what cannot stand in a line."""
    stripped = text.strip()
    if not stripped.isprintable():
        raise ValueError("it has characters that cannot be shown")
    return stripped


Email = Annotated[str, Field(max_length=EMAIL_CHARS_MAX), AfterValidator(normal_email)]
NewPassword = Annotated[
    str, Field(min_length=PASSWORD_CHARS[0], max_length=PASSWORD_CHARS[1], repr=False), AfterValidator(whole_text)
]
Password = Annotated[str, Field(max_length=PASSWORD_CHARS[1], repr=False), AfterValidator(whole_text)]
Token = Annotated[str, Field(min_length=1, max_length=TOKEN_CHARS_MAX, repr=False), AfterValidator(whole_text)]
Name = Annotated[str, Field(max_length=NAME_CHARS_MAX), AfterValidator(one_line)]
TenantId = Annotated[str, Field(max_length=64, description="empty: the person's first, or the one of before")]


class SignUp(Body):
    """Who wants an account."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "ada@example.org", "password": "a riddle of eels", "name": "Ada"}]}
    )
    email: Email
    password: NewPassword
    name: Name = ""


class LogIn(Body):
    """Who wants in, and to which of their tenants."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "ada@example.org", "password": "a riddle of eels"}]}
    )
    email: Annotated[str, Field(max_length=EMAIL_CHARS_MAX), AfterValidator(whole_text)]
    password: Password
    tenant: TenantId = ""


class Confirm(Body):
    """What stood behind the `#` of a mailed link, and the password that was chosen at sign-up."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"token": "xP6ZxkVbV0m3Wm0e7oYgLwqk3Kz0F2cJm8yq2C1vHfE", "password": "a riddle of eels"}]
        }
    )
    token: Token
    password: Password


class Refresh(Body):
    """A refresh token, good once; `tenant` changes to another tenant of the person."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"refresh_token": "vwr_0123456789abcdef_…"}]})
    refresh_token: Token
    tenant: TenantId = ""


class Forgot(Body):
    """Whose password is forgotten."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "ada@example.org"}]})
    email: Email


class Reset(Body):
    """A new password, by a mailed link."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"token": "xP6ZxkVbV0m3Wm0e7oYgLwqk3Kz0F2cJm8yq2C1vHfE", "password": "a parliament of owls"}]
        }
    )
    token: Token
    password: NewPassword


class Change(Body):
    """A new password, by the old one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"old": "a riddle of eels", "new": "a parliament of owls"}]}
    )
    old: Password
    new: NewPassword


class Accepted(BaseModel):
    """Nothing more is said: what comes of it is in the mail."""


class Person(BaseModel):
    """A person, as they see themselves. `role` is creator or admin."""

    id: str
    email: str
    name: str
    role: str
    tenant: str

    @classmethod
    def of(cls, user: User, tenant: str) -> Person:
        return cls(id=user.id, email=user.email, name=user.name, role=user.role, tenant=tenant)


class Login(BaseModel):
    """A login: an access token for requests, and a refresh token that is good once, for the next ones."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of a scheme
    expires_s: int
    refresh_token: str
    user: Person

    @classmethod
    def of(cls, entered: Entered) -> Login:
        return cls(
            access_token=entered.access_token,
            expires_s=entered.expires_s,
            refresh_token=entered.refresh_token,
            user=Person.of(entered.user, entered.tenant),
        )


class Who(BaseModel):
    """Whom a credential stands for."""

    kind: Literal["key", "user", "ticket", "local"]
    tenant: str
    user: str | None = None
    key: str | None = None
    scopes: list[str]
    expires: datetime | None = None

    @classmethod
    def of(cls, principal: Principal) -> Who:
        return cls(
            kind=principal.kind,
            tenant=principal.tenant,
            user=principal.user or None,
            key=principal.key or None,
            scopes=sorted(principal.scopes),
            expires=None if principal.expires is None else datetime.fromtimestamp(principal.expires, UTC),
        )


class Counts(Protocol):
    """Counts requests of strangers by where they come from."""

    async def stranger(self, request: Request, what: str, per_minute: int) -> None:
        """Raises `OverQuota`."""
        ...


@dataclass(frozen=True, slots=True)
class AuthDoor:
    """The routes under `/v1/auth`, but those of issuers."""

    entrance: Entrance
    callers: Callers
    counts: Counts
    rates: Rates

    def router(self) -> APIRouter:
        router = APIRouter(prefix=FOLDER, tags=["people"])
        add = router.add_api_route
        stranger: dict[str, Any] = {"methods": ["POST"], "openapi_extra": OPEN}
        may_not, wrong, gone = declared("forbidden"), declared("unauthorized"), declared("link_gone")
        login: dict[str, Any] = {"response_model": Login}
        add("/register", self.register, **stranger, status_code=202, response_model=Accepted, responses=may_not)
        add("/verify", self.verify, **stranger, **login, responses=may_not | wrong | gone)
        add("/login", self.log_in, **stranger, **login, responses=may_not | wrong | declared("not_found"))
        add("/refresh", self.refresh, **stranger, **login, responses=may_not | wrong | declared("not_found"))
        add("/logout", self.log_out, methods=["POST"], status_code=204)
        add("/password/forgot", self.forgot, **stranger, status_code=202, response_model=Accepted, responses=may_not)
        add("/password/reset", self.reset, **stranger, status_code=204, responses=may_not | gone)
        add("/password/change", self.change, methods=["POST"], status_code=204)
        add("/verify", self.who, methods=["GET"], response_model=Who)
        return router

    async def register(self, request: Request, body: SignUp) -> Accepted:
        """Ask for an account: a link is mailed to the address, which makes it."""
        await self._stranger(request, "register", SIGN_UPS_MINUTE)
        if await self._may_be_mailed(body.email):
            await self.entrance.register(body.email, body.password, body.name)
        return Accepted()

    async def verify(self, request: Request, body: Confirm) -> Login:
        """Make the account that a mailed link is for, and log in, with the password that was chosen at sign-up."""
        await self._stranger(request, "link", LINKS_MINUTE)
        await self._count(f"link-of:{token_hash(body.token)}", LOGINS_MINUTE)
        return Login.of(await self.entrance.verify(body.token, body.password))

    async def log_in(self, request: Request, body: LogIn) -> Login:
        """Log in with a password."""
        await self._stranger(request, "login", LOGINS_MINUTE)
        await self._count(f"login-as:{_hidden(body.email)}", LOGINS_MINUTE)
        return Login.of(await self.entrance.log_in(body.email, body.password, body.tenant))

    async def refresh(self, request: Request, body: Refresh) -> Login:
        """Exchange a refresh token for new tokens. One that comes again after 20 s ends the login."""
        await self._stranger(request, "refresh", REFRESHES_MINUTE)
        return Login.of(await self.entrance.refresh(body.refresh_token, body.tenant))

    async def log_out(self, request: Request) -> None:
        """End the login whose access token is shown."""
        await self.entrance.log_out(await self._person(request))

    async def forgot(self, request: Request, body: Forgot) -> Accepted:
        """Ask for a link that sets a new password."""
        await self._stranger(request, "forgot", SIGN_UPS_MINUTE)
        if await self._may_be_mailed(body.email):
            await self.entrance.forgot(body.email)
        return Accepted()

    async def reset(self, request: Request, body: Reset) -> None:
        """Set a new password by a mailed link; whoever is logged in is not any more."""
        await self._stranger(request, "link", LINKS_MINUTE)
        await self.entrance.reset(body.token, body.password)

    async def change(self, request: Request, body: Change) -> None:
        """Set a new password by the old one; other logins end."""
        person = await self._person(request)
        await self._count(f"change:{person.user}", LOGINS_MINUTE)
        await self.entrance.change(person, body.old, body.new)

    async def who(self, request: Request) -> Who:
        """Say whom the credential stands for, and what it may do."""
        self.callers.check(request)
        return Who.of(await self.callers.identify(request))

    async def arrive(self, issuer: str, subject: str, email: str, email_verified: bool, name: str) -> Login:
        """Log in whom an issuer names."""
        return Login.of(await self.entrance.arrive(Visitor(issuer, subject, email, email_verified, name)))

    async def _person(self, request: Request) -> Principal:
        self.callers.check(request)
        principal = await self.callers.identify(request)
        if not principal.user or principal.kind != "user":
            raise Unauthorized
        return principal

    async def _stranger(self, request: Request, what: str, per_minute: int) -> None:
        self.callers.check(request)
        await self.counts.stranger(request, what, per_minute)

    async def _count(self, name: str, per_minute: int) -> None:
        taken = await self.rates.take(name, per_minute)
        if not taken.allowed:
            raise OverQuota(retry_after_ms=taken.retry_after_ms)

    async def _may_be_mailed(self, email: str) -> bool:
        return (await self.rates.take(f"mail:{_hidden(email)}", 1, MAILS_BURST)).allowed


def _hidden(email: str) -> str:
    """A name for an address in Redis, where it is nobody's business."""
    try:
        email = normal_email(email)
    except ValueError:
        email = email.strip().lower()
    return hashlib.sha256(email.encode("utf-8", "surrogatepass")).hexdigest()[:32]
