"""What operators send and see of plans: the forms of `admin_plans`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from voicewire.accounts.grants import SECONDS_MAX
from voicewire.accounts.plans import Plan
from voicewire.accounts.subscriptions import Subscription
from voicewire.server.doors.plans import BASIC, HOUR, GrantInfo, PlanInfo, SubscriptionInfo
from voicewire.server.doors.texts import Body, Label, Moment, Note

COUNT_MAX = 2**31 - 1
DAYS_MAX = 36_500
MONTHS_MAX = 120
PERMILLE_MAX = 1_000_000
FORM = r"^[a-z0-9][a-z0-9_-]{0,39}$"
TENANT = "t_5f0c9a3e77b1d246"

Count = Annotated[int, Field(ge=1, le=COUNT_MAX, strict=True)]
Cents = Annotated[int, Field(ge=0, le=COUNT_MAX, strict=True)]
Seconds = Annotated[int, Field(ge=1, le=SECONDS_MAX, strict=True)]
Models = Annotated[list[Label], Field(max_length=100)]
Percent = Annotated[int, Field(ge=0, le=100, strict=True)]
Weight = Annotated[int, Field(ge=1, le=1_000, strict=True, description="share of a crowded server beside others")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")]


class AdminPlan(PlanInfo):
    """A plan, with what people do not see of it."""

    model_config = ConfigDict(json_schema_extra={"examples": [BASIC | {"public": True, "position": 2, "weight": 1}]})

    public: bool
    position: int
    weight: int


class PlanPut(Body):
    """What a plan is from now on. `seconds` null: not limited; `price_cents` null: by agreement."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{name: value for name, value in BASIC.items() if name != "id"}]}
    )

    name: Label
    price_cents: Cents | None
    currency: Currency = "USD"
    seconds: Seconds | None
    requests_minute: Count
    streams: Count
    request_chars: Count
    models: Models | None = None
    rollover_months: Annotated[int, Field(ge=0, le=MONTHS_MAX, strict=True)] = 0
    cached_percent: Percent = 100
    public: StrictBool = True
    position: Annotated[int, Field(ge=0, le=COUNT_MAX, strict=True)] = 0
    weight: Weight = 1

    def plan(self, plan_id: str) -> Plan:
        given = self.model_dump()
        return Plan(id=plan_id, **given | {"models": None if self.models is None else tuple(self.models)})


class PackagePut(Body):
    """What a package is from now on. `good_days` null: for ever."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{name: value for name, value in HOUR.items() if name != "id"}]}
    )

    name: Label
    price_cents: Cents
    currency: Currency = "USD"
    seconds: Seconds
    good_days: Annotated[int | None, Field(ge=1, le=DAYS_MAX, strict=True)] = None
    public: StrictBool = True


class PriceInfo(BaseModel):
    """What a second of a model costs, in thousandths of one."""

    model: str
    permille: int


class PricePut(Body):
    """What a second of a model costs, in thousandths of one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"permille": 2500}]})

    permille: Annotated[int, Field(ge=0, le=PERMILLE_MAX, strict=True)]


class Quotas(Body):
    """What a tenant has instead of what its plan says; what is left out or null: the plan's."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seconds": 100_000, "streams": 20}]})

    seconds: Seconds | None = None
    requests_minute: Count | None = None
    streams: Count | None = None
    request_chars: Count | None = None
    models: Models | None = None
    cached_percent: Percent | None = None
    weight: Weight | None = None


class TenantPlan(SubscriptionInfo):
    """What a tenant has: its plan, with its quotas in `limits`."""

    tenant: str
    quotas: Quotas
    limits: PlanInfo

    @classmethod
    def of(cls, has: Subscription) -> TenantPlan:
        mine = SubscriptionInfo.of(has).model_dump()
        return cls(**mine, tenant=has.tenant, quotas=Quotas(**has.quotas), limits=PlanInfo.of(has.plan))


class Whose(Body):
    """A tenant by its id, or by the address of the person who owns it."""

    tenant: Annotated[str, Field(max_length=64)] = ""
    email: Annotated[str, Field(max_length=320)] = ""

    @model_validator(mode="after")
    def one_of_both(self) -> Whose:
        if bool(self.tenant) == bool(self.email):
            raise ValueError("either tenant or email must be given")
        return self


GrantId = Annotated[str, Field(max_length=100, pattern=r"^[!-~]*$", description="the same id is given once")]


class GrantPut(Whose):
    """Seconds to give, or a package."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"tenant": TENANT, "seconds": 600, "id": "ticket-7", "note": "for a fault of ours"}]
        }
    )

    id: GrantId = ""
    seconds: Seconds | None = None
    package: Annotated[str, Field(max_length=40)] = ""
    expires: Moment | None = None
    note: Note = ""

    @model_validator(mode="after")
    def something(self) -> GrantPut:
        if (self.seconds is None) == (not self.package):
            raise ValueError("either seconds or a package must be given")
        if self.package and self.expires:
            raise ValueError("a package says itself how long it is good")
        return self


class RefundPut(Whose):
    """What to give back: what a stream cost, or seconds. A stream is refunded once."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"tenant": TENANT, "stream": "h_Qm3xk2f0", "note": "it crackled"}]}
    )

    id: GrantId = ""
    stream: Annotated[str, Field(max_length=200, pattern=r"^[!-~]*$")] = ""
    seconds: Seconds | None = None
    note: Note = ""

    @model_validator(mode="after")
    def something(self) -> RefundPut:
        if (self.seconds is None) == (not self.stream):
            raise ValueError("either a stream or seconds must be given")
        return self


class Reversal(Body):
    """Why what is left of a grant is taken back, for the audit log."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"note": "it was paid with a stolen card"}]})

    note: Note = ""


class ReversedInfo(BaseModel):
    """What was taken back of a grant: all that was left of it then."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": f"admin:{TENANT}:ticket-7", "tenant": TENANT, "ms": 581_400}]}
    )

    id: str
    tenant: str
    ms: int


class GrantedInfo(GrantInfo):
    """What was given, and to whom."""

    tenant: str
