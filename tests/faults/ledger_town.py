"""A Redis, a PostgreSQL and gateways, each a process of its own, to be killed; and what must hold when all is over."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from tests.conftest import redis_server
from tests.faults.ledger_gateway import Plan
from tests.fresh_database import lay_database
from voicewire.accounts.grants import Grant, give
from voicewire.storage.embedded_postgres import EmbeddedPostgres
from voicewire.storage.ledger_service import LedgerService
from voicewire.storage.migrations import migrate
from voicewire.storage.redis import open_redis
from voicewire.storage.store import Store

ROOT = Path(__file__).parent.parent.parent
TENANTS = ["t_0", "t_1", "t_2", "t_poor"]
OPEN_TENANTS = ["t_open"]
ENOUGH_MS = 10**8
LAPSES_S = 3.0
LITTLE_MS = 20_000
LEASE_MS = 1_500
ENDS_S = 40

Block = tuple[str, str, str]


@dataclass
class Gateway:
    plan: Plan
    process: subprocess.Popen[bytes]
    killed: bool = False


@dataclass
class Heard:
    """What a block delivered, and what was said of it last."""

    delivered_ms: int = 0
    last_ms: int = 0


@dataclass
class Town:
    """Everything, in `folder`."""

    folder: Path
    seed: int
    durable: bool = True  # whether Redis writes a file
    shared: str = ""  # the address of a PostgreSQL that others use too; empty: its own, to be killed
    gateways: list[Gateway] = field(default_factory=list)
    redis: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    lapses: datetime = field(init=False)  # when a part of the credit does

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        lay_database(self.folder)
        self.postgres = EmbeddedPostgres(self.folder, {"fsync": "off"})

    @property
    def postgres_url(self) -> str:
        return self.shared or self.postgres.url()

    @property
    def redis_url(self) -> str:
        return f"unix://{self.folder}/r.sock"

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Store]:
        """Start the servers, with tenants that have credit; end whatever still runs."""
        self.start_redis()
        if not self.shared:
            await self.postgres.start()
        store = await Store(self.postgres_url).open()
        try:
            await migrate(store)
            await self._endow(store)
            yield store
        finally:
            await store.close()
            for gateway in self.gateways:
                gateway.process.kill()
                gateway.process.wait()
                assert gateway.process.stdout
                gateway.process.stdout.close()
            self.kill_redis()
            if not self.shared:
                await self.postgres.stop()

    async def _endow(self, store: Store) -> None:
        now = datetime.now(UTC)
        self.lapses = now + timedelta(seconds=LAPSES_S)
        for tenant in (*TENANTS, *OPEN_TENANTS):
            await store.execute("INSERT INTO tenants (id, name) VALUES ($1, '')", tenant)
            much = LITTLE_MS if tenant == "t_poor" else ENOUGH_MS
            async with store.transaction() as session:  # told by the gateways' sweep
                await give(session, Grant.new(f"soon:{tenant}", tenant, "plan", 9_000, self.lapses, now))
                await give(session, Grant.new(f"main:{tenant}", tenant, "package", much, None, now))

    def start_redis(self) -> None:
        options = ["--port", "0", "--unixsocket", "r.sock", "--save", "", "--dir", str(self.folder)]
        options += ["--appendonly", "yes" if self.durable else "no", "--appendfsync", "everysec"]
        self.redis = subprocess.Popen([redis_server(), *options], stdout=subprocess.DEVNULL, cwd=self.folder)

    def kill_redis(self) -> None:
        assert self.redis
        self.redis.kill()
        self.redis.wait()

    def lose_redis(self, cut_bytes: int = 0) -> None:
        """Kill it, with the end of its file lost as in a power cut, and start it again."""
        self.kill_redis()
        file = self.folder / "appendonly.aof"
        if cut_bytes and file.exists():
            size = file.stat().st_size
            with file.open("r+b") as opened:
                opened.truncate(max(0, size - self.random.randint(1, cut_bytes)))
        self.restarts += 1
        self.start_redis()

    def open_gateway(self, **changes: object) -> Gateway:
        name = f"g{len(self.gateways)}"
        fields = {
            "name": name,
            "redis": self.redis_url,
            "postgres": self.postgres_url,
            "log": str(self.folder / f"{name}.log"),
            "seed": self.seed,
            "tenants": TENANTS,
            "open_tenants": OPEN_TENANTS,
            "lease_ms": LEASE_MS,
        }
        plan = msgspec.convert(fields | changes, Plan)
        path = self.folder / f"{name}.json"
        path.write_bytes(msgspec.json.encode(plan))
        command = [sys.executable, "-m", "tests.faults.ledger_gateway", str(path)]
        gateway = Gateway(plan, subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT))
        self.gateways.append(gateway)
        return gateway

    def kill_gateway(self, gateway: Gateway) -> None:
        gateway.process.kill()
        gateway.process.wait()
        gateway.killed = True

    async def until_heard(self, gateway: Gateway, more: int) -> None:
        """Wait until a gateway has delivered `more` than now."""
        log = Path(gateway.plan.log)
        begin = log.stat().st_size if log.exists() else 0
        async with asyncio.timeout(ENDS_S):
            while not log.exists() or log.stat().st_size < begin + more * 20:
                await asyncio.sleep(0.02)

    async def end_gateways(self) -> list[dict[str, float]]:
        """Have them stop when all they know is recorded; return what they say of themselves."""
        living = [each for each in self.gateways if not each.killed]
        for each in living:
            each.process.send_signal(signal.SIGTERM)
        said = []
        for each in living:
            output, _ = await asyncio.to_thread(each.process.communicate, timeout=ENDS_S)
            assert each.process.returncode == 0, f"{each.plan.name} ended with {each.process.returncode}"
            said.append(json.loads(output))
        return said

    def heard(self, gateway: Gateway) -> dict[Block, Heard]:
        """Return the truth, from the log."""
        blocks: defaultdict[Block, Heard] = defaultdict(Heard)
        log = Path(gateway.plan.log)
        for line in (
            log.read_text(encoding="ascii").splitlines() if log.exists() else ()
        ):  # it may have been killed first
            tenant, stream, block, kind, ms = line.split()
            heard = blocks[tenant, stream, block]
            heard.last_ms = int(ms)
            if kind == "heard":
                heard.delivered_ms = int(ms)
        return dict(blocks)

    @asynccontextmanager
    async def settled(self, store: Store) -> AsyncIterator[LedgerService]:
        """A ledger that has let the holds of the killed run out, and carried all to PostgreSQL."""
        redis = open_redis(self.redis_url)
        service = LedgerService(redis, store, lease_ms=LEASE_MS)
        try:
            async with asyncio.timeout(ENDS_S):
                await service.start()
                await service.apply_grants()
                assert service.ledger.calls.client
                while await service.ledger.calls.client.zcard(service.ledger.keys.leases):
                    await service.sweep()
                    await asyncio.sleep(0.1)
                while datetime.now(UTC) <= self.lapses:  # or it would lapse while accounts are compared
                    await asyncio.sleep(0.1)
                await service.lapse()
                await service.flush()
            yield service
        finally:
            await service.close()
            await redis.aclose()

    async def check(self, store: Store, service: LedgerService) -> dict[str, int]:
        """What was recorded is what was delivered; both halves agree; nothing is held. Return figures to be told."""
        rows = await store.fetch(
            "SELECT tenant, stream, block, sum(ms)::bigint AS ms, sum(audio_ms)::bigint AS audio_ms FROM entries"
            " WHERE stream <> 'grant' GROUP BY tenant, stream, block"
        )
        billed = {(row["tenant"], row["stream"], row["block"]): row["ms"] for row in rows}
        assert all(row["ms"] == row["audio_ms"] for row in rows)
        forgiven: defaultdict[str, int] = defaultdict(int)  # by stream
        for gateway in self.gateways:
            for block, heard in self.heard(gateway).items():
                ms = billed.pop(block, 0)
                if gateway.killed:
                    assert ms <= heard.delivered_ms, f"{block} was billed {ms} ms for {heard}"
                    forgiven[block[1]] += max(0, heard.last_ms - ms)
                else:
                    assert ms == heard.last_ms, f"{block} was billed {ms} ms for {heard}"
        assert not any(billed.values()), f"billed, and never delivered: {billed}"
        assert await service.reconcile() == []
        assert service.counters().gaps == 0
        await self._check_accounts(store, service)
        return {"blocks": len(rows), "forgiven_ms": max(forgiven.values(), default=0), "restarts": self.restarts}

    async def _check_accounts(self, store: Store, service: LedgerService) -> None:
        client = service.ledger.calls.client
        assert client is not None
        for tenant in (*TENANTS, *OPEN_TENANTS):
            left = await service.ledger.left(tenant)  # brings the account in, where nobody has asked
            assert await client.hget(service.ledger.keys.account(tenant), "held") == b"0"
            rows = await store.fetch("SELECT left_ms FROM grants WHERE tenant = $1", tenant)
            debt = await store.fetchval("SELECT -ms FROM balances WHERE account = $1", f"overdraft:{tenant}") or 0
            assert left == max(0, sum(row["left_ms"] for row in rows) - debt)
        assert await store.fetchval("SELECT sum(ms) FROM balances") == 0
