"""People as a gateway has them: who they are, how they come in, and what they are mailed."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from fastapi import APIRouter

from voicewire.accounts.directory import Directory
from voicewire.accounts.entrance import Entrance
from voicewire.accounts.identities import Granted, Identities
from voicewire.accounts.letters import Letters
from voicewire.accounts.logins import Logins
from voicewire.accounts.mail import SENDERS, Mailer, open_carrier
from voicewire.accounts.news import News
from voicewire.accounts.people import People
from voicewire.accounts.sweep import keep_sweeping
from voicewire.accounts.terms import Terms
from voicewire.auth.issuer_http import IssuerHttp
from voicewire.auth.oidc import Issuers, OidcLogins, clients
from voicewire.auth.passwords import Passwords
from voicewire.auth.principal import Limits
from voicewire.auth.tokens import AccessTokens, open_secret
from voicewire.config import Config, ConfigError, is_loopback, variable
from voicewire.server.callers import Callers
from voicewire.server.doors.auth import AuthDoor, Counts, Login
from voicewire.server.doors.me import MeDoor
from voicewire.server.doors.oidc import OidcDoor
from voicewire.server.origins import own_origins
from voicewire.server.storage import Storage
from voicewire.server.tasks import supervise
from voicewire.storage.rates import Rates
from voicewire.storage.whereabouts import find_address, leave_address


@dataclass(frozen=True, slots=True)
class Needs:
    """What people need of the other parts of accounts."""

    news: News
    rates: Rates
    counts: Counts
    terms: Terms
    limits: Callable[[str], Awaitable[Limits]]
    plan_of: Callable[[str], Awaitable[str]]
    granted: Granted


@dataclass(frozen=True, slots=True)
class PeopleParts:
    """What the application takes of it: `people` for the authenticator, `directory` for operators."""

    config: Config
    storage: Storage
    needs: Needs
    people: People
    directory: Directory
    identities: Identities
    tokens: AccessTokens
    logins: Logins
    passwords: Passwords
    mailer: Mailer
    issuers: Issuers

    def routers(self, callers: Callers) -> list[APIRouter]:
        """Return the routes."""
        needs, store = self.needs, self.storage.store
        letters = Letters(own_address(self.config, callers.port))
        door = AuthDoor(self._entrance(letters), callers, needs.counts, needs.rates)
        mine = MeDoor(
            store,
            needs.news,
            callers,
            needs.terms,
            needs.rates,
            self.mailer,
            letters,
            needs.plan_of,
            utc_now,
            self.config.admin_port,
        )
        logins = OidcLogins(self.issuers, self.storage.redis)
        origins = own_origins(self.config, callers.port)
        oidc = OidcDoor(logins, door.arrive, needs.rates, origins, self.config.public_url)
        return [door.router(), mine.router(), oidc.router(Login)]

    def _entrance(self, letters: Letters) -> Entrance:
        return Entrance(
            self.storage.store,
            self.needs.news,
            self.passwords,
            self.tokens,
            self.logins,
            self.identities,
            self.mailer,
            letters,
            self.needs.granted,
            utc_now,
            may_sign_up(self.config),
        )


def open_people(config: Config, storage: Storage, needs: Needs, stack: contextlib.AsyncExitStack) -> PeopleParts:
    """Build it, and keep running what has no end until `stack` is unwound. Raises `ConfigError`."""
    store = storage.store
    try:
        secret = open_secret(config.data_dir, config.jwt_secret)
    except ValueError as error:
        raise ConfigError(f"{variable('jwt_secret')} {error}") from None
    tokens, issuers = AccessTokens(secret), open_issuers(config, stack)
    identities = Identities(store, needs.granted, utc_now, may_sign_up=may_sign_up(config))
    passwords = Passwords()
    stack.callback(passwords.close)
    mailer = Mailer(open_carrier(config.smtp_url, config.data_dir), _sender(config))
    for number in range(SENDERS):
        supervise(stack, f"mail-{number}", mailer.run)
    stack.push_async_callback(mailer.drain)

    async def forget() -> None:
        await storage.migrated.wait()
        await keep_sweeping(store, utc_now)

    supervise(stack, "old logins", forget)
    return PeopleParts(
        config,
        storage,
        needs,
        People(store, needs.news, tokens, needs.limits, identities, issuers),
        Directory(store, needs.news, needs.granted, utc_now),
        identities,
        tokens,
        Logins(secret),
        passwords,
        mailer,
        issuers,
    )


def open_issuers(config: Config, stack: contextlib.AsyncExitStack) -> Issuers:
    """Return the issuers that people may come through. Raises `ConfigError`."""
    given = (config.oidc_client_id, config.oidc_client_secret, config.oidc_audience)
    try:
        issuers = Issuers(clients(config.oidc_issuers, *given), IssuerHttp())
    except ValueError as error:
        raise ConfigError(f"{variable('oidc_issuers')}: {error}") from error
    stack.push_async_callback(issuers.aclose)
    return issuers


def may_sign_up(config: Config) -> bool:
    """Whether people may make accounts: as set, else where seconds are sold."""
    return config.billing if config.sign_up is None else config.sign_up


def utc_now() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


def own_address(config: Config, port: int) -> str:
    """Return where people reach a server that listens on `port`: links to it begin so."""
    if config.public_url:
        return config.public_url.rstrip("/")
    nowhere = config.host in {"", "0.0.0.0", "::"}  # noqa: S104 - compared with, not listened on
    host = "localhost" if nowhere or is_loopback(config.host) else config.host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def tell_address(config: Config, port: int) -> None:
    """Leave in the data folder where people reach this server, for commands that write links to it."""
    leave_address(config.data_dir, own_address(config, port))


def told_address(config: Config) -> str:
    """Return where a server that runs on this data folder is reached; empty where none runs."""
    return find_address(config.data_dir)


def _sender(config: Config) -> str:
    host = urlsplit(config.public_url).hostname or "localhost"
    return config.mail_from or f"voicewire <voicewire@{host}>"
