"""`voicewire grant`: give seconds to a tenant, or give back what a stream cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TextIO

from voicewire.accounts.audit import OPERATOR
from voicewire.accounts.grants import Grant
from voicewire.commands.operator import Operator
from voicewire.commands.plans import tenant_of


class Gift(NamedTuple):
    """What to give: `seconds`, a `package`, or what `stream` cost. The same `id` is given once."""

    seconds: int = 0
    package: str = ""
    stream: str = ""
    good_days: int | None = None
    id: str = ""
    why: str = ""


async def give(operator: Operator, whose: str, gift: Gift, out: TextIO) -> None:
    """Give it to the tenant of that id, or of who has that address; a running server knows within seconds."""
    grant = await _give(operator, await tenant_of(operator, whose), gift)
    until = f" until {grant.expires:%Y-%m-%d %H:%M} UTC" if grant.expires else ""
    out.write(f"{grant.tenant} has {grant.ms / 1000:g} s more{until}: {grant.id}\n")


async def _give(operator: Operator, tenant: str, gift: Gift) -> Grant:
    grants = operator.grants
    if gift.package:
        return await grants.package(tenant, gift.package, OPERATOR, id=gift.id, why=gift.why)
    if gift.stream:
        return await grants.refund(tenant, OPERATOR, stream=gift.stream, why=gift.why)
    expires = None if gift.good_days is None else datetime.now(UTC) + timedelta(days=gift.good_days)
    return await grants.grant(tenant, gift.seconds, OPERATOR, id=gift.id, expires=expires, why=gift.why)
