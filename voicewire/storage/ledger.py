"""What is spoken is paid for: holds, bills and what is left, in Redis, exact to the millisecond whatever is killed."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from voicewire.errors import Busy


class Item(Struct, frozen=True):
    """A block of a stream: what a hold, a bill and each of their repeats are known by, and what usage says of it."""

    tenant: str
    stream: str
    block: int
    model: str
    voice: str
    key: str
    cached: bool = False


class Reserved(Struct, frozen=True):
    """The answer to `reserve`. `left_ms` is None where nothing limits the tenant, or nobody can be asked."""

    ok: bool
    hold_ms: int
    left_ms: int | None = None


class Ledger:
    """The meter's side of the ledger. `ms` are credit, `audio_ms` sound: of the whole block, not since the last call."""

    async def reserve(self, item: Item, want_ms: int, least_ms: int, *, metered: bool) -> Reserved:
        """Hold `want_ms`, or what is left where that is at least `least_ms`; refuse otherwise.

        Raises `Busy` within a second when Redis cannot be asked, unless the tenant is not `metered`.
        """
        raise Busy(retry_after_ms=1_000)

    async def touch(self, pairs: Sequence[tuple[Item, int, int]]) -> None:
        """Tell what was delivered so far, `(item, ms, audio_ms)` each, and put off the end of the holds."""

    async def settle(self, item: Item, ms: int, audio_ms: int) -> int | None:
        """Bill a block: nothing more will be delivered of it. Return what is left to the tenant, if it can be said."""
        return None

    async def park(self, item: Item, ms: int, audio_ms: int) -> int | None:
        """Bill what was delivered of a block and free its hold; more may come after a resume. As `settle`."""
        return None

    async def amend(self, item: Item, ms: int, audio_ms: int) -> int | None:
        """Lower what was billed for a block: a cancel said that less was heard. As `settle`."""
        return None

    async def left(self, tenant: str) -> int | None:
        """Return what is left to a tenant, holds included. Raises `Busy` when nobody can be asked."""
        raise Busy(retry_after_ms=1_000)

    async def grant(self, grant_id: str) -> None:
        """Add a row of `grants` to its tenant's account in Redis, once. Raises `Busy`; the sweep will do it then."""

    async def reverse(self, grant_id: str, ms: int | None = None) -> int:
        """Take back what is left of a grant, `ms` at most, once; return how much that was. Raises `Busy`."""
        raise Busy(retry_after_ms=1_000)
