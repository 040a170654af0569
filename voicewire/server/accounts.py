"""Accounts as a gateway has them: who has which plan, and what follows from it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from fastapi import APIRouter

from voicewire.accounts.grants import Grants
from voicewire.accounts.news import News
from voicewire.accounts.plans import Plans
from voicewire.accounts.subscriptions import Subscriptions
from voicewire.accounts.terms import Terms
from voicewire.config import Config
from voicewire.server.callers import Callers
from voicewire.server.doors.admin_plans import AdminPlanDoors
from voicewire.server.doors.plans import PlanDoors
from voicewire.server.leases import Leases
from voicewire.server.limits import Limiter
from voicewire.server.people import Needs, PeopleParts, open_people
from voicewire.server.storage import Storage
from voicewire.server.tasks import supervise
from voicewire.storage.ledger import Ledger
from voicewire.storage.rates import Rates
from voicewire.storage.store import Store


@dataclass(frozen=True, slots=True)
class Accounts:
    """The parts."""

    news: News
    ledger: Ledger
    plans: Plans
    grants: Grants
    subscriptions: Subscriptions
    rates: Rates
    limiter: Limiter
    people: PeopleParts
    store: Store

    def routers(self, callers: Callers) -> list[APIRouter]:
        """Return the routes of plans and of people."""
        plans = PlanDoors(self.plans, self.subscriptions, self.grants, self.ledger.balance, callers, self.limiter)
        admin = AdminPlanDoors(self.store, self.plans, self.subscriptions, self.grants, callers)
        return [plans.router(), admin.router(), *self.people.routers(callers)]


def open_accounts(config: Config, storage: Storage, ledger: Ledger, stack: contextlib.AsyncExitStack) -> Accounts:
    """Build them, and keep running what has no end until `stack` is unwound. Raises `ConfigError`."""
    news = News(storage.redis)
    plans = Plans(storage.store, news, billing=config.billing, contexts=config.contexts_max)
    rates = Rates(storage.redis)
    leases = Leases(rates)
    grants = Grants(storage.store, ledger)
    subscriptions = Subscriptions(storage.store, grants, news)

    async def grant_months() -> None:
        await storage.migrated.wait()
        await subscriptions.run()

    supervise(stack, "news", news.run)
    supervise(stack, "leases", leases.run)
    supervise(stack, "months", grant_months)
    terms = Terms(storage.store, config.terms_version)
    limiter = Limiter(rates, leases, plans.limits, terms.require)

    async def plan_of(tenant: str) -> str:
        return (await subscriptions.get(tenant)).plan.id

    needs = Needs(news, rates, limiter, terms, plans.limits, plan_of, grants.apply)
    people = open_people(config, storage, needs, stack)
    return Accounts(news, ledger, plans, grants, subscriptions, rates, limiter, people, storage.store)
