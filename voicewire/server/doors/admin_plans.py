"""`/admin`: plans, packages and prices, what single tenants have beside them, and seconds that are given."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import AfterValidator

from voicewire.accounts import tenants
from voicewire.accounts.audit import actor_of
from voicewire.accounts.grants import Grant, Grants, Package
from voicewire.accounts.plans import Plan, Plans
from voicewire.accounts.subscriptions import Subscriptions
from voicewire.server.callers import Callers
from voicewire.server.doors.admin_plan_forms import (
    FORM,
    AdminPlan,
    GrantedInfo,
    GrantPut,
    PackagePut,
    PlanPut,
    PriceInfo,
    PricePut,
    Quotas,
    RefundPut,
    Reversal,
    ReversedInfo,
    TenantPlan,
    Whose,
)
from voicewire.server.doors.description import declared
from voicewire.server.doors.plans import PackageInfo, PlanChoice
from voicewire.server.doors.texts import Items, whole_text
from voicewire.storage.store import Store

PlanId = Annotated[str, Path(pattern=FORM)]
ModelId = Annotated[str, Path(max_length=200)]
TenantId = Annotated[str, Path(max_length=64)]
AnyGrant = Annotated[str, Path(max_length=300), AfterValidator(whole_text)]


@dataclass(frozen=True, slots=True)
class AdminPlanDoors:
    """The endpoints."""

    store: Store
    plans: Plans
    subscriptions: Subscriptions
    grants: Grants
    callers: Callers

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/admin", tags=["admin"])
        add = router.add_api_route
        missing = declared("not_found")
        add("/plans", self.list_plans, methods=["GET"], response_model=Items[AdminPlan])
        add("/plans/{plan_id}", self.get_plan, methods=["GET"], response_model=AdminPlan)
        add("/plans/{plan_id}", self.put_plan, methods=["PUT"], response_model=AdminPlan)
        add("/packages/{package_id}", self.put_package, methods=["PUT"], response_model=PackageInfo)
        add("/prices", self.list_prices, methods=["GET"], response_model=Items[PriceInfo])
        add("/prices/{model}", self.put_price, methods=["PUT"], response_model=PriceInfo)
        add("/tenants/{tenant}/plan", self.tenant_plan, methods=["GET"], response_model=TenantPlan)
        add("/tenants/{tenant}/plan", self.put_tenant_plan, methods=["PUT"], response_model=TenantPlan)
        add("/tenants/{tenant}/quotas", self.quotas, methods=["GET"], response_model=Quotas)
        add("/tenants/{tenant}/quotas", self.put_quotas, methods=["PUT"], response_model=TenantPlan)
        given = {**missing, **declared("conflict")}
        add("/grants", self.give, methods=["POST"], status_code=201, response_model=GrantedInfo, responses=given)
        reverse = "/grants/{grant_id:path}/reverse"  # an id may hold a slash
        add(reverse, self.reverse, methods=["POST"], response_model=ReversedInfo, responses=missing)
        add("/refunds", self.refund, methods=["POST"], status_code=201, response_model=GrantedInfo, responses=given)
        return router

    async def list_plans(self, request: Request) -> Items[AdminPlan]:
        """List all plans."""
        await self._admin(request)
        return Items(items=[_admin_plan(each) for each in await self.plans.all()])

    async def get_plan(self, request: Request, plan_id: PlanId) -> AdminPlan:
        """Return one plan."""
        await self._admin(request)
        return _admin_plan(await self.plans.get(plan_id))

    async def put_plan(self, request: Request, plan_id: PlanId, body: PlanPut) -> AdminPlan:
        """Make or change a plan. Its limits hold everywhere within 5 s, its seconds from each tenant's next month."""
        plan = body.plan(plan_id)
        await self.plans.put(plan, await self._admin(request))
        return _admin_plan(plan)

    async def put_package(self, request: Request, package_id: PlanId, body: PackagePut) -> PackageInfo:
        """Make or change a package."""
        package = Package(id=package_id, **body.model_dump())
        await self.grants.put_package(package, await self._admin(request))
        return PackageInfo.of(package)

    async def list_prices(self, request: Request) -> Items[PriceInfo]:
        """List the models that cost more or less than a second for a second."""
        await self._admin(request)
        prices = await self.plans.prices()
        return Items(items=[PriceInfo(model=model, permille=prices[model]) for model in sorted(prices)])

    async def put_price(self, request: Request, model: ModelId, body: PricePut) -> PriceInfo:
        """Set what a second of a model costs; it holds everywhere within 5 s."""
        await self.plans.put_price(model, body.permille, await self._admin(request))
        return PriceInfo(model=model, permille=body.permille)

    async def tenant_plan(self, request: Request, tenant: TenantId) -> TenantPlan:
        """Say which plan a tenant has, and what beside it."""
        await self._admin(request)
        return TenantPlan.of(await self.subscriptions.get(tenant))

    async def put_tenant_plan(self, request: Request, tenant: TenantId, body: PlanChoice) -> TenantPlan:
        """Give a tenant another plan, now: its month begins anew."""
        actor = await self._admin(request)
        return TenantPlan.of(await self.subscriptions.choose(tenant, body.plan, actor, at_once=True))

    async def quotas(self, request: Request, tenant: TenantId) -> Quotas:
        """Say what a tenant has beside its plan."""
        await self._admin(request)
        return Quotas(**(await self.subscriptions.get(tenant)).quotas)

    async def put_quotas(self, request: Request, tenant: TenantId, body: Quotas) -> TenantPlan:
        """Set all that a tenant has beside its plan; seconds from its next month on, or now where it had no limit."""
        actor = await self._admin(request)
        return TenantPlan.of(await self.subscriptions.set_quotas(tenant, body.model_dump(exclude_none=True), actor))

    async def give(self, request: Request, body: GrantPut) -> GrantedInfo:
        """Give seconds, or a package. The same `id` again changes nothing and answers the same."""
        actor = await self._admin(request)
        tenant = await self._tenant(body)
        if body.package:
            return _granted(await self.grants.package(tenant, body.package, actor, id=body.id, why=body.note))
        assert body.seconds is not None
        return _granted(
            await self.grants.grant(tenant, body.seconds, actor, id=body.id, expires=body.expires, why=body.note)
        )

    async def reverse(self, request: Request, grant_id: AnyGrant, body: Reversal | None = None) -> ReversedInfo:
        """Take back what is left of a grant. Again, it changes nothing and answers the same."""
        actor = await self._admin(request)
        taken = await self.grants.reverse(grant_id, actor, why=body.note if body else "")
        return ReversedInfo(**taken._asdict())

    async def refund(self, request: Request, body: RefundPut) -> GrantedInfo:
        """Give back what a stream cost, or seconds."""
        actor = await self._admin(request)
        tenant = await self._tenant(body)
        return _granted(
            await self.grants.refund(
                tenant, actor, stream=body.stream, seconds=body.seconds or 0, id=body.id, why=body.note
            )
        )

    async def _admin(self, request: Request) -> str:
        """Return how the audit log names the caller."""
        principal = await self.callers.require(request, "admin")
        return actor_of(principal)

    async def _tenant(self, body: Whose) -> str:
        return body.tenant or await tenants.of_email(self.store, body.email)


def _admin_plan(plan: Plan) -> AdminPlan:
    return AdminPlan(**asdict(plan))


def _granted(grant: Grant) -> GrantedInfo:
    return GrantedInfo(**asdict(grant))
