"""The script on a real Redis beside the model: each call is made to both, and everything they keep is compared."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from redis.asyncio import Redis

from tests.storage.ledger_model import LEASE_MS, Account, Model, Said
from voicewire.storage.ledger_script import (
    NEVER_MS,
    UNKNOWN,
    EpochChanged,
    Item,
    Keys,
    LedgerScript,
    Op,
    block_op,
    restore_op,
    tenant_op,
)
from voicewire.storage.ledger_script import State as Restored
from voicewire.storage.postings import decode
from voicewire.storage.scripts import Script

BEGIN_MS = 1_000_000
TENANTS = ("t_a", "t_b")
MONTH_MS = 30_000

Call = tuple[Op, Said]
Move = Callable[[], Call]


class Different(AssertionError):
    """Redis and the model do not agree."""


class Rig:
    """See the module. `now` moves by `pass_ms` alone."""

    def __init__(self, redis: Redis, source: str | None = None) -> None:
        self._redis = redis
        self.keys = Keys("vw:")
        self._script = LedgerScript(self.keys, Script(source) if source else None, lease_ms=LEASE_MS)
        self._seen = "-"
        self.model = Model(0)
        self.grants = 0

    async def begin(self, epoch: int) -> None:
        """Begin an epoch: what was before is there, and counts no more."""
        now = self.model.now or BEGIN_MS
        await self._redis.delete(self.keys.meta, self.keys.leases, self.keys.outbox)
        await self._redis.hset(self.keys.meta, mapping={"epoch": epoch, "seq": 0})
        self.model = Model(epoch)
        self.model.now = now
        self._seen = "-"

    def pass_ms(self, ms: int) -> None:
        self.model.now += ms

    # Each makes a call and what must be answered; calls are made in the order in which they were put together.

    def reserve(self, item: Item, want: int, least: int, *, metered: bool) -> Call:
        op = block_op("reserve", item, hold=want, least=least, metered=int(metered))
        return op, self.model.reserve(item, want, least, metered=metered)

    def touch(self, item: Item, ms: int, audio: int, hold: int, metered: int = UNKNOWN) -> Call:
        op = block_op("touch", item, ms, audio, hold=hold, metered=metered)
        return op, self.model.touch(item, ms, audio, hold, metered)

    def tell(self, kind: str, item: Item, ms: int, audio: int, metered: int = UNKNOWN) -> Call:
        tell = {"settle": self.model.settle, "park": self.model.park, "amend": self.model.amend}[kind]
        return block_op(kind, item, ms, audio, metered=metered), tell(item, ms, audio, metered)

    def expire(self, item: Item) -> Call:
        return block_op("expire", Item(item.tenant, item.stream, item.block, "", "", "")), self.model.expire(item)

    def left(self, tenant: str) -> Call:
        return tenant_op("left", tenant), self.model.left(tenant)

    def load(self, tenant: str, overdraft: int, grants: list[tuple[str, int, int]]) -> Call:
        return tenant_op("load", tenant, overdraft, grants, []), self.model.load(tenant, overdraft, grants)

    def grant(self, tenant: str, id: str, expires: int, ms: int) -> Call:
        return tenant_op("grant", tenant, id, expires, ms), self.model.grant(tenant, id, expires, ms)

    def reverse(self, tenant: str, id: str, ms: int) -> Call:
        return tenant_op("reverse", tenant, id, ms), self.model.reverse(tenant, id, ms)

    def restore(self, item: Item, ms: int, posts: int, burnt: list[tuple[str, int]], *, metered: bool) -> Call:
        state = Restored(
            *(str(item.block), ms, ms, posts, int(metered)),
            *(int(item.cached), item.model, item.voice, item.key, burnt),
        )
        said = self.model.restore(item, ms, ms, posts, metered=metered, burnt=burnt)
        return restore_op(item.tenant, item.stream, self.model.epoch, [state]), said

    async def make(self, *calls: Call) -> None:
        """Make `calls`, in one call of the script, and compare all there is."""
        answers = await self._script.call(self._redis, str(self.model.epoch), [op for op, _ in calls], self.model.now)
        for (op, said), answer in zip(calls, answers, strict=True):
            if answer[:3] != said:
                raise Different(f"{msgspec.msgpack.decode(op.packed)}: {answer[:3]}, not {said}")
        if answers[-1].seq != self.model.seq:
            raise Different(f"seq {answers[-1].seq}, not {self.model.seq}")
        await self._compare()

    async def make_late(self, item: Item) -> None:
        """Ask for something in an epoch that has ended: nothing may happen."""
        with contextlib.suppress(EpochChanged):
            late = str(self.model.epoch - 1)
            answers = await self._script.call(self._redis, late, [block_op("settle", item, 900, 900)], self.model.now)
            raise Different(f"done in an epoch that has ended: {answers}")
        await self._compare()

    async def _compare(self) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.xrange(self.keys.outbox, min=self._seen)
            pipeline.zrange(self.keys.leases, 0, -1, withscores=True)
            for tenant in TENANTS:
                pipeline.hgetall(self.keys.account(tenant))
            entries, leases, *accounts = await pipeline.execute()
        self._compare_entries(entries)
        _same("leases", _leases(leases), {f"{t}|{b}|{s}": end for (t, s, b), end in self.model.leases.items()})
        for tenant, found in zip(TENANTS, accounts, strict=True):
            if tenant in self.model.accounts:
                _same(tenant, _account(found), _expected(self.model.accounts[tenant], self.model.epoch))
                self._check_sums(tenant)

    def _compare_entries(self, found: Sequence[Any]) -> None:
        for id, fields in found:
            seq = int(id.partition(b"-")[2])
            if seq > self.model.seq:
                raise Different(f"an entry more: {decode(fields[b'e'])}")
            _same(f"entry {id.decode()}", decode(fields[b"e"]), self.model.outbox[seq - 1])
            if sum(self.model.outbox[seq - 1].postings().values()):
                raise Different("postings that do not add up to zero")
        if self.model.seq:
            self._seen = f"({self.model.epoch}-{self.model.seq}"

    def _check_sums(self, tenant: str) -> None:
        """What an account holds is what its running blocks hold."""
        running = (block for block in self.model.blocks.values() if block.item.tenant == tenant and block.state == "R")
        _same("held", self.model.accounts[tenant].held, sum(block.hold for block in running if block.metered))


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise Different(f"{what}: {found}, not {expected}")


def _leases(found: Sequence[tuple[bytes, float]]) -> dict[str, int]:
    return {member.decode(): int(end) for member, end in found}


def _account(found: dict[bytes, bytes]) -> tuple[object, ...]:
    known = {key.decode(): int(value) for key, value in found.items() if key.startswith((b"g:", b"r:"))}
    grants = [tuple(each) for each in msgspec.msgpack.decode(found[b"grants"])]
    numbers = [int(found[name]) for name in (b"e", b"held", b"overdraft", b"metered")]
    return grants, numbers, known


def _expected(account: Account, epoch: int) -> tuple[object, ...]:
    known = {f"g:{id}": expires for id, expires in account.known.items()}
    known |= {f"r:{id}": ms for id, ms in account.reversed.items()}
    grants = [(grant.id, grant.expires, grant.left) for grant in account.grants]
    return grants, [epoch, account.held, account.overdraft, int(account.metered)], known


class Walk:
    """Moves at random, with a liking for edges: repeats, exact amounts, exact times, late news."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self.rig = rig
        self.random = random.Random(seed)
        self.stream = 0

    async def go(self, steps: int) -> None:
        """Make `steps` calls of a few operations each."""
        await self.rig.begin(1)
        for step in range(steps):
            if self.random.random() < 0.02:
                await self.rig.make_late(self._item())
            if self.random.random() < 0.015:
                await self.rig.begin(self.rig.model.epoch + 1)
            if step % 12 == 0:
                self.stream += 1
            if self.random.random() < 0.5:
                self.rig.pass_ms(self._time())
            calls: list[Call] = []
            for _ in range(self.random.choice((1, 1, 2, 4, 6))):
                move = self._move()
                calls += (move() for _ in range(self.random.choice((1, 1, 1, 1, 2))))  # whatever is asked may repeat
            await self.rig.make(*calls)

    def _time(self) -> int:
        """To the very millisecond at which something ends, or any."""
        model, now = self.rig.model, self.rig.model.now
        ends = [*model.leases.values(), *(g.expires for a in model.accounts.values() for g in a.grants)]
        ends = [end - now for end in ends if now < end < NEVER_MS]
        if ends and self.random.random() < 0.3:
            return max(1, self.random.choice(ends) - self.random.choice((0, 0, 1)))
        return self.random.choice((1, 100, 3_000, 20_000))

    def _item(self) -> Item:
        stream = max(0, self.stream - self.random.choice((0, 0, 0, 1, 2)))
        tenant = TENANTS[stream % 2]
        cached = stream % 3 == 0
        return Item(tenant, f"s{stream}", self.random.randrange(3), f"m{stream % 2}", "v|w", "k", cached)

    def _move(self) -> Move:
        moves = (
            *[self._reserve] * 8,
            *[self._touch] * 5,
            *[self._tell] * 12,
            *[self._expire] * 5,
            *[self._account] * 4,
            *[self._grant] * 3,
            self._reverse,
            *[self._restore] * 4,
        )
        return self.random.choice(moves)()

    def _metered(self, item: Item) -> bool:
        return int(item.stream[1:]) % 7 != 3

    def _reserve(self) -> Move:
        item = self._item()
        account = self.rig.model.accounts.get(item.tenant, Account())
        free = max(0, account.balance - account.held)
        least = self.random.choice((0, 1, 500, 500, free, free + 1, free // 2))
        return partial(
            self.rig.reserve, item, least + self.random.choice((0, 1, 700)), least, metered=self._metered(item)
        )

    def _amounts(self, item: Item) -> tuple[int, int]:
        block = self.rig.model.blocks.get((item.tenant, item.stream, item.block))
        near = [0, 1, 400, 1_100]
        if block is not None:
            near += (block.posted, block.posted + 1, max(0, block.posted - 1), block.ms, block.hold, block.hold + 50)
        ms = self.random.choice(near)
        return ms, self.random.choice((ms, ms, 0, ms * 2, block.sounded if block else 0))

    def _touch(self) -> Move:
        item = self._item()
        return partial(self.rig.touch, item, *self._amounts(item), self.random.choice((0, 300)), self._flag())

    def _flag(self) -> int:
        return self.random.choice((UNKNOWN, UNKNOWN, 0, 1))

    def _tell(self) -> Move:
        item = self._item()
        kind = self.random.choice(("settle", "settle", "park", "park", "amend", "amend"))
        return partial(self.rig.tell, kind, item, *self._amounts(item), self._flag())

    def _expire(self) -> Move:
        leases = list(self.rig.model.leases)
        if leases and self.random.random() < 0.8:
            tenant, stream, block = min(leases, key=self.rig.model.leases.__getitem__)
            return partial(self.rig.expire, Item(tenant, stream, block, "", "", ""))
        return partial(self.rig.expire, self._item())

    def _account(self) -> Move:
        tenant = self.random.choice(TENANTS)
        if tenant in self.rig.model.accounts and self.random.random() < 0.7:
            return partial(self.rig.left, tenant)
        overdraft = self.random.choice((0, 0, 40, -40))
        return partial(self.rig.load, tenant, overdraft, [self._new_grant() for _ in range(self.random.randrange(4))])

    def _new_grant(self) -> tuple[str, int, int]:
        self.rig.grants += 1
        ms = self.random.choice((0, 1, 300, 2_000, 2_000))
        later = self.random.choice((-5, 0, 1, MONTH_MS, MONTH_MS, 2 * MONTH_MS))
        expires = self.random.choice((self.rig.model.now + later, NEVER_MS, 3 * MONTH_MS + BEGIN_MS))
        return f"{self.random.choice('abc')}{self.rig.grants}", expires, ms

    def _grant(self) -> Move:
        tenant = self.random.choice(TENANTS)
        known = list(self.rig.model.accounts.get(tenant, Account()).known.items())
        if known and self.random.random() < 0.3:
            return partial(self.rig.grant, tenant, *self.random.choice(known), 500)
        return partial(self.rig.grant, tenant, *self._new_grant())

    def _reverse(self) -> Move:
        tenant = self.random.choice(TENANTS)
        account = self.rig.model.accounts.get(tenant, Account())
        id = self.random.choice([grant.id for grant in account.grants] or list(account.reversed) or ["none"])
        return partial(self.rig.reverse, tenant, id, self.random.choice((1, 300, 10_000)))

    def _restore(self) -> Move:
        item, metered = self._item(), self.random.random() < 0.8
        known = list(self.rig.model.accounts.get(item.tenant, Account()).known) or ["none"]
        burnt = [(f"grant:{self.random.choice(known)}", 30), ("overdraft", 20)] if metered else []
        return partial(self.rig.restore, item, 50, self.random.choice((1, 2)), burnt, metered=metered)
