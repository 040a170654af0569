"""What a caller may do by its plan, asked before anything is done for it, over HTTP and on the socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voicewire.auth.principal import Limits, Principal
from voicewire.catalogue import require_model
from voicewire.errors import BadRequest, Busy, OverQuota
from voicewire.server.leases import Leases
from voicewire.server.strangers import group_of
from voicewire.storage.buckets import Buckets
from voicewire.storage.rates import Bucket, Lease, Places, Rates, Taken

UNCOUNTED = 1_000_000
"""So many requests a minute, or streams, are no limit: then Redis is not asked."""

GENERAL_MINUTE = 600  # of requests that are not for speech, at least …
GENERAL_TIMES = 10  # … and so many for each that is
WINDOW_S = 60
ENDING_S = 0.2  # a connection that its client has closed may end so much later here


class Limiter:
    """Counts a caller in its tenant's plan, and in its key where that may have less.

    Raises `OverQuota` with `retry_after_ms`. Over HTTP the answer says how much is left. `terms` is asked before
    anybody speaks; it raises `Forbidden`.
    """

    def __init__(
        self,
        rates: Rates,
        leases: Leases,
        limits: Callable[[str], Awaitable[Limits]],
        terms: Callable[[Principal], Awaitable[None]] | None = None,
    ) -> None:
        self._rates = rates
        self._leases = leases
        self.limits_of = limits
        self._terms = terms
        self._here = Buckets()

    async def admit_context(self, principal: Principal) -> Taken | None:
        """Count one utterance on the socket; return what is left, None where nobody counts."""
        buckets, _ = await self._counts(principal)
        if not buckets:
            return None
        taken = await self._rates.admit(principal.tenant, buckets)
        _refuse(taken)
        return taken

    async def enter(self, principal: Principal, stream: str, replaces: str = "") -> None:
        """Take a place for a connection, until `leave`; also for one that goes on with what `replaces` was."""
        await self._agree(principal)
        _, places = await self._counts(principal)
        if places:
            _refuse(await self._take(Lease(principal.tenant, stream, places, replaces)))

    def leave(self, stream: str) -> None:
        """Give the place of a connection or of a request back."""
        self._leases.drop(stream)

    async def left(self) -> None:
        """Wait until what was given back is free for others, or Redis cannot be told."""
        await self._leases.give_back()

    async def speech(self, request: Request, principal: Principal, stream: str, chars: int, model: str) -> None:
        """Count a request that speaks, and take a place for it, until `leave`.

        Raises also as `allow`.
        """
        await self.allow(principal, chars, model)
        buckets, places = await self._counts(principal)
        if buckets or places:
            taken = await self._take(Lease(principal.tenant, stream, places), buckets)
            _tell(request, taken)
            _refuse(taken)

    async def allow(self, principal: Principal, chars: int, model: str) -> None:
        """Raise `BadRequest` for a text that is too long, `Forbidden` for a model that the plan lacks, or for terms."""
        if chars > principal.limits.text_chars:
            raise BadRequest("text_too_long", limit=principal.limits.text_chars)
        require_model(principal.limits.models, model)
        await self._agree(principal)

    def general(self, principal: Principal) -> None:
        """Count any request, on this gateway alone: nobody may keep it busy with what costs no credit."""
        most = max(GENERAL_MINUTE, GENERAL_TIMES * principal.limits.requests_minute)
        step_us = Bucket("", most).step_us
        now_us = time.monotonic_ns() // 1_000
        level = self._here.take(f"{principal.tenant}:{principal.id}", step_us, most, now_us)
        if level.wait_us:
            raise OverQuota(retry_after_ms=level.wait_us // 1_000 + 1)

    async def stranger(self, request: Request, what: str, per_minute: int) -> None:
        """Count a request of somebody unknown by the address it comes from. Raises `Busy` while Redis is away."""
        address = group_of(request.client.host) if request.client else ""
        taken = await self._rates.take(f"{what}:{address}", per_minute, known=False)
        _tell(request, taken)
        _refuse(taken)

    async def _take(self, lease: Lease, buckets: Sequence[Bucket] = ()) -> Taken:
        """Take places; where they are full, ask once more: who reconnects at once is not to wait for its own end."""
        taken = await self._leases.take(lease, buckets)
        if taken.full:
            await asyncio.sleep(ENDING_S)
            await self.left()
            taken = await self._leases.take(lease, buckets)
        return taken

    async def _agree(self, principal: Principal) -> None:
        if self._terms is not None:
            await self._terms(principal)

    async def _counts(self, principal: Principal) -> tuple[list[Bucket], tuple[Places, ...]]:
        """Where a caller is counted: in its tenant, and apart if it may have less than that."""
        own = principal.limits
        try:
            plan = await self.limits_of(principal.tenant)
        except Busy:  # PostgreSQL is away: what it said when the caller came
            plan = own
        buckets = [Bucket("", plan.requests_minute)] if plan.requests_minute < UNCOUNTED else []
        places = [Places("", plan.streams)] if plan.streams < UNCOUNTED else []
        if own.requests_minute < plan.requests_minute:
            buckets.append(Bucket(principal.id, own.requests_minute))
        if own.streams < plan.streams:
            places.append(Places(principal.id, own.streams))
        return buckets, tuple(places)


def _refuse(taken: Taken) -> None:
    if taken.allowed:
        return
    if taken.full:
        raise OverQuota("too_many_streams", limit=taken.limit, retry_after_ms=taken.retry_after_ms)
    raise OverQuota(retry_after_ms=taken.retry_after_ms)


def _tell(request: Request, taken: Taken) -> None:
    if taken.limit and not taken.full:
        request.state.taken = taken


class RateFields:
    """Says in an answer what was counted: draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        def send_with_fields(message: Message) -> Awaitable[None]:
            taken: Taken | None = state.get("taken")
            if message["type"] == "http.response.start" and taken is not None:
                headers = MutableHeaders(scope=message)
                headers["RateLimit-Policy"] = f'"requests";q={taken.limit};w={WINDOW_S}'
                headers["RateLimit"] = f'"requests";r={taken.remaining};t={taken.reset_s}'
            return send(message)

        await self._app(scope, receive, send_with_fields)
