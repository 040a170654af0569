"""What is spoken is paid for: holds, bills and what is left, in Redis, exact to the millisecond whatever is killed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct
from redis.asyncio import Redis

from voicewire.errors import RETRY_MS, Busy
from voicewire.storage.facts import AMEND, PARK, SETTLE, Fact, Facts, Name, name_of
from voicewire.storage.ledger_calls import Away, Calls
from voicewire.storage.ledger_records import GRANT_ROW, billed, blocks_of, load_op
from voicewire.storage.ledger_script import (
    GRANTS,
    LEASE_MS,
    NEVER_MS,
    UNKNOWN,
    Answer,
    Item,
    Keys,
    LedgerScript,
    Op,
    block_op,
    restore_op,
    tenant_op,
)
from voicewire.storage.life import Life, View
from voicewire.storage.store import Row, Store
from voicewire.types import KEY_PREFIX

__all__ = ["Item", "Ledger", "Reserved"]

PATIENCE_S = 0.9  # for what somebody waits for: `Busy` comes within a second
TOLD_S = 5.0  # for what nobody listens to
RETRY_S = 0.05
KNOWN_MAX = 20_000  # blocks whose hold is remembered
UNRECORDED_S = 3_600.0  # since PostgreSQL took an entry: then nothing more is sold
UNRECORDED_MAX = 2_000_000
STALE_S = 600.0  # Redis keeps a block for an hour; what was told so long ago is looked up before it is said again
RESENT_MAX = 2_000  # facts in one turn
AGAIN_S = 10.0  # what Redis cannot do, such as with a full disk, is said so often

APPLIED = "UPDATE grants SET applied = now() WHERE id = $1 AND applied IS NULL"

LOGGER = logging.getLogger(__name__)


class Reserved(Struct, frozen=True):
    """The answer to `reserve`. `left_ms` is None where nothing limits the tenant, or nobody can be asked."""

    ok: bool
    hold_ms: int
    left_ms: int | None = None


class _Known(NamedTuple):
    """A block that this gateway reserved. `life`: in which Redis said so; None: it did not."""

    hold_ms: int
    metered: int
    life: Life | None


STRANGE = _Known(0, UNKNOWN, None)


class Ledger:
    """The meter's side of the ledger. `ms` are credit, `audio_ms` sound, of the whole block: not since the last call.

    What is told by `settle`, `park` and `amend` is kept until PostgreSQL has it, and said again after every loss.
    """

    def __init__(
        self,
        redis: Redis,
        store: Store,
        *,
        prefix: str = KEY_PREFIX,
        lease_ms: int = LEASE_MS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys = Keys(prefix)
        self.calls = Calls(redis, LedgerScript(self.keys, lease_ms=lease_ms))
        self.facts = Facts()
        self.resent = 0
        self._store = store
        self._clock = clock
        self._known: OrderedDict[Name, _Known] = OrderedDict()
        self._began: tuple[Life | None, float] = (None, 0.0)  # the life that is open, and since when
        self._doubts: list[Fact] = []
        self._looking = asyncio.Lock()
        self._behind = False
        self._complained_s = -math.inf

    async def reserve(self, item: Item, want_ms: int, least_ms: int, *, metered: bool) -> Reserved:
        """Hold `want_ms`, or what is left where that is at least `least_ms`; refuse otherwise.

        Raises `Busy` within a second when Redis cannot be asked, unless the tenant is not `metered`.
        """
        assert item.stream != GRANTS, "entries of grants stand under this name"
        if self.facts.full or (self._behind and metered):
            raise Busy(retry_after_ms=RETRY_MS)
        op = block_op("reserve", item, hold=want_ms, least=least_ms, metered=int(metered))
        try:
            answer, life = await self._insist(op), self.calls.life
        except Busy:
            if metered:
                raise
            answer, life = Answer("OK", None, want_ms, 0), None  # speech goes on; what it costs is told later
        hold_ms = int(answer.value)
        if answer.status != "SPENT":
            self._remember(item, _Known(hold_ms, int(metered), life))
        return Reserved(answer.status != "SPENT", hold_ms, _left(answer) if metered else None)

    async def touch(self, pairs: Sequence[tuple[Item, int, int]]) -> None:
        """Tell what was delivered so far, `(item, ms, audio_ms)` each, and put off the end of the holds.

        What Redis does not take is told by the next call.
        """
        ops = []
        for item, ms, audio_ms in pairs:
            known = self._known.get(name_of(item), STRANGE)
            ops.append(block_op("touch", item, ms, audio_ms, hold=known.hold_ms, metered=known.metered))
        answers = await self.calls.do_each(ops)
        missing = {op.tenant: op for op, answer in zip(ops, answers, strict=True) if _lacks_account(answer)}
        if missing:
            await asyncio.gather(*map(self._load, missing), return_exceptions=True)

    async def settle(self, item: Item, ms: int, audio_ms: int) -> int | None:
        """Bill a block: nothing more will be delivered of it. Return what is left to the tenant, if it can be said."""
        return await self._tell(SETTLE, item, ms, audio_ms)

    async def park(self, item: Item, ms: int, audio_ms: int) -> int | None:
        """Bill what was delivered of a block and free its hold; more may come after a resume. As `settle`."""
        return await self._tell(PARK, item, ms, audio_ms)

    async def amend(self, item: Item, ms: int, audio_ms: int) -> int | None:
        """Lower what was billed for a block: a cancel said that less was heard. As `settle`."""
        return await self._tell(AMEND, item, ms, audio_ms)

    async def recall(self, tenant: str, stream: str) -> set[int]:
        """Tell Redis what PostgreSQL has billed of a stream that is begun again, and return these blocks.

        Redis forgets a stream after an hour, and would bill it anew. Raises `Busy` when either cannot be asked.
        """
        blocks = await blocks_of(self._store, tenant, stream)
        states = (await billed(self._store, blocks)).get((tenant, stream), []) if blocks else []
        if states:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    life = await self.calls.opened()
                    await self.calls.do(restore_op(tenant, stream, life.epoch, states))
            except (Away, TimeoutError):
                raise Busy(retry_after_ms=RETRY_MS) from None
        return {int(block) for _, _, block in blocks}

    async def told(self, tenant: str, stream: str) -> None:
        """Wait until Redis has all that was told of a stream: then it outlives this gateway. Raises `Busy`."""
        try:
            async with asyncio.timeout(TOLD_S):
                while True:
                    if self.facts.said(tenant, stream, await self.calls.opened()):
                        return
                    await asyncio.sleep(RETRY_S)
        except TimeoutError:
            raise Busy(retry_after_ms=RETRY_MS) from None

    async def left(self, tenant: str) -> int | None:
        """Return what is left to a tenant, holds included. Raises `Busy` when nobody can be asked."""
        return _left(await self._insist(tenant_op("left", tenant)))

    async def balance(self, tenant: str) -> tuple[int | None, int]:
        """Return what is left to a tenant, and how much of that blocks hold that are being spoken. As `left`."""
        answer = await self._insist(tenant_op("left", tenant))
        return _left(answer), int(answer.value)

    async def grant(self, grant_id: str) -> None:
        """Add a row of `grants` to its tenant's account in Redis, once. Raises `Busy`; the sweep will do it then."""
        row = await self._grant(grant_id)
        if row is None:
            return
        expires = NEVER_MS if row["expires_ms"] is None else row["expires_ms"]
        await self._insist(tenant_op("grant", row["tenant"], grant_id, expires, row["ms"]))
        await self._store.execute(APPLIED, grant_id)

    async def reverse(self, grant_id: str, ms: int | None = None) -> int:
        """Take back what is left of a grant, `ms` at most, once; return how much that was. Raises `Busy`."""
        row = await self._grant(grant_id)
        if row is None:
            return 0
        answer = await self._insist(tenant_op("reverse", row["tenant"], grant_id, row["ms"] if ms is None else ms))
        return int(answer.value)

    def observe(self, view: View, now_s: float) -> None:
        """Take note of how Redis stands: forget what is recorded, and sell no more where nothing is for long."""
        if self.calls.life is not None and view.life == self.calls.life:
            self.facts.confirm(self.calls.life, view)
            if self._began[0] != self.calls.life:
                self._began = (self.calls.life, self._clock())
        self._behind = view.waiting > UNRECORDED_MAX or view.behind_s(now_s) > UNRECORDED_S

    async def resend(self) -> None:
        """Say again what was not heard, or is lost. Raises `Busy` where PostgreSQL must be asked first and is away."""
        life = self.calls.life
        if life is None:
            return
        facts = [fact for fact, _ in zip(self.facts.unsaid(life), range(RESENT_MAX), strict=False)]
        await self._look_up([fact for fact in facts if self._doubtful(fact, life)], life)
        self.resent += len(facts)
        await asyncio.gather(*map(self._say, facts))

    def _doubtful(self, fact: Fact, life: Life) -> bool:
        """Whether PostgreSQL may have something of the block that Redis does not know, or not any more."""
        now, (began, since) = self._clock(), self._began
        if now - fact.told_s > STALE_S:
            return True
        return fact.life != life and (began != life or now - since < STALE_S or fact.told_s < since)

    async def _look_up(self, facts: Sequence[Fact], life: Life) -> None:
        """Tell Redis what PostgreSQL has of blocks that it may not know any more."""
        for at in range(0, len(facts), RESENT_MAX):
            some = facts[at : at + RESENT_MAX]
            items = [block_op("", fact.item) for fact in some]
            names = [(op.tenant, op.stream, str(fact.item.block)) for op, fact in zip(items, some, strict=True)]
            streams = await billed(self._store, names)
            answers = await self.calls.do_each(
                restore_op(tenant, stream, life.epoch, states) for (tenant, stream), states in streams.items()
            )
            if any(isinstance(answer, BaseException) for answer in answers):
                raise Busy(retry_after_ms=RETRY_MS)
            for fact in some:
                fact.life, fact.told_s = life, self._clock()

    async def _tell(self, kind: str, item: Item, ms: int, audio_ms: int) -> int | None:
        known = self._known.get(name_of(item), STRANGE)
        fact = self.facts.tell(Fact(item, kind, ms, audio_ms, known.metered, known.life, self._clock()))
        life = self.calls.life
        if life is not None and self._doubtful(fact, life):
            with contextlib.suppress(Busy):
                await self._look_up_together(fact, life)
        return await self._say(fact)

    async def _look_up_together(self, fact: Fact, life: Life) -> None:
        """Look a fact up with all that are told meanwhile: after a restart, many are."""
        self._doubts.append(fact)
        async with self._looking:
            doubts, self._doubts = self._doubts, []
            await self._look_up([each for each in doubts if each.life != life], life)

    async def _say(self, fact: Fact) -> int | None:
        """Say a fact once; return what is left. Where that fails, it stays among those to be said."""
        life = self.calls.life
        if life is None or self._doubtful(fact, life):
            return None
        fact.asked = True
        try:
            answer = await self._ask(block_op(fact.kind, fact.item, fact.ms, fact.audio_ms, metered=fact.metered))
        except (Away, Busy):
            return None
        finally:
            fact.asked = False
        if life == self.calls.life:
            fact.applied = (life, answer.seq)
        return _left(answer)

    async def _insist(self, op: Op) -> Answer:
        """Ask until there is an answer. Raises `Busy` when there is none in time."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    await self.calls.opened()
                    try:
                        return await self._ask(op)
                    except Away:
                        await asyncio.sleep(RETRY_S)
        except TimeoutError:
            raise Busy(retry_after_ms=RETRY_MS) from None

    async def _ask(self, op: Op) -> Answer:
        """Ask once; where Redis has no account of the tenant, it gets one. Raises `Away` or `Busy`."""
        answer = await self.calls.do(op)
        if answer.status == "NOACCT":
            await self._load(op.tenant)
            answer = await self.calls.do(op)
        if answer.status in {"NOACCT", "ERROR"}:
            self._complain(answer)
            raise Away
        return answer

    def _complain(self, answer: Answer) -> None:
        now = self._clock()
        if now - self._complained_s >= AGAIN_S:
            self._complained_s = now
            LOGGER.error("the ledger could not do an operation: %s", answer.value)

    async def _load(self, tenant: str) -> None:
        """Bring an account from PostgreSQL, in the life in which it was found missing. Raises `Away` or `Busy`."""
        life = self.calls.life
        op = await load_op(self._store, tenant)
        if life is None or life != self.calls.life:
            raise Away
        await self.calls.do(op)

    async def _grant(self, grant_id: str) -> Row | None:
        return await self._store.fetchrow(GRANT_ROW, grant_id)

    def _remember(self, item: Item, known: _Known) -> None:
        self._known[name_of(item)] = known
        self._known.move_to_end(name_of(item))
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)


def _left(answer: Answer) -> int | None:
    return None if answer.left_ms is None else max(0, answer.left_ms)


def _lacks_account(answer: Answer | BaseException) -> bool:
    return isinstance(answer, Answer) and answer.status == "NOACCT"
