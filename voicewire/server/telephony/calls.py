"""The calls that are being held here."""

from __future__ import annotations

from collections.abc import Iterator

from voicewire.errors import BadRequest
from voicewire.server.telephony.call import Call


class Calls:
    """By their carriers' names."""

    def __init__(self) -> None:
        self._here: dict[str, Call] = {}

    def __len__(self) -> int:
        return len(self._here)

    def __iter__(self) -> Iterator[Call]:
        return iter([*self._here.values()])

    def add(self, call: Call) -> None:
        """A call begins. Raises `BadRequest` where one of that name is being held."""
        if call.id in self._here:
            raise BadRequest("conflict")
        self._here[call.id] = call

    def remove(self, call: Call) -> None:
        """A call is over."""
        if self._here.get(call.id) is call:
            del self._here[call.id]

    def find(self, id: str, tenant: str) -> Call | None:
        """Return a call of a tenant's own that has begun; to all others there is none."""
        call = self._here.get(id)
        return call if call is not None and call.tenant == tenant and call.live is not None else None
