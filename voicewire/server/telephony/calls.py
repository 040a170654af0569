"""The calls that are being held here."""

from __future__ import annotations

from collections.abc import Iterator

from voicewire.errors import BadRequest
from voicewire.server.telephony.call import Call


class Calls:
    """By tenant, and their carriers' names: who says that a call is theirs keeps nobody else's out."""

    def __init__(self) -> None:
        self._here: dict[tuple[str, str], Call] = {}

    def __len__(self) -> int:
        return len(self._here)

    def __iter__(self) -> Iterator[Call]:
        return iter([*self._here.values()])

    def add(self, call: Call) -> None:
        """A call begins. Raises `BadRequest` where the tenant's of that name is being held."""
        if (call.tenant, call.id) in self._here:
            raise BadRequest("conflict")
        self._here[call.tenant, call.id] = call

    def remove(self, call: Call) -> None:
        """A call is over."""
        if self._here.get((call.tenant, call.id)) is call:
            del self._here[call.tenant, call.id]

    def find(self, id: str, tenant: str) -> Call | None:
        """Return a call of a tenant's own that has begun; to all others there is none."""
        call = self._here.get((tenant, id))
        return call if call is not None and call.live is not None else None
