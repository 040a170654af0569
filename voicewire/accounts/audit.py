"""The audit log: who changed what, and when. Every action stands in one table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from voicewire.auth.principal import Principal

ACTIONS: Mapping[str, str] = MappingProxyType(
    {
        "key.create": "an API key was made",
        "key.change": "the label, scopes, limits or end of a key were changed",
        "key.rotate": "a key was replaced; the old one is good until the overlap ends",
        "key.revoke": "a key was made worthless",
        "user.register": "a person signed up",
        "user.change": "a person's name, role or address was changed",
        "user.suspend": "a person may do nothing any more",
        "user.restore": "a suspended person may come back",
        "user.password": "a password was set or changed",
        "member.add": "a person became a member of a tenant",
        "member.remove": "a person is no longer a member of a tenant",
        "terms.accept": "a version of the terms was accepted",
        "tenant.plan": "a tenant took another plan",
        "tenant.quotas": "what a tenant may have beside its plan was changed",
        "plan.put": "a plan was made or changed",
        "package.put": "a package was made or changed",
        "price.put": "what a model costs was changed",
        "grant.create": "seconds were granted",
        "grant.reverse": "what was left of a grant was taken back",
        "refund.create": "seconds were given back",
        "voice.put": "a voice was made or changed",
        "voice.delete": "a voice was removed",
    }
)

OPERATOR = "operator"
"""Who works at the command line of the server's own machine."""

PAGE_MAX = 200


class Executes(Protocol):
    """A store, or a transaction of one: what is written in a transaction is audited in it."""

    async def execute(self, sql: str, /, *args: Any) -> object: ...


class Fetches(Protocol):
    async def fetch(self, sql: str, /, *args: Any) -> Sequence[Any]: ...


class Event(NamedTuple):
    """A line of the audit log. Ids ascend."""

    id: int
    at: datetime
    tenant: str
    actor: str
    action: str
    subject: str
    details: Mapping[str, Any]


def actor_of(principal: Principal) -> str:
    """Return how the audit log names a caller: `user:…`, `key:…`, or what let it in."""
    if principal.key:
        return f"key:{principal.key}"
    return f"user:{principal.user}" if principal.user else principal.kind


async def note(
    where: Executes,
    actor: str,
    action: str,
    *,
    tenant: str,
    subject: str = "",
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write one line, of the tenant that it is about. `details` become JSON; no secret belongs in there."""
    assert action in ACTIONS, action
    await where.execute(
        "INSERT INTO audit (tenant, actor, action, subject, details) VALUES ($1, $2, $3, $4, $5::text::jsonb)",
        tenant,
        actor,
        action,
        subject,
        json.dumps(details or {}, default=_plain),
    )


async def events(
    store: Fetches, *, tenant: str = "", action: str = "", before: int | None = None, limit: int = 50
) -> list[Event]:
    """Return at most `limit` lines, the latest first, before the line `before`; of one tenant or action, or of all."""
    rows = await store.fetch(
        "SELECT id, at, tenant, actor, action, subject, details::text AS details FROM audit"
        " WHERE ($1 = '' OR tenant = $1) AND ($2 = '' OR action = $2) AND ($3::bigint IS NULL OR id < $3)"
        " ORDER BY id DESC LIMIT $4",
        tenant,
        action,
        before,
        min(limit, PAGE_MAX),
    )
    return [_event(row) for row in rows]


def _event(row: Any) -> Event:
    fixed = (row["id"], row["at"], row["tenant"], row["actor"], row["action"], row["subject"])
    return Event(*fixed, json.loads(row["details"]))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, frozenset | set):
        return sorted(value)
    return str(value)
