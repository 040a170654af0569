"""No place at all: clips live in memory only."""

from __future__ import annotations

from voicewire.cache.base import Held, Kept, Read, Write


class Noop:
    """See `Backend`."""

    writes_at_once = 0
    far = False

    @property
    def held(self) -> Held:
        return Held()

    async def open(self) -> None:
        """Nothing is to be made ready."""

    async def close(self) -> None:
        """Nothing is open."""

    async def refresh(self) -> None:
        """Nothing is there."""

    def may_have(self, key: bytes) -> bool:  # noqa: ARG002 - it has none
        return False

    async def get(self, key: bytes, read: Read) -> Kept | None:  # noqa: ARG002 - it has none
        return None

    async def has(self, key: bytes) -> bool:  # noqa: ARG002 - it has none
        return False

    async def put(self, key: bytes, write: Write) -> None:
        """Nothing is kept."""

    async def discard(self, key: bytes) -> None:
        """Nothing is there."""
