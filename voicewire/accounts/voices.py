"""What an operator says of voices, over what engines say: friendly names, for all or for one tenant, on or off."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from voicewire.accounts import audit
from voicewire.accounts.news import News
from voicewire.catalogue import BLEND_MARKS, Catalogue
from voicewire.errors import BadRequest, Busy
from voicewire.storage.store import Conflict, Store
from voicewire.types import Model, Voice

VOICES_TOPIC = "voices"
VOICES_MAX = 10_000
TENANTS_KEPT = 256  # with voices of their own: their catalogues are made when they are asked for
AGAIN_S = 30.0
UNSURE_S = 4.0  # while the news are not heard
PAGE_MAX = 200

COLUMNS = "id, model, engine_voice, language, gender, description, tenant, active, created"
ALL = f"SELECT {COLUMNS} FROM voices ORDER BY created, id LIMIT {VOICES_MAX}"  # noqa: S608 - of constants only
PAGE = f"SELECT {COLUMNS} FROM voices WHERE id > $1 ORDER BY id LIMIT $2"  # noqa: S608 - of constants only
GET = f"SELECT {COLUMNS} FROM voices WHERE id = $1"  # noqa: S608 - of constants only
PUT = """
INSERT INTO voices (id, model, engine_voice, language, gender, description, tenant, active)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET model = $2, engine_voice = $3, language = $4, gender = $5, description = $6,
                               tenant = $7, active = $8
"""

_log = logging.getLogger(__name__)

Engines = Sequence[tuple[Model, Sequence[Voice]]]


@dataclass(frozen=True, slots=True)
class NamedVoice:
    """A friendly name for a voice, or a blend, of an engine. Empty language and gender: the engine's own."""

    id: str
    model: str
    engine_voice: str
    language: str = ""
    gender: str = ""
    description: str = ""
    tenant: str | None = None  # None: public
    active: bool = True
    created: datetime | None = None

    def seen_by(self, tenant: str) -> bool:
        return self.active and self.tenant in {None, tenant}


