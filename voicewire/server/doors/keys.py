"""`/v1/keys`: the API keys of the caller's tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from voicewire.accounts.keys import OVERLAP_S_MAX, PAGE_MAX, Change, Keys, Made, Maker, Wish
from voicewire.auth.keys import KeyLimits, KeyRecord, utc_now
from voicewire.server.callers import Callers
from voicewire.server.doors.description import declared
from voicewire.server.doors.texts import Body, Items, Label, Moment

COUNT_MAX = 2**31 - 1

Count = Annotated[int | None, Field(ge=1, le=COUNT_MAX, strict=True)]
Scopes = Annotated[list[Annotated[str, Field(max_length=50)]], Field(max_length=50)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]

EXAMPLE: dict[str, Any] = {
    "id": "k3j5q2wd",
    "tenant": "t_5f0c9a3e77b1d246",
    "label": "the reading app",
    "environment": "live",
    "scopes": ["speak", "voices:read"],
    "limits": {"streams": 2, "requests_minute": 30},
    "user": "u_1b2c3d4e5f607182",
    "created": "2026-03-01T09:00:00Z",
    "expires": None,
    "revoked": None,
    "last_used": "2026-03-02T17:45:12Z",
    "replaces": "",
    "in_force": True,
}


class KeyLimitsInfo(Body):
    """What a key may have less of than its tenant; what is left out or null: as much."""

    streams: Count = None
    contexts: Count = None
    text_chars: Count = None
    requests_minute: Count = None
    models: Annotated[list[Label] | None, Field(max_length=100)] = None

    def limits(self) -> KeyLimits | None:
        found = KeyLimits(
            self.streams,
            self.contexts,
            self.text_chars,
            self.requests_minute,
            None if self.models is None else frozenset(self.models),
        )
        return None if found == KeyLimits() else found


class KeyInfo(BaseModel):
    """A key, without the key."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    id: str
    tenant: str
    label: str
    environment: Literal["live", "test"]
    scopes: list[str]
    limits: KeyLimitsInfo | None
    user: str
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    last_used: datetime | None
    replaces: str
    in_force: bool

    @classmethod
    def of(cls, record: KeyRecord) -> KeyInfo:
        return cls.model_validate(_fields(record))


class KeyMade(KeyInfo):
    """A new key. `key` is shown this once."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"key": "vw_live_k3j5q2wd_" + "x" * 43, **EXAMPLE, "last_used": None}]}
    )

    key: str

    @classmethod
    def made(cls, made: Made) -> KeyMade:
        return cls.model_validate({"key": made.key, **_fields(made.record)})


class NewKey(Body):
    """What a key is to be. Without `scopes`, what a program that speaks needs."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"label": "the reading app", "scopes": ["speak"], "limits": {"streams": 2}}]}
    )

    label: Label = ""
    environment: Literal["live", "test"] = "live"
    scopes: Scopes | None = None
    limits: KeyLimitsInfo | None = None
    expires: Moment | None = None


class KeyChange(Body):
    """What is to be different; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"label": "the old reading app", "limits": None}]})

    label: Label = ""
    scopes: Scopes = Field(default_factory=list)
    limits: KeyLimitsInfo | None = None
    expires: Moment | None = None

    def change(self) -> Change:
        given: dict[str, object] = {name: getattr(self, name) for name in self.model_fields_set}
        if "scopes" in given:
            given["scopes"] = frozenset(self.scopes)
        if "limits" in given:
            given["limits"] = self.limits.limits() if self.limits else None
        return Change(**given)  # type: ignore[arg-type]  # pydantic has checked each


class Rotation(Body):
    """How long the old key stays good beside the new one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap_s": 86_400}]})

    overlap_s: Annotated[int, Field(ge=0, le=OVERLAP_S_MAX, strict=True)] = 24 * 3_600


def _fields(record: KeyRecord) -> dict[str, object]:
    fields = {name: getattr(record, name) for name in KeyInfo.model_fields if hasattr(record, name)}
    limits = KeyLimitsInfo(**msgspec.to_builtins(record.limits)) if record.limits else None
    return fields | {"scopes": sorted(record.scopes), "limits": limits, "in_force": not record.ended(utc_now())}


@dataclass(frozen=True, slots=True)
class KeyDoors:
    """The endpoints."""

    keys: Keys
    callers: Callers

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1/keys", tags=["keys"])
        add = router.add_api_route
        add("", self.page, methods=["GET"], response_model=Items[KeyInfo])
        add("", self.make, methods=["POST"], status_code=201, response_model=KeyMade)
        add("/{key_id}", self.get, methods=["GET"], response_model=KeyInfo)
        add("/{key_id}", self.change, methods=["PATCH"], response_model=KeyInfo)
        add("/{key_id}", self.revoke, methods=["DELETE"], status_code=204)
        add(
            "/{key_id}/rotate",
            self.rotate,
            methods=["POST"],
            status_code=201,
            response_model=KeyMade,
            responses=declared("conflict"),
        )
        return router

    async def page(self, request: Request, before: str = "", limit: Limit = PAGE_MAX) -> Items[KeyInfo]:
        """List the keys, the latest first; `before` is the `next` of the page before."""
        principal = await self.callers.require(request, "keys:read")
        records = await self.keys.page(principal.tenant, before, limit)
        return Items.of([KeyInfo.of(record) for record in records], limit, records[-1].id if records else "")

    async def make(self, request: Request, body: NewKey) -> KeyMade:
        """Make a key, with no more scopes than the caller has. The answer is the only place where it stands."""
        principal = await self.callers.require(request, "keys:write")
        wish = Wish(
            body.label,
            body.environment,
            None if body.scopes is None else frozenset(body.scopes),
            body.limits.limits() if body.limits else None,
            body.expires,
        )
        return KeyMade.made(await self.keys.make(Maker.of(principal), wish))

    async def get(self, request: Request, key_id: str) -> KeyInfo:
        """Return one key."""
        principal = await self.callers.require(request, "keys:read")
        return KeyInfo.of(await self.keys.get(principal.tenant, key_id))

    async def change(self, request: Request, key_id: str, body: KeyChange) -> KeyInfo:
        """Change a key; it holds everywhere within 5 s."""
        principal = await self.callers.require(request, "keys:write")
        return KeyInfo.of(await self.keys.change(Maker.of(principal), key_id, body.change()))

    async def revoke(self, request: Request, key_id: str) -> None:
        """Make a key worthless, for good, everywhere within 5 s."""
        principal = await self.callers.require(request, "keys:write")
        await self.keys.revoke(Maker.of(principal), key_id)

    async def rotate(self, request: Request, key_id: str, body: Rotation) -> KeyMade:
        """Make a key like another, which stays good for the overlap."""
        principal = await self.callers.require(request, "keys:write")
        return KeyMade.made(await self.keys.rotate(Maker.of(principal), key_id, body.overlap_s))
