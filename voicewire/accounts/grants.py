"""Seconds that a tenant was given: by its plan each month, in packages, by an admin, as a refund.

A grant is a row, and an entry of two postings that says where it comes from: all in one transaction, once for each
id. Redis is told afterwards; where that fails, the ledger's sweep finds that it was not.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, Protocol

from voicewire.accounts.audit import note
from voicewire.auth.principal import HOME_TENANT
from voicewire.errors import BadRequest, Busy
from voicewire.storage.store import Conflict, Row, Session, Store

Kind = Literal["plan", "package", "admin", "refund"]

SECOND_MS = 1_000
SECONDS_MAX = 1_000_000_000  # of one grant: thirty years of sound
LISTED_MAX = 200

ADD = """
INSERT INTO grants (id, tenant, kind, ms, left_ms, expires, created, note) VALUES ($1, $2, $3, $4, $4, $5, $6, $7)
ON CONFLICT (id) DO NOTHING RETURNING id
"""
ENTER = """
INSERT INTO entries (tenant, stream, block, post, kind, ms, at) VALUES ($1, 'grant', $2, 0, 'grant', $3, $4)
RETURNING id
"""
POST = "INSERT INTO postings (entry, account, ms) VALUES ($1, $2, $3)"
BALANCE = """
INSERT INTO balances (account, ms) VALUES ($1, $2) ON CONFLICT (account) DO UPDATE SET ms = balances.ms + $2
"""
IN_FORCE = """
SELECT * FROM grants WHERE tenant = $1 AND (expires IS NULL OR expires > $2) AND left_ms > 0
ORDER BY expires NULLS LAST, id LIMIT $3
"""
FIND = "SELECT tenant, applied FROM grants WHERE id = $1 AND ($2 = '' OR tenant = $2)"
REVERSED = "SELECT true FROM audit WHERE tenant = $1 AND action = 'grant.reverse' AND subject = $2 LIMIT 1"
PUT_PACKAGE = """
INSERT INTO packages (id, name, price_cents, currency, seconds, good_days, public) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (id) DO UPDATE SET
    name = $2, price_cents = $3, currency = $4, seconds = $5, good_days = $6, public = $7
"""
SPENT = """
SELECT coalesce(sum(ms), 0) FROM entries
WHERE tenant = $1 AND stream = $2 AND stream <> 'grant' AND kind IN ('use', 'late', 'refund')
"""


class Applies(Protocol):
    """The ledger, as far as grants need it."""

    async def grant(self, grant_id: str, /) -> Any:
        """Add a grant that is in PostgreSQL to the tenant's account in Redis, once."""
        ...

    async def reverse(self, grant_id: str, /) -> int:
        """Take back what is left of a grant, once; return how many milliseconds that was."""
        ...


@dataclass(frozen=True, slots=True)
class Grant:
    """`ms` of audio, times the model's multiplier. `expires` None: never."""

    id: str
    tenant: str
    kind: Kind
    ms: int
    left_ms: int
    expires: datetime | None
    created: datetime
    note: str = ""

    @classmethod
    def of(cls, row: Row) -> Grant:
        return cls(*(row[name] for name in cls.__slots__))

    @classmethod
    def new(
        cls, id: str, tenant: str, kind: Kind, ms: int, expires: datetime | None, now: datetime, note: str = ""
    ) -> Grant:
        return cls(id, tenant, kind, ms, ms, expires, now, note)


class Reversed(NamedTuple):
    """A grant of which `ms` were left, and are not any more."""

    id: str
    tenant: str
    ms: int


@dataclass(frozen=True, slots=True)
class Package:
    """A row of `packages`: seconds that are bought at once. `good_days` None: for ever."""

    id: str
    name: str
    price_cents: int
    currency: str
    seconds: int
    good_days: int | None
    public: bool

    @classmethod
    def of(cls, row: Row) -> Package:
        return cls(*(row[name] for name in cls.__slots__))


async def give(session: Session, grant: Grant) -> bool:
    """Write a grant in the transaction of `session`; False where its id was given already. Tell the ledger after it."""
    given = await session.fetchval(
        ADD, grant.id, grant.tenant, grant.kind, grant.ms, grant.expires, grant.created, grant.note
    )
    if given is None:
        return False
    entry = await session.fetchval(ENTER, grant.tenant, grant.id, -grant.ms, grant.created)
    for account, ms in ((f"grant:{grant.id}", grant.ms), ("issued", -grant.ms)):
        await session.execute(POST, entry, account, ms)
        await session.execute(BALANCE, account, ms)
    return True


def utc_now() -> datetime:
    return datetime.now(UTC)


