"""Tenants and their members. Whoever signs up gets a tenant of their own and is its owner."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from voicewire.accounts.audit import note
from voicewire.accounts.emails import normal_email
from voicewire.accounts.subscriptions import begin
from voicewire.accounts.users import Where, by_email
from voicewire.errors import BadRequest, Forbidden
from voicewire.storage.store import Session

MEMBER_ROLES = ("owner", "member")
MEMBERS_MAX = 1_000


class Founded(NamedTuple):
    """A new tenant, and the grant of its first month, of which the ledger is to be told; None where there is none."""

    tenant: str
    grant: str | None


class Membership(NamedTuple):
    """A tenant that a person is a member of."""

    tenant: str
    name: str
    role: str


class Member(NamedTuple):
    """A person who is a member of a tenant."""

    user: str
    email: str
    name: str
    role: str
    since: datetime


def new_tenant_id(random_hex: Callable[[int], str] = secrets.token_hex) -> str:
    """Return a new id of a tenant."""
    return f"t_{random_hex(8)}"


async def found(session: Session, name: str, owner: str, now: datetime) -> Founded:
    """Make a tenant with its owner and its first plan."""
    tenant = new_tenant_id()
    await session.execute("INSERT INTO tenants (id, name, created) VALUES ($1, $2, $3)", tenant, name, now)
    await join(session, tenant, owner, "owner")
    return Founded(tenant, await begin(session, tenant, now))


async def join(where: Where, tenant: str, user: str, role: str) -> bool:
    """Make a person a member; return False when they were one, whose role stays."""
    status = await where.execute(
        "INSERT INTO members (tenant, user_id, role) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", tenant, user, role
    )
    return status == "INSERT 0 1"


async def name_of(where: Where, tenant: str) -> str:
    """Return what a tenant is called. Raises `BadRequest` (`not_found`)."""
    name = await where.fetchval("SELECT name FROM tenants WHERE id = $1", tenant)
    if name is None:
        raise BadRequest("not_found")
    return str(name)


async def memberships(where: Where, user: str) -> list[Membership]:
    """Return the tenants of a person that are not suspended, the one of longest standing first."""
    rows = await where.fetch(
        "SELECT t.id, t.name, m.role FROM members m JOIN tenants t ON t.id = m.tenant"
        " WHERE m.user_id = $1 AND t.suspended IS NULL ORDER BY m.created, t.id",
        user,
    )
    return [Membership(*row.values()) for row in rows]


async def of_email(where: Where, email: str) -> str:
    """Return the tenant of longest standing of whom has this address. Raises `BadRequest` (`not_found`)."""
    try:
        person = await by_email(where, normal_email(email))
    except ValueError:
        person = None
    found = await memberships(where, person.id) if person else []
    if not found:
        raise BadRequest("not_found")
    return found[0].tenant


async def members(where: Where, tenant: str) -> list[Member]:
    """Return who is a member, in the order in which they came."""
    rows = await where.fetch(
        "SELECT u.id, u.email, u.name, m.role, m.created FROM members m JOIN users u ON u.id = m.user_id"
        " WHERE m.tenant = $1 ORDER BY m.created, u.id LIMIT $2",
        tenant,
        MEMBERS_MAX,
    )
    return [Member(*row.values()) for row in rows]


async def role_in(where: Where, tenant: str, user: str) -> str:
    """Return a person's role in a tenant, or nothing."""
    role = await where.fetchval("SELECT role FROM members WHERE tenant = $1 AND user_id = $2", tenant, user)
    return role or ""


async def add(session: Session, tenant: str, user: str, role: str, actor: str) -> bool:
    """Add a member whom `actor` asked; return False when they were one. Raises `Forbidden` when there are too many."""
    await session.lock(f"members:{tenant}")
    count = await session.fetchval("SELECT count(*) FROM members WHERE tenant = $1", tenant)
    if count >= MEMBERS_MAX:
        raise Forbidden(problem=f"a tenant has at most {MEMBERS_MAX} members")
    new = await join(session, tenant, user, role)
    if new:
        await note(session, actor, "member.add", tenant=tenant, subject=user, details={"role": role})
    return new


async def leave(session: Session, tenant: str, user: str, actor: str) -> None:
    """Remove a member, and whom they asked. Raises `BadRequest` (`not_found`), and `Forbidden` for the last owner."""
    await session.lock(f"members:{tenant}")
    role = await role_in(session, tenant, user)
    if not role:
        raise BadRequest("not_found")
    owners = await session.fetchval("SELECT count(*) FROM members WHERE tenant = $1 AND role = 'owner'", tenant)
    if role == "owner" and owners == 1:
        raise Forbidden(problem="the last owner stays")
    await session.execute("DELETE FROM members WHERE tenant = $1 AND user_id = $2", tenant, user)
    # nor do those whom a former owner asked come in
    asked = "DELETE FROM invitations WHERE tenant = $1 AND (user_id = $2 OR actor = $3)"
    await session.execute(asked, tenant, user, f"user:{user}")
    await note(session, actor, "member.remove", tenant=tenant, subject=user)
