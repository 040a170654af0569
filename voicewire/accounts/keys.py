"""API keys of a tenant: made, listed, changed, rotated and revoked. Nobody gives away more than they have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

import msgspec

from voicewire.accounts import audit
from voicewire.accounts.key_cache import COLUMNS, KEYS_TOPIC, TABLES, record_of
from voicewire.accounts.news import News
from voicewire.auth.keys import KeyLimits, KeyRecord, generate_key, hash_key, key_id, utc_now
from voicewire.auth.principal import Principal
from voicewire.auth.scopes import ALL_SCOPES, CLIENT_SCOPES, unknown_scopes
from voicewire.errors import BadRequest, Forbidden
from voicewire.storage.store import Session, Store

KEYS_MAX = 1_000  # in force, of one tenant
PAGE_MAX = 200
OVERLAP_S_MAX = 30 * 24 * 3_600

_OF = f"SELECT {COLUMNS} FROM {TABLES} WHERE"  # noqa: S608 - of constants only
GET = f"{_OF} k.id = $1 AND ($2 = '' OR k.tenant = $2)"
PAGE = (
    f"{_OF} ($1 = '' OR k.tenant = $1) AND ($2 = '' OR (k.created, k.id) <"  # noqa: S608 - of constants only
    " (SELECT last.created, last.id FROM keys last WHERE last.id = $2 AND ($1 = '' OR last.tenant = $1)))"
    " ORDER BY k.created DESC, k.id DESC LIMIT $3"
)
ADD = (
    "INSERT INTO keys (id, tenant, user_id, hash, environment, label, scopes, limits, created, expires, replaces)"
    " VALUES ($1, $2, nullif($3, ''), $4, $5, $6, $7, $8, $9, $10, nullif($11, ''))"
)
IN_FORCE = "SELECT count(*) FROM keys WHERE tenant = $1 AND revoked IS NULL AND (expires IS NULL OR expires > $2)"


class Made(NamedTuple):
    """A new key, the only time that it is seen, and what is kept of it."""

    key: str
    record: KeyRecord

    def __repr__(self) -> str:
        return f"Made(record={self.record!r})"


class Maker(NamedTuple):
    """Who makes or changes keys, and what they can give away."""

    tenant: str
    actor: str
    scopes: frozenset[str]
    user: str = ""
    key: str = ""

    @classmethod
    def of(cls, principal: Principal) -> Maker:
        return cls(principal.tenant, audit.actor_of(principal), principal.scopes, principal.user, principal.key)

    @classmethod
    def operator(cls, tenant: str) -> Maker:
        return cls(tenant, audit.OPERATOR, ALL_SCOPES)


class Wish(NamedTuple):
    """What a new key is to be. Without scopes: what a client needs, as far as its maker has it."""

    label: str = ""
    environment: Literal["live", "test"] = "live"
    scopes: frozenset[str] | None = None
    limits: KeyLimits | None = None
    expires: datetime | None = None


class Most(NamedTuple):
    """What a key may give to another: no more than it has, and for no longer."""

    limits: KeyLimits | None = None
    expires: datetime | None = None

    def lowered(self, limits: KeyLimits | None) -> KeyLimits | None:
        return self.limits.within(limits or KeyLimits()) if self.limits else limits

    def sooner(self, expires: datetime | None) -> datetime | None:
        return min(expires or self.expires, self.expires) if self.expires else expires


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to be different. UNSET: nothing."""

    label: str | msgspec.UnsetType = msgspec.UNSET
    scopes: frozenset[str] | msgspec.UnsetType = msgspec.UNSET
    limits: KeyLimits | msgspec.UnsetType | None = msgspec.UNSET
    expires: datetime | msgspec.UnsetType | None = msgspec.UNSET


