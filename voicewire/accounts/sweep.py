"""Forgets what nobody can use any more: old logins and links, and sign-ups whose address was never proved."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from voicewire.errors import Busy
from voicewire.storage.store import Store

LOGGER = logging.getLogger(__name__)

EVERY_S = 3_600.0
KEPT = timedelta(days=30)  # for questions about who was in
UNPROVED = timedelta(days=7)

OLD_LOGINS = "DELETE FROM logins WHERE expires < $1 OR ended < $1"
OLD_LINKS = "DELETE FROM mailed WHERE expires < $1"
OLD_INVITATIONS = "DELETE FROM invitations WHERE expires < $1"
UNPROVED_USERS = """
DELETE FROM users u WHERE email_verified IS NULL AND created < $1
  AND NOT EXISTS (SELECT 1 FROM members WHERE user_id = u.id)
  AND NOT EXISTS (SELECT 1 FROM mailed WHERE user_id = u.id AND expires >= $2)
"""


async def sweep(store: Store, now: datetime) -> None:
    """Forget once."""
    await store.execute(OLD_LOGINS, now - KEPT)
    await store.execute(OLD_LINKS, now - UNPROVED)
    await store.execute(OLD_INVITATIONS, now)
    await store.execute(UNPROVED_USERS, now - UNPROVED, now)


async def keep_sweeping(store: Store, now: Callable[[], datetime], every_s: float = EVERY_S) -> None:
    """Forget every hour, until cancelled."""
    while True:
        try:
            await sweep(store, now())
        except Busy as error:
            LOGGER.warning("old logins stay for now: %s", error)
        await asyncio.sleep(every_s)
