"""Who the tokens of people stand for, as of now: the token says which login, the database what has become of it.

What was looked up is kept for a few seconds, and less when news come: who is suspended, removed or logged out is
refused within five, whether the news arrive or not.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from voicewire.accounts.identities import Identities, Identity
from voicewire.accounts.news import News
from voicewire.accounts.users import PEOPLE_TOPIC
from voicewire.auth.principal import Limits, Principal
from voicewire.auth.scopes import ALL_SCOPES, PERSON_SCOPES
from voicewire.auth.tokens import OWN_ISSUER, AccessTokens, peek
from voicewire.errors import Busy, Unauthorized
from voicewire.storage.store import Store

KEPT_S = 4.0
STALE_S = 600.0  # while PostgreSQL is away, what was good stays good for so long
STANDINGS_KEPT = 10_000

STANDING = """
SELECT u.id, m.tenant, u.name, u.role
FROM users u
JOIN members m ON m.user_id = u.id
JOIN tenants t ON t.id = m.tenant
LEFT JOIN logins l ON l.user_id = u.id AND l.id = $3
WHERE u.id = $1 AND u.suspended IS NULL AND t.suspended IS NULL
  AND (m.tenant = $2 OR $2 = '')
  AND ($3 = '' OR (l.ended IS NULL AND l.id IS NOT NULL))
ORDER BY m.created, t.id LIMIT 1
"""


class Shown(NamedTuple):
    """What a token leads to. An empty login: an issuer's token; an empty tenant: the person's first."""

    user: str
    tenant: str
    login: str


class Standing(NamedTuple):
    """A person who may come in, and as which role."""

    user: str
    tenant: str
    name: str
    role: str


class _Known(NamedTuple):
    standing: Standing | None
    at: float


class Bearer(Protocol):
    """Whom an issuer's token names, and until when."""

    @property
    def expires(self) -> float: ...


class BearerIdentity(Identity, Bearer, Protocol):
    """Both of it."""


class Issuers(Protocol):
    """Checks the tokens of the issuers that are trusted."""

    async def find(self, token: str, /) -> BearerIdentity:
        """Return whom `token` names. Raises `Unauthorized`, also for issuers that are not ours."""
        ...


class People:
    """Finds callers by their tokens. `limits` tells what a tenant may; without `issuers` only our own tokens count."""

    def __init__(
        self,
        store: Store,
        news: News,
        tokens: AccessTokens,
        limits: Callable[[str], Awaitable[Limits]],
        identities: Identities,
        issuers: Issuers | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._limits = limits
        self._identities = identities
        self._issuers = issuers
        self._clock = clock
        self._known: OrderedDict[Shown, _Known] = OrderedDict()
        self._changes = 0
        news.on(PEOPLE_TOPIC, self._forget)

    async def find(self, token: str, /) -> Principal:
        """Return the person that `token` was given to. Raises `Unauthorized`; `Busy` when it cannot be known now."""
        if peek(token).issuer == OWN_ISSUER:
            access = self._tokens.read(token)
            standing = await self._standing(Shown(access.user, access.tenant, access.login))
            return await self._principal(access.login, standing, access.expires)
        if self._issuers is None:
            raise Unauthorized
        return await self._visitor(await self._issuers.find(token))

    async def confirm(self, principal: Principal, /) -> None:
        """Raise `Unauthorized` when the person was suspended, removed or logged out since."""
        login = principal.id if principal.id != principal.user else ""
        await self._standing(Shown(principal.user, principal.tenant, login))

    async def _visitor(self, who: BearerIdentity) -> Principal:
        user = await self._identities.known(who.issuer, who.subject) or await self._identities.settle(who)
        return await self._principal(user, await self._standing(Shown(user, "", "")), who.expires)

    async def _principal(self, id: str, standing: Standing, expires: float) -> Principal:
        scopes = ALL_SCOPES if standing.role == "admin" else PERSON_SCOPES
        limits = await self._limits(standing.tenant)
        return Principal(
            id, standing.tenant, scopes, "user", standing.name, limits, user=standing.user, expires=expires
        )

    async def _standing(self, shown: Shown) -> Standing:
        known, now = self._known.get(shown), self._clock()
        age_s = now - known.at if known else math.inf
        if known is None or age_s >= KEPT_S:
            known = await self._look(shown, known if age_s < STALE_S else None)
        if known.standing is None:
            raise Unauthorized
        return known.standing

    async def _look(self, shown: Shown, before: _Known | None) -> _Known:
        now, changes = self._clock(), self._changes
        try:
            row = await self._store.fetchrow(STANDING, *shown)
        except Busy:
            if before is None:
                raise
            return before
        known = _Known(Standing(*row.values()) if row else None, now)
        if changes == self._changes:  # nothing was heard while PostgreSQL was asked
            self._keep(shown, known)
        return known

    def _keep(self, shown: Shown, known: _Known) -> None:
        self._known[shown] = known
        self._known.move_to_end(shown)
        if len(self._known) > STANDINGS_KEPT:
            self._known.popitem(last=False)

    def _forget(self, id: str) -> None:
        self._changes += 1
        for shown in [each for each in self._known if not id or id in each]:
            del self._known[shown]