class Grants:
    """Gives seconds to tenants, once for each id."""

    def __init__(self, store: Store, ledger: Applies, now: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._ledger = ledger
        self._now = now

    async def grant(
        self, tenant: str, seconds: int, actor: str, *, id: str = "", expires: datetime | None = None, why: str = ""
    ) -> Grant:
        """Give `seconds`. The same `id` again gives what was given then; raises `Conflict` if that was something else.

        Raises `BadRequest` (`not_found`) for an unknown tenant.
        """
        name = f"admin:{tenant}:{id or secrets.token_hex(8)}"
        ms = seconds * SECOND_MS
        return await self._add(Grant.new(name, tenant, "admin", ms, expires, self._now(), why), actor, "grant.create")

    async def package(self, tenant: str, package_id: str, actor: str, *, id: str = "", why: str = "") -> Grant:
        """Give a package, as it is now, to `tenant`. As `grant`."""
        row = await self._store.fetchrow("SELECT * FROM packages WHERE id = $1", package_id)
        if row is None:
            raise BadRequest("not_found")
        package, now = Package.of(row), self._now()
        name = f"pack:{tenant}:{id or secrets.token_hex(8)}"
        expires = None if package.good_days is None else now + timedelta(days=package.good_days)
        grant = Grant.new(name, tenant, "package", package.seconds * SECOND_MS, expires, now, why or package.name)
        return await self._add(grant, actor, "grant.create")

    async def refund(
        self, tenant: str, actor: str, *, stream: str = "", seconds: int = 0, id: str = "", why: str = ""
    ) -> Grant:
        """Give back what `stream`, a context or a request, cost, once; or `seconds`. They never expire. As `grant`."""
        ms = await self._store.fetchval(SPENT, tenant, stream) if stream else seconds * SECOND_MS
        if ms <= 0:
            raise BadRequest("not_found")
        name = f"refund:{tenant}:{stream or id or secrets.token_hex(8)}"
        return await self._add(Grant.new(name, tenant, "refund", ms, None, self._now(), why), actor, "refund.create")

    async def reverse(self, grant_id: str, actor: str, *, tenant: str = "", why: str = "") -> Reversed:
        """Take back what is left of a grant, once: again, it says what was taken then. `tenant`: whose it must be.

        Raises `BadRequest` (`not_found`), and `Busy` while Redis is away.
        """
        row = await self._store.fetchrow(FIND, grant_id, tenant)
        if row is None:
            raise BadRequest("not_found")
        if row["applied"] is None:  # else the ledger would take nothing now, and have all of it later
            await self._ledger.grant(grant_id)
        taken = Reversed(grant_id, row["tenant"], await self._ledger.reverse(grant_id))
        async with self._store.transaction() as session:
            await session.lock(f"reverse:{grant_id}")
            if not await session.fetchval(REVERSED, taken.tenant, grant_id):
                details = {"ms": taken.ms, "note": why}
                await note(session, actor, "grant.reverse", tenant=taken.tenant, subject=grant_id, details=details)
        return taken

    async def in_force(self, tenant: str) -> list[Grant]:
        """Return what is left of the tenant's grants as PostgreSQL knows it, in the order in which they are spent."""
        rows = await self._store.fetch(IN_FORCE, tenant, self._now(), LISTED_MAX)
        return [Grant.of(row) for row in rows]

    async def packages(self) -> list[Package]:
        """Return the packages that people may see, the smallest first."""
        rows = await self._store.fetch("SELECT * FROM packages WHERE public ORDER BY seconds, id")
        return [Package.of(row) for row in rows]

    async def put_package(self, package: Package, actor: str) -> None:
        """Make or change a package; what was given of it stays."""
        async with self._store.transaction() as session:
            await session.execute(PUT_PACKAGE, *(getattr(package, name) for name in Package.__slots__))
            details = {name: getattr(package, name) for name in Package.__slots__}
            await note(session, actor, "package.put", tenant=HOME_TENANT, subject=package.id, details=details)

    async def apply(self, grant_ids: Sequence[str]) -> None:
        """Tell the ledger of grants that were committed. Where Redis is away, its sweep will."""
        with contextlib.suppress(Busy):
            for grant_id in grant_ids:
                await self._ledger.grant(grant_id)

    async def _add(self, grant: Grant, actor: str, action: str) -> Grant:
        async with self._store.transaction() as session:
            if await session.fetchval("SELECT id FROM tenants WHERE id = $1 FOR SHARE", grant.tenant) is None:
                raise BadRequest("not_found")
            new = await give(session, grant)
            if new:
                details = {"ms": grant.ms, "expires": grant.expires, "note": grant.note}
                await note(session, actor, action, tenant=grant.tenant, subject=grant.id, details=details)
            row = await session.fetchrow("SELECT * FROM grants WHERE id = $1", grant.id)
        assert row is not None
        found = Grant.of(row)
        if (found.ms, found.kind) != (grant.ms, grant.kind):
            raise Conflict("grants_pkey")
        await self.apply([grant.id] if new else [])
        return found
