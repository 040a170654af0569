"""Who does the jobs: so many texts at once, each on a lease while somebody works, and tried again after a fault."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable

from voicewire.errors import Busy, EngineFailed, OverQuota, VoicewireError
from voicewire.server.jobs.records import Item
from voicewire.server.jobs.speaking import Progress, Speaker
from voicewire.server.jobs.work import Lost, Work

LOGGER = logging.getLogger(__name__)

POLL_S = 2.0  # to look for texts of other gateways, and for those whose time has come
BEAT_S = 1.0  # to keep the lease, and to hear of a cancel
TRIES_MAX = 4
RETRY_S = 2.0  # after the first fault, then twice that …
AWAY_S = 2.0  # where nothing is wrong with the text


class Runner:
    """Does jobs while the gateway lets in: `slot` is one text at a time, for ever."""

    def __init__(
        self, work: Work, speaker: Speaker, count: Callable[[str], None], draining: Callable[[], bool]
    ) -> None:
        self._work = work
        self._speaker = speaker
        self._count = count
        self._draining = draining
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    async def slot(self) -> None:
        """Do one text after the other."""
        while True:
            item = None
            with contextlib.suppress(Busy):
                item = None if self._draining() else await self._work.claim()
            if item is None:
                await self._idle()
            else:
                await self._do(item)

    async def _idle(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_S * (0.5 + random.random())):  # noqa: S311 - so that gateways do not ask at once
                await self._wake.wait()
        self._wake.clear()

    async def _do(self, item: Item) -> None:
        """Speak a text, and see to it that however it ends, somebody knows."""
        progress = Progress(time.monotonic() + self._work.lease_s, item.manner.rate_hz, blocks=list(item.blocks))
        try:
            if item.tries >= TRIES_MAX:  # who had it died, and did so before
                await self._give_up(item, progress, VoicewireError())
                return
            await self._attended(item, progress)
            self._count("done")
        except Lost:
            self._count("lost")
            LOGGER.info("a text is not ours any more", extra={"job": item.job})
        except asyncio.CancelledError:
            await self._leave(item, 0.0, failed=False)
            raise
        except VoicewireError as error:
            await self._refused(item, progress, error)
        except Exception:
            LOGGER.exception("a text could not be spoken", extra={"job": item.job})
            await self._fault(item, progress, VoicewireError())

    async def _attended(self, item: Item, progress: Progress) -> None:
        """Speak a text while its lease is kept. Raises `Lost` soon after it is."""
        speaking = asyncio.create_task(self._speaker.speak(item, progress), name=f"job {item.job}")
        try:
            while not speaking.done():
                await asyncio.wait({speaking}, timeout=BEAT_S)
                if not speaking.done():
                    await self._beat(item, progress)
            await speaking
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)  # what it raised was told, or nobody waits for it

    async def _beat(self, item: Item, progress: Progress) -> None:
        asked = time.monotonic()
        with contextlib.suppress(Busy):  # while PostgreSQL is away nobody else can take it up
            await self._work.keep(item, progress.done_ms)
            progress.until = asked + self._work.lease_s

    async def _refused(self, item: Item, progress: Progress, error: VoicewireError) -> None:
        """An error that says what to do: wait, try again, or give up."""
        waits = isinstance(error, Busy) or (isinstance(error, OverQuota) and error.row.retryable)
        if waits:
            await self._leave(item, max(AWAY_S, (error.retry_after_ms or 0) / 1000), failed=False)
        elif isinstance(error, EngineFailed):
            await self._fault(item, progress, error)
        else:
            await self._give_up(item, progress, error)

    async def _fault(self, item: Item, progress: Progress, error: VoicewireError) -> None:
        if item.tries + 1 >= TRIES_MAX:
            await self._give_up(item, progress, error)
        else:
            await self._leave(item, RETRY_S * 2**item.tries, failed=True)

    async def _leave(self, item: Item, wait_s: float, *, failed: bool) -> None:
        self._count("again")
        with contextlib.suppress(Busy, Lost):  # then the lease runs out
            await self._work.postpone(item, wait_s, failed=failed)

    async def _give_up(self, item: Item, progress: Progress, error: VoicewireError) -> None:
        LOGGER.warning("a text of a job is given up", extra={"job": item.job, "code": error.row_code})
        self._count("failed")
        with contextlib.suppress(Busy, Lost):
            await self._speaker.give_back(item, progress)
            await self._work.fail(item, error)
