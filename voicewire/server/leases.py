"""The places that this gateway's streams hold among those of their tenants, on all gateways together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence

from redis.exceptions import RedisError

from voicewire.storage.rates import RENEW_S, Bucket, Lease, Rates, Taken

LOGGER = logging.getLogger(__name__)


class Leases:
    """Takes places at once; renews them and gives them back in `run`, so that who leaves does not wait for Redis."""

    def __init__(self, rates: Rates, renew_s: float = RENEW_S) -> None:
        self._rates = rates
        self._renew_s = renew_s
        self._held: dict[str, Lease] = {}
        self._released: list[Lease] = []
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._held)

    async def take(self, lease: Lease, buckets: Sequence[Bucket] = ()) -> Taken:
        """Ask for the places of a stream, and with them for one request of each of `buckets`."""
        taken = await self._rates.admit(lease.tag, buckets, lease)
        if taken.allowed:
            self._held[lease.stream] = lease
        return taken

    def drop(self, stream: str) -> None:
        """Give the places of a stream back, in a moment; twice is as good as once."""
        lease = self._held.pop(stream, None)
        if lease is not None:
            self._released.append(lease)
            self._wake.set()

    async def run(self) -> None:
        """Renew and give back, until cancelled. Places of which Redis cannot be told are free within `LEASE_MS`."""
        clock = asyncio.get_running_loop().time
        due = clock() + self._renew_s
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            self._wake.clear()
            await self.give_back()
            if clock() >= due:
                due = clock() + self._renew_s
                await self._renew()

    async def give_back(self) -> None:
        """Tell Redis of all that was dropped; once, since places that are not renewed end by themselves."""
        released, self._released = self._released, []
        with _logged():
            if released:
                await self._rates.release(released)

    async def _renew(self) -> None:
        with _logged():
            await self._rates.renew(list(self._held.values()))


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        LOGGER.warning("the places of streams were not kept: %s", type(error).__name__)
