"""Invitations: nobody is a member of a tenant before they said yes, and nobody is told who has an account."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from voicewire.accounts import tenants
from voicewire.accounts.links import TOKEN_BYTES, token_hash
from voicewire.errors import Gone
from voicewire.storage.store import Session

GOOD_FOR = timedelta(days=7)
PAUSE = timedelta(minutes=10)  # before the same person is asked again: nobody's mailbox is filled

INVITE = """
INSERT INTO invitations (tenant, user_id, role, actor, token_hash, created, expires)
SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT FROM members WHERE tenant = $1 AND user_id = $2)
ON CONFLICT (tenant, user_id) DO UPDATE SET role = excluded.role, actor = excluded.actor,
    token_hash = excluded.token_hash, created = excluded.created, expires = excluded.expires
  WHERE invitations.created <= $8
"""

# What was asked with a key ends with the key, and what a person asked while they may do nothing.
ACCEPT = """
DELETE FROM invitations WHERE token_hash = $1 AND user_id = $2 AND expires > $3 AND CASE WHEN actor LIKE 'key:%'
    THEN EXISTS (SELECT FROM keys LEFT JOIN users maker ON maker.id = keys.user_id
                 WHERE 'key:' || keys.id = actor AND keys.revoked IS NULL
                       AND (keys.expires IS NULL OR keys.expires > $3) AND maker.suspended IS NULL)
    ELSE NOT EXISTS (SELECT FROM users WHERE 'user:' || users.id = actor AND users.suspended IS NOT NULL) END
RETURNING tenant, role, actor
"""


async def invite(
    session: Session,
    tenant: str,
    user: str,
    role: str,
    actor: str,
    now: datetime,
    random_token: Callable[[int], str] = secrets.token_urlsafe,
) -> str | None:
    """Return the token of a link that makes a person a member; None for members, and who was asked just now."""
    token = random_token(TOKEN_BYTES)
    status = await session.execute(
        INVITE, tenant, user, role, actor, token_hash(token), now, now + GOOD_FOR, now - PAUSE
    )
    return token if status == "INSERT 0 1" else None


async def accept(session: Session, token: str, user: str, now: datetime) -> str:
    """Make the person whom a link was mailed to a member; return the tenant. Raises `Gone`, `Forbidden`."""
    row = await session.fetchrow(ACCEPT, token_hash(token), user, now)
    if row is None:
        raise Gone("link_gone")
    await tenants.add(session, row["tenant"], user, row["role"], row["actor"])
    return str(row["tenant"])
