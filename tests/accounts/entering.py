"""People and their entrance over a real PostgreSQL and Redis, with mails that are kept, and a clock that tests move."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

from redis.asyncio import Redis

from tests.accounts.running import running
from voicewire.accounts.directory import Directory
from voicewire.accounts.entrance import Entered, Entrance
from voicewire.accounts.identities import Identities
from voicewire.accounts.letters import Letters
from voicewire.accounts.logins import Logins
from voicewire.accounts.mail import Mailer
from voicewire.accounts.news import News
from voicewire.accounts.people import Issuers, People
from voicewire.auth.passwords import Passwords, Work
from voicewire.auth.principal import Limits
from voicewire.auth.tokens import AccessTokens
from voicewire.storage.store import Store

SECRET = b"a secret of tests, 32 bytes long"
PASSWORD = "a riddle of eels"
ADDRESS = "https://speech.example.org"


class Mailbox:
    """A carrier that keeps what it is given."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []

    async def carry(self, message: EmailMessage, /) -> None:
        self.mails.append(message)

    def text(self, to: str) -> str:
        """The text of the latest mail to `to`."""
        mail = next((mail for mail in reversed(self.mails) if mail["To"] == to), None)
        body = mail and mail.get_body(("plain",))
        assert body, f"there is no mail to {to}"
        return str(body.get_content())

    def token(self, to: str) -> str:
        """The token of the link in the latest mail to `to`."""
        found = re.search(r"#(?:verify|password)=(\S+)", self.text(to))
        assert found, self.text(to)
        return found[1]

    def subjects(self, to: str) -> list[str]:
        return [mail["Subject"] for mail in self.mails if mail["To"] == to]


@dataclass
class Clock:
    """The time of day, and the time that passes."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def now(self) -> datetime:
        return self.at

    def seconds(self) -> float:
        return self.at.timestamp()

    def wait(self, **time: float) -> None:
        self.at += timedelta(**time)


@dataclass
class House:
    """Everything about people, wired as a server does."""

    store: Store
    news: News
    clock: Clock
    box: Mailbox
    mailer: Mailer
    entrance: Entrance
    people: People
    directory: Directory
    granted: list[str]

    async def sign_up(self, email: str, password: str = PASSWORD, name: str = "") -> Entered:
        """Sign up and follow the link."""
        await self.entrance.register(email, password, name)
        await self.mailer.drain()
        return await self.entrance.verify(self.box.token(email.lower()), password)


async def plan_limits(tenant: str) -> Limits:
    return Limits(streams=len(tenant))


@asynccontextmanager
async def open_house(
    store: Store, redis: Redis, issuers: Issuers | None = None, *, may_sign_up: bool = True
) -> AsyncIterator[House]:
    """What a server has of people, while the block lasts."""
    granted: list[str] = []

    async def tell(grants: Sequence[str]) -> None:
        granted.extend(grants)

    clock, box, news = Clock(), Mailbox(), News(redis)
    mailer, passwords = Mailer(box, "voicewire <voice@example.org>", (0, 0)), Passwords(Work(1, 64))
    tokens = AccessTokens(SECRET, clock.seconds)
    identities = Identities(store, tell, clock.now, may_sign_up=may_sign_up)
    entrance = Entrance(
        store,
        news,
        passwords,
        tokens,
        Logins(SECRET),
        identities,
        mailer,
        Letters(ADDRESS),
        tell,
        clock.now,
        may_sign_up,
    )
    people = People(store, news, tokens, plan_limits, identities, issuers, clock.seconds)
    directory = Directory(store, news, tell, clock.now)
    try:
        async with running(mailer.run(), mailer.run(), news.run()):
            yield House(store, news, clock, box, mailer, entrance, people, directory, granted)
    finally:
        passwords.close()
        await asyncio.sleep(0)