class Voices:
    """The operator's voices, and the catalogue that each tenant sees by them. `run` must be running.

    An engine's voice that has a name here is had by that name's rules only, also in a blend: where no active name
    is seen, it does not exist.
    """

    def __init__(self, store: Store, news: News, engines: Engines, default_model: str) -> None:
        self._store = store
        self._news = news
        self._engines = engines
        self._default_model = default_model
        self._named: list[NamedVoice] = []
        self._public = self._catalogue("")
        self._own: OrderedDict[str, Catalogue] = OrderedDict()
        self._changed = asyncio.Event()
        news.on(VOICES_TOPIC, lambda _: self._changed.set())

    def catalogue(self, tenant: str) -> Catalogue:
        """Return what `tenant` sees."""
        if not any(named.tenant == tenant for named in self._named):
            return self._public
        if tenant not in self._own:
            self._own[tenant] = self._catalogue(tenant)
            if len(self._own) > TENANTS_KEPT:
                self._own.popitem(last=False)
        return self._own[tenant]

    def public(self, model: str, voice: str) -> bool:
        """Whether every tenant has `voice`, an engine's id or a blend."""
        try:
            return self._public.resolve(model, voice, "").voice == voice
        except BadRequest:
            return False

    def offer(self, engines: Engines) -> None:
        """These are the engines from now on."""
        self._engines = engines
        self._own.clear()
        self._public = self._catalogue("")

    async def load(self) -> None:
        """Read all names anew. Raises `Busy`."""
        named = [_named(row) for row in await self._store.fetch(ALL)]
        if named != self._named:
            self._named = named
            self._own.clear()
            self._public = self._catalogue("")

    async def run(self) -> None:
        """Follow what changes until cancelled; while PostgreSQL is away, everything stays as it was."""
        while True:
            try:
                await self.load()
            except Busy as error:
                _log.warning("voices stay as they were: %s", error)
            try:
                async with asyncio.timeout(AGAIN_S if self._news.live else UNSURE_S):
                    await self._changed.wait()
            except TimeoutError:
                continue
            self._changed.clear()

    async def page(self, after: str = "", limit: int = PAGE_MAX) -> list[NamedVoice]:
        """Return names in their order behind `after`, whosever they are."""
        return [_named(row) for row in await self._store.fetch(PAGE, after, min(limit, PAGE_MAX))]

    async def get(self, id: str) -> NamedVoice:
        """Return one name. Raises `BadRequest("unknown_voice")`."""
        row = await self._store.fetchrow(GET, id)
        if row is None:
            raise BadRequest("unknown_voice", voice=id)
        return _named(row)

    async def put(self, named: NamedVoice, actor: str) -> NamedVoice:
        """Make or replace a name. Raises `BadRequest` for what no engine has, `Conflict` for a name that is taken."""
        self._check(named)
        async with self._store.transaction() as session:
            await session.lock(VOICES_TOPIC)
            if await session.fetchval("SELECT 1 FROM voices WHERE lower(id) = lower($1) AND id <> $1", named.id):
                raise Conflict("voices")
            if named.tenant and not await session.fetchval("SELECT 1 FROM tenants WHERE id = $1", named.tenant):
                raise BadRequest(problem=f"there is no tenant {named.tenant!r}")
            if await session.fetchval("SELECT count(*) FROM voices WHERE id <> $1", named.id) >= VOICES_MAX:
                raise BadRequest(problem=f"there are {VOICES_MAX} voices, which is the most")
            await session.execute(PUT, *_values(named))
            details = {"model": named.model, "engine_voice": named.engine_voice, "active": named.active}
            await audit.note(session, actor, "voice.put", tenant=named.tenant or "", subject=named.id, details=details)
        await self._tell()
        return await self.get(named.id)

    async def delete(self, id: str, actor: str) -> None:
        """Remove a name; the engine's voice is what the engine says of it again. Raises `BadRequest`."""
        async with self._store.transaction() as session:
            tenant = await session.fetchval("DELETE FROM voices WHERE id = $1 RETURNING coalesce(tenant, '')", id)
            if tenant is None:
                raise BadRequest("unknown_voice", voice=id)
            await audit.note(session, actor, "voice.delete", tenant=tenant, subject=id)
        await self._tell()

    async def _tell(self) -> None:
        await self.load()
        await self._news.tell(VOICES_TOPIC)

    def _check(self, named: NamedVoice) -> None:
        voices = {model.id: (model, voices) for model, voices in self._engines}
        if named.model not in voices:
            raise BadRequest("unknown_model", model=named.model)
        model, known = voices[named.model]
        ids = {voice.id for voice in known}
        blend = model.blends and BLEND_MARKS.search(named.engine_voice)
        if named.engine_voice not in ids and not blend:
            raise BadRequest("unknown_voice", voice=named.engine_voice)
        if named.id.casefold() in {id.casefold() for id in ids - {named.engine_voice}}:
            raise Conflict("voices")  # an engine's voice is called so

    def _catalogue(self, tenant: str) -> Catalogue:
        seen = [named for named in self._named if named.seen_by(tenant)]
        hidden = {(named.model, named.engine_voice) for named in self._named}
        hidden -= {(named.model, named.engine_voice) for named in seen}
        models = [(model, _overlaid(model, voices, self._named, seen)) for model, voices in self._engines]
        return Catalogue(models, self._default_model, hidden)


def _overlaid(
    model: Model, voices: Iterable[Voice], every: Iterable[NamedVoice], seen: Iterable[NamedVoice]
) -> list[Voice]:
    """An engine's voices without those that have names, and the names that are seen."""
    by_id = {voice.id: voice for voice in voices}
    claimed = {named.engine_voice for named in every if named.model == model.id}
    own = [voice for id, voice in by_id.items() if id not in claimed]
    named = [_voice(each, by_id.get(each.engine_voice)) for each in seen if each.model == model.id]
    return own + [voice for voice in named if voice.id in by_id or model.blends]


def _voice(named: NamedVoice, engines: Voice | None) -> Voice:
    base = engines or Voice(named.engine_voice, named.id, named.model, "")
    return replace(
        base,
        name=named.id,
        language=named.language or base.language,
        gender=named.gender or base.gender,
        description=named.description or base.description,
    )


def _named(row: Mapping[str, Any]) -> NamedVoice:
    return NamedVoice(
        row["id"],
        row["model"],
        row["engine_voice"],
        row["language"],
        row["gender"],
        row["description"],
        row["tenant"],
        row["active"],
        row["created"],
    )


def _values(named: NamedVoice) -> tuple[object, ...]:
    return (
        named.id,
        named.model,
        named.engine_voice,
        named.language,
        named.gender,
        named.description,
        named.tenant,
        named.active,
    )
