"""Looks after who is on a socket: a key that was revoked, or a login that ended, ends what it let in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from voicewire import frames
from voicewire.auth.principal import Principal
from voicewire.errors import Busy, Unauthorized
from voicewire.server.sessions import Sessions

INTERVAL_S = 3.0  # promised: closed within 5 s of the revocation


class Confirms(Protocol):
    """Knows whether a credential is still good; `auth.authenticate.Authenticator` is the real one."""

    async def confirm(self, principal: Principal) -> object: ...


class Watch:
    """Asks about everybody who is on a socket, once for each credential. `clock` is the time of day."""

    def __init__(
        self,
        sessions: Sessions,
        confirms: Confirms,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sessions = sessions
        self._confirms = confirms
        self._interval_s = interval_s
        self._clock = clock

    async def run(self) -> None:
        """Look every few seconds, for ever."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.look()

    async def look(self) -> None:
        """End the sessions of those who may not be here any more."""
        principals = {live.principal for live in self._sessions}
        gone = {principal for principal in principals if not await self._good(principal)}
        for live in self._sessions:
            if live.principal in gone:
                live.send(frames.Error.of(Unauthorized()))
                live.close(Unauthorized())

    async def _good(self, principal: Principal) -> bool:
        if principal.expires is not None and principal.expires <= self._clock():
            return False
        try:
            await self._confirms.confirm(principal)
        except Unauthorized:
            return False
        except Busy:  # who knows is away; those who are here stay until it is back
            pass
        return True
