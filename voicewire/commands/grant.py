"""`voicewire grant`: give seconds to a tenant, give back what a stream cost, or take back what is left of a grant."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TextIO

from voicewire.accounts.audit import OPERATOR
from voicewire.accounts.grants import Grant, Grants, Reversed
from voicewire.commands.operator import Operator, open_ledger
from voicewire.commands.plans import tenant_of


class Gift(NamedTuple):
    """What to give: `seconds`, a `package`, or what `stream` cost; or the grant to `reverse`. An `id` is given once."""

    seconds: int = 0
    package: str = ""
    stream: str = ""
    reverse: str = ""
    good_days: int | None = None
    id: str = ""
    why: str = ""

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Gift:
        """Read it from the command line."""
        given = (arguments.seconds or 0, arguments.package or "", arguments.refund or "", arguments.reverse or "")
        return cls(*given, arguments.days, arguments.id, arguments.note)


async def give(operator: Operator, whose: str, gift: Gift, out: TextIO) -> None:
    """Give it to the tenant of that id, or of who has that address, or take it back; a running server soon knows."""
    tenant = await tenant_of(operator, whose)
    if gift.reverse:
        taken = await _take_back(operator, tenant, gift)
        out.write(f"{tenant} has {taken.ms / 1000:g} s less: {taken.id}\n")
        return
    grant = await _give(operator, tenant, gift)
    until = f" until {grant.expires:%Y-%m-%d %H:%M} UTC" if grant.expires else ""
    out.write(f"{grant.tenant} has {grant.ms / 1000:g} s more{until}: {grant.id}\n")


async def _take_back(operator: Operator, tenant: str, gift: Gift) -> Reversed:
    async with open_ledger(operator) as ledger:
        return await Grants(operator.store, ledger).reverse(gift.reverse, OPERATOR, tenant=tenant, why=gift.why)


async def _give(operator: Operator, tenant: str, gift: Gift) -> Grant:
    grants = operator.grants
    if gift.package:
        return await grants.package(tenant, gift.package, OPERATOR, id=gift.id, why=gift.why)
    if gift.stream:
        return await grants.refund(tenant, OPERATOR, stream=gift.stream, why=gift.why)
    expires = None if gift.good_days is None else datetime.now(UTC) + timedelta(days=gift.good_days)
    return await grants.grant(tenant, gift.seconds, OPERATOR, id=gift.id, expires=expires, why=gift.why)
