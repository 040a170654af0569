"""A gateway with nothing but a ledger: streams that deliver, and write down what they delivered before they say so.

Run as a process, to be killed. Its log is the truth: one line for each delivery, `tenant stream block kind ms`.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

from msgspec import Struct, convert

from voicewire.errors import Busy
from voicewire.remote.turns import end
from voicewire.storage.facts import Facts
from voicewire.storage.flusher import Flusher
from voicewire.storage.ledger import Item
from voicewire.storage.ledger_service import LedgerService
from voicewire.storage.redis import open_redis
from voicewire.storage.store import Store

TOUCH_S = 0.2
STEP_S = 0.02
RECORDED_S = 30.0
HOLD_MS = 1_500


class Plan(Struct, frozen=True):
    """What a gateway is told on its command line."""

    name: str
    redis: str
    postgres: str
    log: str
    seed: int
    tenants: list[str]
    open_tenants: list[str]
    streams: int = 10
    lease_ms: int = 1_500
    dies_after_commits: int = 0  # killed when so many flushes were committed, before the last is trimmed
    forgets: bool = False  # says nothing twice: a wrong gateway, to show that it would be seen


class Dying(Flusher):
    """Is killed between commit and trim."""

    commits = 0
    dies_after = 0

    async def trim(self, redis: Any, last: Any) -> None:
        self.commits += 1
        if self.commits == self.dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        await super().trim(redis, last)


class Forgetful(LedgerService):
    """Takes for recorded whatever it was told."""

    async def _watch(self) -> None:
        self.ledger.facts = Facts()
        await super()._watch()
        self.ledger.facts = Facts()


class Gateway:
    """Streams on a ledger, until it is told to stop."""

    def __init__(self, plan: Plan, service: LedgerService) -> None:
        self.plan = plan
        self.service = service
        self.stopping = False
        self.running: dict[Item, int] = {}
        self.blocks = 0
        self._log = os.open(plan.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def serve(self) -> None:
        """Speak until told to stop; then wait until all is recorded."""
        work = [asyncio.create_task(self.service.run()), asyncio.create_task(self._touch())]
        await asyncio.gather(*(self._stream(nth) for nth in range(self.plan.streams)))
        async with asyncio.timeout(RECORDED_S):
            while len(self.service.ledger.facts):
                await asyncio.sleep(0.05)
        await end(work)

    async def _stream(self, nth: int) -> None:
        dice = random.Random(f"{self.plan.seed}.{self.plan.name}.{nth}")
        tenants = self.plan.tenants + self.plan.open_tenants
        tenant, block = tenants[nth % len(tenants)], 0
        while not self.stopping:
            item = Item(tenant, f"{self.plan.name}.{nth}", block, "m", "v", "k", dice.random() < 0.2)
            if await self._reserved(item):
                await self._speak(item, dice)
                self.blocks += 1
            else:
                await asyncio.sleep(0.1)
            block += 1

    async def _reserved(self, item: Item) -> bool:
        metered = item.tenant not in self.plan.open_tenants
        while not self.stopping:
            try:
                return (await self.service.ledger.reserve(item, HOLD_MS, 300, metered=metered)).ok
            except Busy:
                await asyncio.sleep(STEP_S)
        return False

    async def _speak(self, item: Item, dice: random.Random) -> None:
        """Deliver a block, as blocks go: most are heard to the end, some are parked and resumed, cancelled, or fail."""
        ledger, ms, end = self.service.ledger, 0, dice.choice((0, 100, 700, 1_600))
        fate = dice.choice(("settle", "settle", "park", "amend"))
        while ms < end:
            await asyncio.sleep(STEP_S)
            ms += dice.randint(10, 60)
            self._write(item, "heard", ms)
            if fate == "park" and ms > end / 2:
                fate = "settle"
                self.running.pop(item, None)
                await ledger.park(item, ms, ms)
                await self._reserved(item)
        self.running.pop(item, None)
        await ledger.settle(item, ms, ms)
        if fate == "amend" and ms:
            less = dice.randint(0, ms)
            self._write(item, "amended", less)
            await ledger.amend(item, less, less)

    def _write(self, item: Item, kind: str, ms: int) -> None:
        if kind == "heard":
            self.running[item] = ms
        os.write(self._log, f"{item.tenant} {item.stream} {item.block} {kind} {ms}\n".encode())

    async def _touch(self) -> None:
        while True:
            await asyncio.sleep(TOUCH_S)
            await self.service.ledger.touch([(item, ms, ms) for item, ms in self.running.items()])


async def main(plan: Plan) -> None:
    redis, store = open_redis(plan.redis), await Store(plan.postgres).open()
    Dying.dies_after = plan.dies_after_commits
    kind = Forgetful if plan.forgets else LedgerService
    service = kind(redis, store, lease_ms=plan.lease_ms, flusher=Dying)
    gateway = Gateway(plan, service)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, setattr, gateway, "stopping", True)
    await gateway.serve()
    counters = service.counters()
    await service.close()
    await store.close()
    await redis.aclose()
    said = {"blocks": gateway.blocks, "recoveries": counters.recoveries, "recovery_s": counters.recovery_s}
    said |= {"resent": counters.resent, "flushed": counters.flushed, "gaps": counters.gaps}
    print(json.dumps(said))


if __name__ == "__main__":
    asyncio.run(main(convert(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Plan)))
