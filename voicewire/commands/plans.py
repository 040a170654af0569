"""`voicewire plans`: list plans, and change which one a tenant has or what it has beside it."""

from __future__ import annotations

import json
from datetime import MAXYEAR
from typing import TextIO

from voicewire.accounts import tenants
from voicewire.accounts.audit import OPERATOR
from voicewire.accounts.plans import Plan
from voicewire.accounts.subscriptions import Subscription
from voicewire.commands.operator import Operator
from voicewire.commands.table import write_table
from voicewire.settings import variable

HEADS = ("id", "name", "price", "seconds", "requests/min", "streams", "characters", "models", "public")


async def list_plans(operator: Operator, out: TextIO) -> None:
    """Write a table of all plans."""
    write_table(HEADS, [_row(plan) for plan in await operator.plans.all()], out)


async def show_plan(operator: Operator, whose: str, out: TextIO) -> None:
    """Say what a tenant has. `whose` is its id, or the address of who owns it."""
    tenant = await tenant_of(operator, whose)
    _say(await operator.subscriptions.get(tenant), out)
    grants = await operator.grants.in_force(tenant)
    out.write(f"{sum(each.left_ms for each in grants) / 1000:,g} s are left of what was given\n")
    limits = await operator.plans.limits(tenant)
    balance = "the balance limits speech" if limits.metered else "no balance limits speech"
    counts = (
        f"{limits.requests_minute:,} requests a minute, {limits.streams:,} streams, {limits.text_chars:,} characters"
    )
    out.write(f"{counts}; {balance}\n")
    if operator.doubt:
        out.write(f"{operator.doubt}: that is with {variable('billing')}={'on' if operator.plans.billing else 'off'}\n")


async def set_plan(operator: Operator, whose: str, plan: str, out: TextIO) -> None:
    """Give a tenant another plan, now."""
    tenant = await tenant_of(operator, whose)
    _say(await operator.subscriptions.choose(tenant, plan, OPERATOR, at_once=True), out)


async def set_quotas(operator: Operator, whose: str, quotas: dict[str, int], out: TextIO) -> None:
    """Set all that a tenant has beside its plan; nothing: all as the plan has it."""
    tenant = await tenant_of(operator, whose)
    _say(await operator.subscriptions.set_quotas(tenant, quotas, OPERATOR), out)


async def tenant_of(operator: Operator, whose: str) -> str:
    """Return the tenant of that id, or of who has that address. Raises `BadRequest` (`not_found`)."""
    return await tenants.of_email(operator.store, whose) if "@" in whose else whose


def _row(plan: Plan) -> tuple[str, ...]:
    price = "by agreement" if plan.price_cents is None else f"{plan.price_cents / 100:.2f} {plan.currency}"
    seconds = "not limited" if plan.seconds is None else str(plan.seconds)
    models = "all" if plan.models is None else ",".join(plan.models)
    counts = (str(plan.requests_minute), str(plan.streams), str(plan.request_chars))
    return plan.id, plan.name, price, seconds, *counts, models, "yes" if plan.public else "no"


def _say(has: Subscription, out: TextIO) -> None:
    endless = has.period.end.year == MAXYEAR
    until = "for good" if endless else f"until {has.period.end:%Y-%m-%d %H:%M} UTC"
    out.write(f"{has.tenant} has the plan {has.plan.id} {until}\n")
    if has.next_plan:
        out.write(f"then {has.next_plan}\n")
    if has.quotas:
        out.write(f"beside it: {json.dumps(dict(has.quotas))}\n")
