"""The public keys of one OpenID Connect issuer: fetched seldom, kept over a rotation, never named by a token.

RFC 7517. A token's `kid` is only ever a key of a dict; where keys come from, only the issuer's own document says.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from voicewire.errors import VoicewireError

if TYPE_CHECKING:
    from voicewire.auth.signatures import Key

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
        self._asked_s = LONG_AGO
        self._fresh_s = LONG_AGO
        self._problem: VoicewireError | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str, *, from_issuer: bool = False) -> Key | None:
        """Return the key named `kid`, or None; "" names the only one. Raises what `fetch` did where none was ever had.

        `from_issuer` says that the token came from the issuer itself, for a person who logs in, and not from a caller.
        A key that such a one names is asked for at once: nobody can invent it, and no login may fail for a new key.
        """
        key, old = self._find(kid), self._clock() - self._fresh_s >= REFRESH_S
        if key and not old:
            return key
        answered = True
        if self._fetching or self._clock() - self._asked_s >= FETCH_EVERY_S:
            answered = await self._refresh()
            key = self._find(kid)
        if key is None and from_issuer and answered:  # maybe before the key was there
            await self._refresh()
            key = self._find(kid)
        if not self._held and self._problem:
            raise self._problem
        return key

    async def aclose(self) -> None:
        """End a fetch that is under way."""
        if self._fetching:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _find(self, kid: str) -> Key | None:
        if not kid and len(self._held) == 1:
            (kid,) = self._held
        return self._held[kid].key if kid in self._held else None

    async def _refresh(self) -> bool:
        if self._fetching is None:
            self._asked_s = self._clock()
            self._fetching = asyncio.create_task(self._run(), name="jwks")
        await asyncio.shield(self._fetching)  # one caller who goes away must not end it for the others
        return self._problem is None

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
