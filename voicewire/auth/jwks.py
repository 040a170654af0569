"""The public keys of one OpenID Connect issuer: fetched seldom, kept over a rotation, never named by a token.

RFC 7517. A token's `kid` is only ever a key of a dict; where keys come from, only the issuer's own document says.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from voicewire.auth.tokens import Key
from voicewire.errors import VoicewireError

LOGGER = logging.getLogger(__name__)

FETCH_EVERY_S = 30.0  # at most: a stranger can invent a kid with every request
REFRESH_S = 300.0  # a set this old is asked for again, so that a key which was withdrawn ends
KEEP_S = 600.0  # how long a key that left the set still counts: tokens that it signed are under way
LONG_AGO = float("-inf")


class _Held(NamedTuple):
    key: Key
    seen_s: float  # when the issuer's set last had it


class KeySet:
    """The keys of one issuer by `kid`; `fetch` returns the set as it is now.

    While the issuer is away its keys stay good: an issuer that is down must not end what it allowed.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[Mapping[str, Key]]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._asked_s = {False: LONG_AGO, True: LONG_AGO}
        self._fresh_s = LONG_AGO
        self._problem: VoicewireError | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str, *, from_issuer: bool = False) -> Key | None:
        """Return the key named `kid`, or None; "" names the only one. Raises what `fetch` did where none was ever had.

        `from_issuer` says that the token came straight from the issuer and not from a caller. Such a one has a fetch
        every 30 s of its own: strangers who invent names must not keep a person from logging in with a key that is new.
        """
        key, old = self._find(kid), self._clock() - self._fresh_s >= REFRESH_S
        if (key and not old) or not self._may_ask(from_issuer):
            return self._unless_none(key)
        await self._refresh(from_issuer)
        return self._unless_none(self._find(kid))

    async def aclose(self) -> None:
        """End a fetch that is under way."""
        if self._fetching:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _find(self, kid: str) -> Key | None:
        if not kid and len(self._held) == 1:
            (kid,) = self._held
        return self._held[kid].key if kid in self._held else None

    def _unless_none(self, key: Key | None) -> Key | None:
        if not self._held and self._problem:
            raise self._problem
        return key

    def _may_ask(self, from_issuer: bool) -> bool:
        return self._fetching is not None or self._clock() - self._asked_s[from_issuer] >= FETCH_EVERY_S

    async def _refresh(self, from_issuer: bool) -> None:
        if self._fetching is None:
            self._asked_s[from_issuer] = self._clock()
            self._fetching = asyncio.create_task(self._run(), name="jwks")
        await asyncio.shield(self._fetching)  # one caller who goes away must not end it for the others

    async def _run(self) -> None:
        try:
            self._take(await self._fetch())
        except VoicewireError as error:
            self._problem = error
            LOGGER.warning("an issuer's keys stay as they were: %s", error)
        finally:
            self._fetching = None

    def _take(self, keys: Mapping[str, Key]) -> None:
        self._problem, self._fresh_s = None, self._clock()
        self._held |= {kid: _Held(key, self._fresh_s) for kid, key in keys.items()}
        self._held = {kid: held for kid, held in self._held.items() if self._fresh_s - held.seen_s < KEEP_S}
