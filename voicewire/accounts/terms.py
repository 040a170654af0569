"""Terms of use: who accepted which version. Each person and each key accepts for itself."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime

from voicewire.accounts.audit import actor_of, note
from voicewire.auth.principal import Principal
from voicewire.errors import BadRequest, Forbidden
from voicewire.storage.store import Store

ACCEPTED_KEPT = 10_000

Who = tuple[str, str, str]  # tenant, key, person


class Terms:
    """The terms in force; an empty `version` asks nothing of anybody.

    What was accepted stays so, and is remembered; what was not is asked for each time.
    """

    def __init__(self, store: Store, version: str) -> None:
        self.version = version
        self._store = store
        self._accepted: OrderedDict[Who, None] = OrderedDict()

    async def require(self, principal: Principal) -> None:
        """Raise `Forbidden` (`terms_required`) while the caller has not accepted the terms."""
        if not await self.accepted(principal):
            raise Forbidden("terms_required", version=self.version)

    async def accepted(self, principal: Principal) -> bool:
        """Whether the caller needs nothing more; whoever sits at the machine itself never does."""
        if not self.version or principal.kind == "local":
            return True
        who = _who(principal)
        if who in self._accepted:
            self._accepted.move_to_end(who)
            return True
        found = await self._store.fetchval(
            "SELECT true FROM terms WHERE tenant = $1 AND key_id = $2 AND user_id = $3 AND version = $4",
            *who,
            self.version,
        )
        if found:
            self._keep(who)
        return bool(found)

    async def accept(self, principal: Principal, version: str, now: datetime) -> None:
        """Note that the caller accepts `version`. Raises `BadRequest` when another is in force."""
        if not version or version != self.version:
            raise BadRequest(problem=f"the terms in force are version {self.version!r}")
        who = _who(principal)
        async with self._store.transaction() as session:
            status = await session.execute(
                "INSERT INTO terms (tenant, key_id, user_id, version, accepted) VALUES ($1, $2, $3, $4, $5)"
                " ON CONFLICT DO NOTHING",
                *who,
                version,
                now,
            )
            if status == "INSERT 0 1":
                await note(session, actor_of(principal), "terms.accept", tenant=principal.tenant, subject=version)
        self._keep(who)

    def _keep(self, who: Who) -> None:
        self._accepted[who] = None
        if len(self._accepted) > ACCEPTED_KEPT:
            self._accepted.popitem(last=False)


def _who(principal: Principal) -> Who:
    # a key stands for itself, whoever made it; a person for herself, by whatever login
    return principal.tenant, principal.key, "" if principal.key else principal.user