class Keys:
    """The keys of all tenants. What belongs to another tenant than the one named does not exist."""

    def __init__(
        self,
        store: Store,
        pepper: bytes,
        news: News | None,
        now: Callable[[], datetime] = utc_now,
        generate: Callable[[Literal["live", "test"]], str] = generate_key,
    ) -> None:
        self._store = store
        self._pepper = pepper
        self._news = news
        self._now = now
        self._generate = generate

    async def make(self, maker: Maker, wish: Wish) -> Made:
        """Make a key. Raises `Forbidden` for scopes that the maker lacks, `BadRequest` for what cannot be."""
        scopes = CLIENT_SCOPES & maker.scopes if wish.scopes is None else wish.scopes
        self._check(maker, scopes, wish.expires)
        key = self._generate(wish.environment)
        async with self._store.transaction() as session:
            await session.lock(f"keys:{maker.tenant}")
            await self._room(session, maker.tenant)
            most = await _most(session, maker)
            record = KeyRecord(
                key_id(key),
                hash_key(self._pepper, key),
                self._now(),
                label=wish.label,
                tenant=maker.tenant,
                scopes=scopes,
                limits=most.lowered(wish.limits),
                environment=wish.environment,
                user=maker.user,
                expires=most.sooner(wish.expires),
            )
            await self._add(session, record)
            await self._note(session, maker, "key.create", record)
        await self._tell(record.id)
        return Made(key, record)

    async def page(self, tenant: str, before: str = "", limit: int = PAGE_MAX) -> list[KeyRecord]:
        """Return keys, the latest first, after the key `before`; of one tenant, or of all where `tenant` is empty."""
        rows = await self._store.fetch(PAGE, tenant, before, min(limit, PAGE_MAX))
        return [record_of(row) for row in rows]

    async def get(self, tenant: str, key_id: str) -> KeyRecord:
        """Return one key of `tenant`, or of any where that is empty. Raises `BadRequest("not_found")`."""
        return await _get(self._store, tenant, key_id)

    async def change(self, maker: Maker, key_id: str, change: Change) -> KeyRecord:
        """Change a key that can do no more than its changer, before and after."""
        async with self._store.transaction() as session:
            record = await _locked(session, maker.tenant, key_id)
            given = msgspec.structs.asdict(change)
            wanted = {name: value for name, value in given.items() if value is not msgspec.UNSET}
            self._check(maker, record.scopes, None)
            changed = msgspec.structs.replace(record, **wanted)
            self._check(maker, changed.scopes, wanted.get("expires"))
            most = await _most(session, maker)
            if "limits" in wanted:
                changed = msgspec.structs.replace(changed, limits=most.lowered(changed.limits))
            if "expires" in wanted:
                changed = msgspec.structs.replace(changed, expires=most.sooner(changed.expires))
            await session.execute(
                "UPDATE keys SET label = $2, scopes = $3, limits = $4, expires = $5 WHERE id = $1",
                key_id,
                changed.label,
                sorted(changed.scopes),
                _plain(changed.limits),
                changed.expires,
            )
            await self._note(session, maker, "key.change", changed)
        await self._tell(key_id)
        return changed

    async def rotate(self, maker: Maker, key_id: str, overlap_s: float) -> Made:
        """Make a key that takes the place of another, which stays good for `overlap_s`.

        Raises `BadRequest("conflict")` for a key that has ended or was replaced already.
        """
        async with self._store.transaction() as session:
            record = await _locked(session, maker.tenant, key_id)
            self._check(maker, record.scopes, None)
            replaced = await session.fetchval("SELECT 1 FROM keys WHERE replaces = $1 AND revoked IS NULL", key_id)
            if replaced or record.ended(self._now()):
                raise BadRequest("conflict")
            made = self._successor(maker, record, await _most(session, maker))
            await self._add(session, made.record)
            ends = self._now() + timedelta(seconds=overlap_s)
            await session.execute("UPDATE keys SET expires = least(expires, $2) WHERE id = $1", key_id, ends)
            await self._note(session, maker, "key.rotate", record, {"new": made.record.id, "overlap_s": overlap_s})
        await self._tell(key_id)
        await self._tell(made.record.id)
        return made

    async def revoke(self, maker: Maker, key_id: str, *, anywhere: bool = False) -> None:
        """Make a key worthless, for good; `anywhere`: of whatever tenant. Raises `BadRequest("not_found")`."""
        async with self._store.transaction() as session:
            record = await _locked(session, "" if anywhere else maker.tenant, key_id)
            if record.revoked is None:
                await session.execute("UPDATE keys SET revoked = $2 WHERE id = $1", key_id, self._now())
                await self._note(session, maker, "key.revoke", record)
        await self._tell(key_id)

    def _successor(self, maker: Maker, record: KeyRecord, most: Most) -> Made:
        key = self._generate(record.environment)
        fresh = msgspec.structs.replace(
            record,
            id=key_id(key),
            hash=hash_key(self._pepper, key),
            created=self._now(),
            limits=most.lowered(record.limits),
            expires=most.sooner(record.expires),
            user=maker.user,
            last_used=None,
            replaces=record.id,
        )
        return Made(key, fresh)

    def _check(self, maker: Maker, scopes: frozenset[str], expires: datetime | None) -> None:
        if unknown := unknown_scopes(scopes):
            raise BadRequest(problem=f"unknown scopes: {', '.join(unknown)}")
        if lacking := sorted(scopes - maker.scopes):
            raise Forbidden(problem=f"it lacks the scope {', '.join(lacking)}")
        if expires is not None and expires <= self._now():
            raise BadRequest(problem="expires is over already")

    async def _room(self, session: Session, tenant: str) -> None:
        if await session.fetchval(IN_FORCE, tenant, self._now()) >= KEYS_MAX:
            raise BadRequest(problem=f"a tenant has at most {KEYS_MAX} keys; revoke some")

    @staticmethod
    async def _add(session: Session, record: KeyRecord) -> None:
        await session.execute(
            ADD,
            record.id,
            record.tenant,
            record.user,
            record.hash,
            record.environment,
            record.label,
            sorted(record.scopes),
            _plain(record.limits),
            record.created,
            record.expires,
            record.replaces,
        )

    @staticmethod
    async def _note(
        session: Session, maker: Maker, action: str, record: KeyRecord, more: Mapping[str, Any] | None = None
    ) -> None:
        details = {"label": record.label, "scopes": sorted(record.scopes), **(more or {})}
        if record.limits:
            details["limits"] = _plain(record.limits)
        if record.expires:
            details["expires"] = record.expires.isoformat()
        await audit.note(session, maker.actor, action, tenant=record.tenant, subject=record.id, details=details)

    async def _tell(self, key_id: str) -> None:
        if self._news is not None:
            await self._news.tell(KEYS_TOPIC, key_id)


async def _get(where: Store | Session, tenant: str, key_id: str, lock: str = "") -> KeyRecord:
    row = await where.fetchrow(GET + lock, key_id, tenant)
    if row is None:
        raise BadRequest("not_found")
    return record_of(row)


async def _locked(session: Session, tenant: str, key_id: str) -> KeyRecord:
    return await _get(session, tenant, key_id, " FOR UPDATE OF k")


async def _most(session: Session, maker: Maker) -> Most:
    row = await session.fetchrow("SELECT limits, expires FROM keys WHERE id = $1", maker.key) if maker.key else None
    if row is None:
        return Most()
    return Most(msgspec.convert(row["limits"], KeyLimits) if row["limits"] else None, row["expires"])


def _plain(limits: KeyLimits | None) -> Any:
    return msgspec.to_builtins(limits, order="sorted") if limits else None


def scopes_of(names: Sequence[str] | None) -> frozenset[str] | None:
    """Return the scopes that a caller named, or None where nothing was said."""
    return None if names is None else frozenset(names)
