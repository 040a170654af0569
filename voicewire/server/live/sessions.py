"""The live sessions of this gateway: who is let in, how a session begins, and how it goes on elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial

from voicewire import frames
from voicewire.auth.principal import Principal
from voicewire.catalogue import Current, Names
from voicewire.errors import RETRY_MS, Busy, Gone, OverQuota
from voicewire.server.limits import Limiter
from voicewire.server.live.journal import Claimed, token_hash
from voicewire.server.live.live import Identity, Live, Socket
from voicewire.server.live.machinery import Machinery
from voicewire.server.live.outbox import Outbox, Translate
from voicewire.session import Session

LOGGER = logging.getLogger(__name__)

SESSION_BYTES = 12
TOKEN_BYTES = 32
LEAVING_AT_ONCE = 32  # sessions written to Redis beside each other when the server stops …
LEAVE_S = 10.0  # … and how long that may take in all


@dataclass(frozen=True, slots=True)
class Admission:
    """How many may come in."""

    streams_max: int
    outbox_bytes_max: int


class Sessions:
    """Every session that is on a connection of this process, by id."""

    def __init__(
        self, machinery: Machinery, admission: Admission, limiter: Limiter, catalogue: Callable[[str], Names]
    ) -> None:
        self.draining = False
        self._machinery = machinery
        self._admission = admission
        self._limiter = limiter
        self._catalogue = catalogue  # of a tenant
        self._live: dict[str, Live] = {}
        self._by_principal: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Live]:
        return iter([*self._live.values()])

    def admit(self) -> None:
        """Raise `Busy` when no further connection may come in."""
        if self.draining:
            raise Busy("draining", retry_after_ms=RETRY_MS)
        if len(self._live) >= self._admission.streams_max:
            raise Busy(retry_after_ms=RETRY_MS)

    async def begin(self, wire: Socket, principal: Principal, translate: Translate | None = None) -> Live:
        """Start a new session, in another dialect if need be.

        Raises `OverQuota` when its principal has too many, and as `admit`.
        """
        token = secrets.token_urlsafe(TOKEN_BYTES)
        identity = Identity(f"s_{secrets.token_urlsafe(SESSION_BYTES)}", token, 1, principal)
        async with self._place(identity.session, identity.owner, principal):
            ready = await self._ready(identity, resumed=False)
            self.admit()  # once more: who said late who they are may come behind others, or behind a signal
            live = self._enter(wire, identity, translate)
        live.begin(ready)
        return live

    async def claim(self, message: frames.Resume) -> tuple[Identity, Claimed] | None:
        """Take a session from the connection that had it; None when it is gone or the proof is wrong.

        Raises `Busy` as `admit`: another gateway can go on with it.
        """
        before = self._live.get(message.session)
        if before is None or self.draining:
            self.admit()
        if before is not None:
            if not hmac.compare_digest(before.token_hash, token_hash(message.resume_token)):
                return None
            before.fenced()
            await before.leave(resumable=True)
            self.remove(before)
        claimed = await self._machinery.journal.claim(message.session, message.resume_token)
        if claimed is None:
            return None
        return Identity(message.session, message.resume_token, claimed.owner, claimed.record.principal), claimed

    async def resume(self, wire: Socket, identity: Identity, claimed: Claimed, received: dict[str, int]) -> Live:
        """Go on with a claimed session behind the frames that were `received`, by context. Raises `OverQuota`."""
        async with self._place(identity.session, identity.owner, identity.principal):
            ready = await self._ready(identity, resumed=True)
            live = self._enter(wire, identity)
        live.session.channels = claimed.record.channels
        live.restore(ready, claimed.contexts, received, time.monotonic())
        return live

    def add(self, live: Live) -> None:
        """Count a session in; raises `OverQuota` when its principal has too many."""
        principal = live.principal
        if self._by_principal[principal.id] >= principal.limits.streams:
            raise OverQuota("too_many_streams", limit=principal.limits.streams)
        self._live[live.id] = live
        self._by_principal[principal.id] += 1

    def remove(self, live: Live) -> None:
        """Forget a session that left; twice is as good as once."""
        if self._live.get(live.id) is live:
            del self._live[live.id]
            self._limiter.leave(_place_of(live.id, live.owner))
            self._by_principal[live.principal.id] -= 1
            if not self._by_principal[live.principal.id]:
                del self._by_principal[live.principal.id]

    async def step_aside(self, live: Live) -> None:
        """Forget a session for now, and free its place before another asks for one."""
        self.remove(live)
        await self._limiter.left()

    async def come_back(self, live: Live) -> None:
        """Count a session in that had stepped aside. Raises `OverQuota`."""
        async with self._place(live.id, live.owner, live.principal):
            self.add(live)

    def drain(self, reconnect_ms: int) -> None:
        """Let nobody in any more, and tell everybody."""
        self.draining = True
        for live in list(self._live.values()):
            live.send(frames.Draining(reconnect_ms))

    @property
    def speaking(self) -> int:
        """Sessions with an utterance that is not done."""
        return sum(1 for live in self._live.values() if live.session.contexts)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for the peer for whom most do."""
        return max((live.waiting_bytes for live in self._live.values()), default=0)

    async def leave(self) -> None:
        """End every session, so that it can go on elsewhere; a Redis that hangs does not hold up the end for long."""
        leaving = iter(list(self._live.values()))

        async def leave_some() -> None:
            for live in leaving:
                await live.leave(resumable=True)
                self.remove(live)

        try:
            async with asyncio.timeout(LEAVE_S):
                await asyncio.gather(*(leave_some() for _ in range(LEAVING_AT_ONCE)))
        except TimeoutError:
            LOGGER.warning("%d sessions were not kept in time and cannot be resumed", len(self))

    @contextlib.asynccontextmanager
    async def _place(self, session: str, owner: int, principal: Principal) -> AsyncIterator[None]:
        """Take the place of a session among those of its tenant, given back if it does not come to one."""
        place, before = _place_of(session, owner), _place_of(session, owner - 1)
        await self._limiter.enter(principal, place, before)
        try:
            yield
        except BaseException:
            self._limiter.leave(place)
            raise

    def _enter(self, wire: Socket, identity: Identity, translate: Translate | None = None) -> Live:
        before = self._live.get(identity.session)
        if before is not None:  # resumed twice at once: the later claim owns it, whichever comes here first
            if before.owner > identity.owner:
                raise Gone("resumed_elsewhere")
            before.fenced()
            self.remove(before)
        tenant, limits = identity.principal.tenant, self._machinery.settings.limits_of(identity.principal)
        weight = identity.principal.limits.weight
        first_chars = partial(self._machinery.pipeline.first_chars, tenant=tenant, weight=weight)
        session = Session(limits, Current(lambda: self._catalogue(tenant)), first_chars)
        outbox = Outbox(wire, self._admission.outbox_bytes_max, translate)
        live = Live(self._machinery, identity, session, outbox, wire)
        self.add(live)
        return live

    async def _ready(self, identity: Identity, *, resumed: bool) -> frames.Ready:
        limits = self._machinery.settings.limits_of(identity.principal).declared()
        balance_ms = await self._machinery.meter.balance_ms(identity.principal)
        return frames.Ready(identity.session, identity.token, resumed, limits, balance_ms)


def _place_of(session: str, owner: int) -> str:
    """What a session's place is called while a connection owns it: who took it over must not lose it to who had it."""
    return f"{session}:{owner}"
