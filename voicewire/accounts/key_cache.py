"""Keys as gateways look them up: remembered for 30 s, forgotten within seconds where they change."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, NoReturn

import msgspec

from voicewire.accounts.news import News
from voicewire.auth.keys import GIVEN_KEY_ID, KeyLimits, KeyRecord, utc_now
from voicewire.errors import RETRY_MS, Busy
from voicewire.storage.store import Store

KEYS_TOPIC = "keys"  # news of one key
KEYS_OF_TENANT_TOPIC = "tenants"  # news of a tenant, or of a person in it, that was suspended or let back

REMEMBERED_S = 30.0
UNSURE_S = 2.0  # how long while the news are not heard: what is revoked elsewhere ends within 5 s all the same
KNOWN_MAX = 20_000
UNKNOWN_MAX = 20_000  # apart, so that a flood of made-up keys pushes out no real one
WAITING_MAX = 2_000
ASK_EVERY_S = 0.05  # a flood of unknown keys costs so many statements at most
AWAY_S = 1.0  # how long PostgreSQL is left alone after it did not answer
USED_EVERY_S = 60.0

COLUMNS = (
    "k.id, k.hash, k.created, k.label, k.tenant, k.scopes, k.revoked, k.limits, k.environment, k.user_id, k.expires,"
    " k.last_used, k.replaces, t.suspended IS NOT NULL OR u.suspended IS NOT NULL AS suspended"
)
TABLES = "keys k JOIN tenants t ON t.id = k.tenant LEFT JOIN users u ON u.id = k.user_id"
FIND = f"SELECT {COLUMNS} FROM {TABLES} WHERE k.id = ANY($1::text[])"  # noqa: S608 - of constants only
USED = (
    "UPDATE keys SET last_used = greatest(last_used, used.at)"
    " FROM unnest($1::text[], $2::timestamptz[]) AS used (id, at) WHERE keys.id = used.id"
)


Answer = asyncio.Future[KeyRecord | None]
Waiting = Mapping[str, list[Answer]]


class _Entry(NamedTuple):
    record: KeyRecord | None
    read_s: float


class KeyCache:
    """The `KeyStore` of a gateway. `run` and `keep_last_used` must be running.

    `given_id` is the id of the operator's own key, whose record is called `bootstrap` whatever its form. `ready` says
    whether the database has its schema.
    """

    def __init__(
        self,
        store: Store,
        news: News,
        given_id: str = GIVEN_KEY_ID,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._news = news
        self._given_id = given_id
        self._clock = clock
        self._now = now
        self._ready = ready
        self._known: OrderedDict[str, _Entry] = OrderedDict()
        self._unknown: OrderedDict[str, _Entry] = OrderedDict()
        self._waiting: dict[str, list[Answer]] = {}
        self._waiters = 0
        self._wanted = asyncio.Event()
        self._changed: set[str] | None = None  # while keys are being read: those that changed meanwhile
        self._away = False  # whether PostgreSQL did not answer when it was asked last
        self._used: dict[str, datetime] = {}
        news.on(KEYS_TOPIC, self._forget)
        news.on(KEYS_OF_TENANT_TOPIC, self._forget_tenant)

    async def find(self, key_id: str, /) -> KeyRecord | None:
        """Return the record of `key_id`, or None. Raises `Busy` when PostgreSQL is away and it is not remembered."""
        if key_id == self._given_id:
            key_id = GIVEN_KEY_ID
        entry = self._known.get(key_id) or self._unknown.get(key_id)
        if entry is not None and self._clock() - entry.read_s < self.remembered_s:
            return entry.record
        record = entry.record if entry is not None else None
        if self._away:  # who could speak goes on, and somebody sees whether it is back
            self._queue(key_id, None)
            return record or _busy()
        try:
            return await self._ask(key_id)
        except Busy:
            return record or _busy()

    @property
    def remembered_s(self) -> float:
        """How long an answer of PostgreSQL is good for now."""
        return REMEMBERED_S if self._news.live else UNSURE_S

    def used(self, key_id: str, /) -> None:
        """Take note of a use; it is written with others."""
        if key_id in self._used or len(self._used) < KNOWN_MAX:
            self._used[key_id] = self._now()

    async def _ask(self, key_id: str) -> KeyRecord | None:
        answer: Answer = asyncio.get_running_loop().create_future()
        if not self._queue(key_id, answer):
            _busy()
        return await answer

    def _queue(self, key_id: str, answer: Answer | None) -> bool:
        if self._waiters >= WAITING_MAX:
            return False
        self._waiters += 1
        answers = self._waiting.setdefault(key_id, [])
        if answer is not None:
            answers.append(answer)
        self._wanted.set()
        return True

    async def run(self) -> None:
        """Look up what is asked for, all that came meanwhile at once, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            waiting, self._waiting, self._waiters = self._waiting, {}, 0
            try:
                await self._answer(waiting)
            finally:  # whatever happened, nobody else would answer
                for _, answer in _open(waiting):
                    answer.set_exception(Busy(retry_after_ms=RETRY_MS))
            await asyncio.sleep(AWAY_S if self._away else ASK_EVERY_S)

    async def _answer(self, waiting: Waiting) -> None:
        try:
            found = await self._read([*waiting])
        except Busy:
            self._away = True
            return
        self._away = False
        for key_id, answer in _open(waiting):
            answer.set_result(found.get(key_id))

    async def _read(self, key_ids: Sequence[str]) -> Mapping[str, KeyRecord]:
        if not self._ready():
            _busy()
        asked_s, self._changed = self._clock(), set()
        try:
            rows = await self._store.fetch(FIND, key_ids)
            found = {row["id"]: record_of(row) for row in rows}
            for key_id in key_ids:
                self._remember(key_id, _Entry(found.get(key_id), asked_s), self._changed)
        finally:
            self._changed = None
        return found

    def _remember(self, key_id: str, entry: _Entry, changed: set[str]) -> None:
        self._forget_one(key_id)
        tenant = entry.record.tenant if entry.record else ""
        if changed & {"", key_id, f"@{tenant}"}:  # this may be how it was before
            return
        entries, most = (self._known, KNOWN_MAX) if entry.record else (self._unknown, UNKNOWN_MAX)
        entries[key_id] = entry
        if len(entries) > most:
            entries.popitem(last=False)

    def _forget(self, key_id: str) -> None:
        """A key changed; an empty id: any may have, but they are still good when PostgreSQL cannot be asked."""
        self._note_change(key_id)
        if key_id:
            self._forget_one(key_id)
            return
        self._unknown.clear()
        self._known = OrderedDict((id, entry._replace(read_s=-math.inf)) for id, entry in self._known.items())

    def _forget_tenant(self, tenant: str) -> None:
        self._note_change(f"@{tenant}" if tenant else "")
        for id in [id for id, entry in self._known.items() if entry.record and entry.record.tenant == tenant]:
            del self._known[id]

    def _note_change(self, what: str) -> None:
        if self._changed is not None:
            self._changed.add(what)

    def _forget_one(self, key_id: str) -> None:
        self._known.pop(key_id, None)
        self._unknown.pop(key_id, None)

    async def keep_last_used(self, every_s: float = USED_EVERY_S) -> None:
        """Write when keys were used, in batches, until cancelled; then once more."""
        try:
            while True:
                await asyncio.sleep(every_s)
                await self.write_last_used()
        finally:
            await self.write_last_used()

    async def write_last_used(self) -> None:
        """Write when keys were used; while PostgreSQL is away, later."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await self._store.execute(USED, [*used], [*used.values()])
        except Busy:
            self._used = used | self._used


def record_of(row: Mapping[str, Any]) -> KeyRecord:
    """Return the record of a row of `COLUMNS`."""
    return KeyRecord(
        id=row["id"],
        hash=row["hash"],
        created=row["created"],
        label=row["label"],
        tenant=row["tenant"],
        scopes=frozenset(row["scopes"]),
        revoked=row["revoked"],
        limits=msgspec.convert(row["limits"], KeyLimits) if row["limits"] else None,
        environment=row["environment"],
        user=row["user_id"] or "",
        expires=row["expires"],
        suspended=row["suspended"],
        last_used=row["last_used"],
        replaces=row["replaces"] or "",
    )


def _open(waiting: Waiting) -> Iterator[tuple[str, Answer]]:
    return ((key_id, answer) for key_id, answers in waiting.items() for answer in answers if not answer.done())


def _busy() -> NoReturn:
    raise Busy(retry_after_ms=RETRY_MS)
