"""A meter where every model costs the same, and nobody is limited."""

from __future__ import annotations

from voicewire.auth.principal import Principal
from voicewire.server.metering import Ledger, Meter


def meter_over(ledger: Ledger) -> Meter:
    """Return a meter that tells `ledger`."""

    async def admit(caller: Principal) -> None: ...

    async def permille(model: str) -> int:  # noqa: ARG001 - every model costs the same
        return 1_000

    async def refundable(caller: Principal) -> bool:  # noqa: ARG001 - everybody's
        return True

    return Meter(ledger, admit, permille, refundable, limited=False)
