"""`/v1/usage` and `/v1/transactions`: what the caller's tenant used, and what became of its balance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from voicewire.accounts.usage import ID_MAX, PAGE_MAX, By, Line, Span, Transaction, as_csv, total, transactions, usage
from voicewire.auth.keys import utc_now
from voicewire.server.callers import Callers
from voicewire.server.doors.texts import Items
from voicewire.storage.store import Store

TABLE = "text/csv; charset=utf-8"

First = Annotated[date | None, Query(alias="from", description="first day, UTC; the default is 29 days before `to`")]
Last = Annotated[date | None, Query(alias="to", description="last day, included; the default is today")]
Form = Annotated[Literal["json", "csv"], Query(alias="format")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Before = Annotated[int | None, Query(ge=0, le=ID_MAX, description="the `next` of the page before")]

LINE: dict[str, Any] = {
    "name": "2026-03-01",
    "label": "",
    "requests": 12,
    "audio_ms": 63_400,
    "charged_ms": 63_400,
    "cached_ms": 8_200,
}
CSV_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}, "example": "day,label,requests,audio_ms,…"}}}
}


class UsageLine(BaseModel):
    """What was used. `name` is a day, a model, a voice, or the id of a key, whose `label` stands beside it.

    `audio_ms` is sound that was handed over, `cached_ms` the part of it that had been made before, `charged_ms` what
    it cost.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [LINE]})

    name: str
    label: str
    requests: int
    audio_ms: int
    charged_ms: int
    cached_ms: int

    @classmethod
    def of(cls, line: Line) -> UsageLine:
        return cls(**line._asdict())


class Usage(BaseModel):
    """Sums over the days `from` to `to`, both included. Days are UTC."""

    by: By
    first: date = Field(serialization_alias="from")
    last: date = Field(serialization_alias="to")
    items: list[UsageLine]
    total: UsageLine


class TransactionInfo(BaseModel):
    """A stream that was spoken (`use`), or one change: `refund`, `grant`, `lapse`, `reverse`.

    `ms` is taken from the balance, below 0 given to it. `note` says what the grant was given for.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 4711,
                    "kind": "use",
                    "stream": "s_mZ2cA0m0dQm1.0",
                    "begins": "2026-03-01T09:00:00Z",
                    "ends": "2026-03-01T09:00:31Z",
                    "ms": 31_200,
                    "audio_ms": 31_200,
                    "cached_ms": 0,
                    "blocks": 9,
                    "grant": "",
                    "model": "kokoro",
                    "voice": "af_bella",
                    "key": "k3j5q2wd",
                    "note": "",
                }
            ]
        }
    )

    id: int
    kind: Literal["use", "refund", "grant", "lapse", "reverse"]
    stream: str
    begins: datetime
    ends: datetime
    ms: int
    audio_ms: int
    cached_ms: int
    blocks: int
    grant: str
    model: str
    voice: str
    key: str
    note: str

    @classmethod
    def of(cls, transaction: Transaction) -> TransactionInfo:
        return cls.model_validate(transaction._asdict())


@dataclass(frozen=True, slots=True)
class UsageDoors:
    """The endpoints."""

    store: Store
    callers: Callers
    now: Callable[[], datetime] = utc_now

    def router(self) -> APIRouter:
        router = APIRouter(tags=["usage"])
        add = router.add_api_route
        add("/v1/usage", self.usage, methods=["GET"], response_model=Usage, responses=CSV_ANSWER)
        add("/v1/transactions", self.transactions, methods=["GET"], response_model=Items[TransactionInfo])
        return router

    async def usage(
        self,
        request: Request,
        by: Literal["day", "model", "voice", "key"] = "day",
        first: First = None,
        last: Last = None,
        form: Form = "json",
    ) -> Response | Usage:
        """Sum up what was used, by day, model, voice or key, over at most 400 days."""
        principal = await self.callers.require(request, "usage:read")
        span = Span.of(first, last, self.now().date())
        return await answer(self.store, by, span, form, principal.tenant)

    async def transactions(self, request: Request, before: Before = None, limit: Limit = 50) -> Items[TransactionInfo]:
        """List what became of the balance, the latest first: streams spoken, grants, refunds, and what lapsed."""
        principal = await self.callers.require(request, "usage:read")
        found = await transactions(self.store, principal.tenant, before, limit)
        return Items.of([TransactionInfo.of(each) for each in found], limit, str(found[-1].id) if found else "")


async def answer(store: Store, by: By, span: Span, form: str, tenant: str) -> Response | Usage:
    """Return the sums in the form that was asked for; of one tenant, or of all."""
    lines = await usage(store, by, span, tenant)
    if form == "csv":
        name = f"usage-{by}-{span.first}-{span.last}.csv"
        return Response(
            as_csv(by, lines), media_type=TABLE, headers={"Content-Disposition": f"attachment; filename={name}"}
        )
    everything = await total(store, span, tenant)
    return Usage(
        by=by,
        first=span.first,
        last=span.last,
        items=[UsageLine.of(line) for line in lines],
        total=UsageLine.of(everything),
    )
