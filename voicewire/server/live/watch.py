"""Whoever was let in is looked at again: a revoked key or an expired token ends its live sessions within 5 s."""

from __future__ import annotations

import asyncio

from voicewire.accounts.key_cache import KEYS_OF_TENANT_TOPIC, KEYS_TOPIC
from voicewire.accounts.news import News
from voicewire.accounts.plans import PLANS_TOPIC, TENANTS_TOPIC
from voicewire.accounts.users import PEOPLE_TOPIC
from voicewire.auth.authenticate import Authenticator
from voicewire.auth.principal import Principal
from voicewire.errors import Busy, Forbidden, Unauthorized
from voicewire.server.live.live import Live
from voicewire.server.live.sessions import Sessions

TOPICS = (KEYS_TOPIC, KEYS_OF_TENANT_TOPIC, PEOPLE_TOPIC, TENANTS_TOPIC, PLANS_TOPIC)
EVERY_S = 4.0
UNSURE_S = 2.0  # while the news are not heard: keys are then remembered for 2 s
REST_S = 0.2  # between two looks, however much changes
AT_ONCE = 500


class Watch:
    """Looks at every live session of this process when something changes, and every few seconds."""

    def __init__(self, sessions: Sessions, authenticator: Authenticator, news: News) -> None:
        self._sessions = sessions
        self._authenticator = authenticator
        self._news = news
        self._woken = asyncio.Event()
        for topic in TOPICS:
            news.on(topic, lambda _: self._woken.set())

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                async with asyncio.timeout(EVERY_S if self._news.live else UNSURE_S):
                    await self._woken.wait()
            except TimeoutError:
                pass  # nothing changed; tokens may have expired
            self._woken.clear()
            await self.look()
            await asyncio.sleep(REST_S)

    async def look(self) -> None:
        """Close the sessions of whoever may not speak any more; the others get the limits of now."""
        callers: dict[Principal, list[Live]] = {}
        for live in self._sessions:
            callers.setdefault(live.principal, []).append(live)
        waiting = list(callers.items())
        while waiting:
            now, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
            await asyncio.gather(*(self._look_at(principal, lives) for principal, lives in now))

    async def _look_at(self, principal: Principal, lives: list[Live]) -> None:
        try:
            fresh = await self._authenticator.confirm(principal)
            fresh.require("speak")
        except (Unauthorized, Forbidden) as error:
            for live in lives:
                live.expel(error)
        except Busy:
            pass  # it cannot be known now: who was let in goes on
        else:
            for live in lives:
                live.confirm(fresh)
