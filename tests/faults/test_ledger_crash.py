"""Whatever is killed: what is recorded is what was delivered, to the millisecond. Real processes; seeds are printed."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.faults.ledger_town import Gateway, Town

CUT_BYTES = 200_000
FORGIVEN_MS = 1_000  # of a stream whose gateway was killed; twice that if Redis was killed with it
MANY = range(1, 11)


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="voicewire-"))  # short: sockets live in it
    yield folder
    shutil.rmtree(folder)


@asynccontextmanager
async def town(
    folder: Path, seed: int, shared: str, *, durable: bool = True, forgiven_ms: int = 0
) -> AsyncIterator[Town]:
    """A town that is checked when its faults are over. `forgiven_ms`: at most, to a stream whose gateway was killed."""
    here = Town(folder, seed, durable, shared)
    async with here.life() as store:
        yield here
        said = await here.end_gateways()
        async with here.settled(store) as service:
            figures = await here.check(store, service)
    print(f"seed {seed}: {figures}; gateways: {said}")
    assert figures["blocks"]
    assert figures["forgiven_ms"] <= forgiven_ms


async def lose_redis(
    folder: Path, seed: int, shared: str, *, cut_bytes: int = 0, durable: bool = True, forgets: bool = False
) -> None:
    async with town(folder, seed, shared, durable=durable) as here:
        gateways = [here.open_gateway(forgets=forgets) for _ in range(2)]
        for _ in range(2):
            await here.until_heard(gateways[0], 150 + here.random.randrange(100))
            here.lose_redis(cut_bytes)
        for gateway in gateways:
            await here.until_heard(gateway, 100)


async def kill_gateways(folder: Path, seed: int, shared: str) -> None:
    async with town(folder, seed, shared, forgiven_ms=FORGIVEN_MS) as here:
        here.open_gateway()
        for _ in range(2):
            victim = here.open_gateway()
            await here.until_heard(victim, 150 + here.random.randrange(100))
            here.kill_gateway(victim)


async def kill_flusher(folder: Path, seed: int, shared: str) -> None:
    async with town(folder, seed, shared, forgiven_ms=FORGIVEN_MS) as here:
        victim = here.open_gateway(dies_after_commits=3)
        await asyncio.to_thread(victim.process.wait, 30)  # alone: it is the one that flushes
        victim.killed = True
        await here.until_heard(here.open_gateway(), 100)


async def stop_postgres(folder: Path, seed: int, _: str) -> None:
    async with town(folder, seed, "") as here:
        gateway = here.open_gateway()
        await here.until_heard(gateway, 150)
        await here.postgres.stop()
        await here.until_heard(gateway, 400)  # nobody notices
        await here.postgres.start()
        await here.until_heard(gateway, 100)


async def do_everything(folder: Path, seed: int, _: str) -> None:
    async with town(folder, seed, "", forgiven_ms=2 * FORGIVEN_MS) as here:
        living = [here.open_gateway() for _ in range(2)]
        for _fault in range(4):
            await here.until_heard(living[0], 80 + here.random.randrange(80))
            await hurt(here, living)
        for gateway in living:
            await here.until_heard(gateway, 50)


async def hurt(here: Town, living: list[Gateway]) -> None:
    fault = here.random.choice(("redis", "cut", "gateway", "postgres", "both"))
    print(f"seed {here.seed}: {fault}")
    if fault == "gateway":
        here.kill_gateway(living.pop())
        living.append(here.open_gateway())
    if fault in {"postgres", "both"}:
        await here.postgres.stop()
    if fault in {"redis", "cut", "both"}:
        here.lose_redis(CUT_BYTES if fault == "cut" else 0)
    if fault in {"postgres", "both"}:
        await asyncio.sleep(here.random.uniform(0, 0.5))
        await here.postgres.start()


Fault = Callable[[Path, int, str], Awaitable[None]]


async def kill_redis(folder: Path, seed: int, shared: str) -> None:
    await lose_redis(folder, seed, shared)


async def cut_redis(folder: Path, seed: int, shared: str) -> None:
    await lose_redis(folder, seed, shared, cut_bytes=CUT_BYTES)


async def empty_redis(folder: Path, seed: int, shared: str) -> None:
    await lose_redis(folder, seed, shared, durable=False)


FAULTS: tuple[Fault, ...] = (
    kill_redis,
    cut_redis,
    empty_redis,
    kill_gateways,
    kill_flusher,
    stop_postgres,
    do_everything,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: each.__name__)
async def test_what_is_recorded_is_what_was_delivered(folder: Path, postgres_url: str, fault: Fault) -> None:
    await fault(folder, 0, postgres_url)


async def test_a_gateway_that_forgets_would_be_seen(folder: Path, postgres_url: str) -> None:
    with pytest.raises(AssertionError, match="was billed"):
        await lose_redis(folder, 0, postgres_url, durable=False, forgets=True)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", MANY)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: each.__name__)
async def test_so_it_is_with_other_seeds(folder: Path, postgres_url: str, fault: Fault, seed: int) -> None:
    await fault(folder, seed, postgres_url)
