"""One making for all who want a block, and what becomes of it in the cache."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from tests.engines.pooled import until
from voicewire.blocks import Splitter
from voicewire.cache.fs import FsBackend
from voicewire.cache.shelf import Shelf
from voicewire.catalogue import Catalogue
from voicewire.clips import Clips
from voicewire.engines.pooling import Pool
from voicewire.engines.ticket import Sink
from voicewire.engines.tone import open_engine
from voicewire.errors import Busy, EngineFailed, VoicewireError
from voicewire.pipeline import BlockInMaking, Order, Pipeline
from voicewire.recital import Recital, SpeechOrder
from voicewire.timeline import Making
from voicewire.types import Codec, Format, Job, Priority, Slice

TEXT = "Number one. It was number two, was it not?"
DUE = 100.0
FIRST, SECOND, LAST = Slice([b"1"], (), False), Slice([b"2"], (), False), Slice([b"3"], (), True)


@dataclass(eq=False)
class Ticket:
    sink: Sink
    deadline: float
    priority: Priority
    cancelled: bool = False


@dataclass
class HandPool:
    """A double for a pool whose engine the test is: what is submitted waits for the test's hand."""

    full: bool = False
    tickets: list[Ticket] = field(default_factory=list)
    model, voices = open_engine().model, tuple(open_engine().voices())

    def submit(self, _job: Job, deadline: float, sink: Sink, *, priority: Priority, **_share: object) -> Ticket:
        if self.full:
            raise Busy(retry_after_ms=1)
        self.tickets.append(Ticket(sink, deadline, priority))
        return self.tickets[-1]

    def rouse(self) -> None: ...

    def cancel(self, ticket: Ticket) -> None:
        ticket.cancelled = True

    def postpone(self, ticket: Ticket, deadline: float) -> None:
        ticket.deadline = deadline


class Ear:
    """A listener that remembers; it fails when it hears `breaks_at`."""

    def __init__(self, breaks_at: Slice | None = None) -> None:
        self.heard: list[Slice] = []
        self.errors: list[str] = []
        self.breaks_at = breaks_at

    def rendered(self, _index: int, slice: Slice) -> None:
        if slice is self.breaks_at:
            raise RuntimeError("a listener's mistake")
        self.heard.append(slice)

    def failed(self, _index: int, error: VoicewireError) -> None:
        self.errors.append(error.row_code)


def request_of(tenant: str = "home") -> SpeechOrder:
    engine = open_engine()
    catalogue = Catalogue([(engine.model, list(engine.voices()))], engine.model.id)
    return SpeechOrder(tenant, catalogue.resolve("", "", ""), format=Format(Codec.PCM_S16LE))


def order_of(tenant: str = "home", text: str = "Hello there.") -> Order:
    splitter = Splitter()
    return request_of(tenant).order((splitter.push(text) + splitter.end())[0])


def make(
    pipeline: Pipeline, ear: Ear, due: float = DUE, tenant: str = "home", priority: Priority = Priority.LIVE
) -> BlockInMaking:
    order = order_of(tenant)
    return pipeline.make(order, Making(1, order.block, due), ear, priority=priority)


@pytest.fixture
def pool() -> HandPool:
    return HandPool()


@pytest.fixture
def pipeline(pool: HandPool) -> Pipeline:
    return Pipeline({"tone": cast(Pool, pool)}, Clips(1 << 20))


async def turns() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


async def test_who_joins_hears_it_from_the_beginning_and_the_first_at_once(pipeline: Pipeline, pool: HandPool) -> None:
    first, second, third = Ear(), Ear(), Ear()
    make(pipeline, first)
    [ticket] = pool.tickets
    ticket.sink.slice(FIRST)
    assert first.heard == [FIRST]
    make(pipeline, second)
    assert second.heard == []  # not before `make` has returned
    ticket.sink.slice(SECOND)
    assert first.heard == [FIRST, SECOND]
    await turns()
    assert second.heard == [FIRST, SECOND]
    make(pipeline, third)
    ticket.sink.slice(LAST)
    await turns()
    assert first.heard == second.heard == third.heard == [FIRST, SECOND, LAST]
    assert len(pool.tickets) == 1
    assert pipeline.joined == 2


async def test_who_comes_when_it_has_just_been_made_costs_nothing_either(pipeline: Pipeline, pool: HandPool) -> None:
    make(pipeline, Ear())
    pool.tickets[0].sink.slice(LAST)
    late = Ear()
    joined = make(pipeline, late)
    await turns()
    assert late.heard == [LAST]
    assert joined.frames == 1
    assert len(pool.tickets) == 1


async def test_it_is_made_as_long_as_one_listens(pipeline: Pipeline, pool: HandPool) -> None:
    ears = [Ear() for _ in range(3)]
    makings = [make(pipeline, ear) for ear in ears]
    [ticket] = pool.tickets
    ticket.sink.slice(FIRST)
    makings[0].drop()
    makings[1].drop()
    assert not ticket.cancelled
    ticket.sink.slice(SECOND)
    assert [len(ear.heard) for ear in ears] == [1, 0, 2]
    makings[2].drop()
    assert ticket.cancelled
    make(pipeline, Ear())
    assert len(pool.tickets) == 2


async def test_who_leaves_has_it_made_to_its_end(pipeline: Pipeline, pool: HandPool) -> None:
    left, dropped = Ear(), Ear()
    making, other = make(pipeline, left), make(pipeline, dropped)
    making.leave()
    other.drop()
    [ticket] = pool.tickets
    assert not ticket.cancelled
    ticket.sink.slice(LAST)
    await turns()
    assert left.heard == dropped.heard == []
    assert pipeline.clip(order_of())


async def test_the_one_in_the_greatest_hurry_sets_the_time(pipeline: Pipeline, pool: HandPool) -> None:
    for due in (DUE, DUE + 5, DUE - 5):
        make(pipeline, Ear(), due)
    assert pool.tickets[0].deadline == DUE - 5


async def test_a_listener_does_not_wait_for_what_is_made_for_nobody(pipeline: Pipeline, pool: HandPool) -> None:
    make(pipeline, Ear(), priority=Priority.BATCH)
    make(pipeline, Ear(), priority=Priority.LIVE)
    make(pipeline, Ear(), priority=Priority.BATCH)
    assert [ticket.priority for ticket in pool.tickets] == [Priority.BATCH, Priority.LIVE]


async def test_what_fails_fails_for_all_and_is_tried_again(pipeline: Pipeline, pool: HandPool) -> None:
    ears = [Ear(), Ear()]
    for ear in ears:
        make(pipeline, ear)
    pool.tickets[0].sink.failed(EngineFailed(problem="it broke"))
    await turns()
    assert [ear.errors for ear in ears] == [["engine_failed"]] * 2
    assert pipeline.clip(order_of()) is None
    make(pipeline, Ear())
    assert len(pool.tickets) == 2


async def test_a_refusal_is_said_at_once_and_forgotten(pipeline: Pipeline, pool: HandPool) -> None:
    pool.full = True
    with pytest.raises(Busy):
        make(pipeline, Ear())
    pool.full = False
    make(pipeline, Ear())
    assert len(pool.tickets) == 1


async def test_one_listeners_mistake_is_its_own(
    pipeline: Pipeline, pool: HandPool, caplog: pytest.LogCaptureFixture
) -> None:
    ears = [Ear(breaks_at=SECOND), Ear(), Ear(breaks_at=FIRST), Ear()]
    for ear in ears:
        make(pipeline, ear)
    for slice in (FIRST, SECOND, LAST):
        pool.tickets[0].sink.slice(slice)
        await turns()
    assert [len(ear.heard) for ear in ears] == [1, 3, 0, 3]
    assert [ear.errors for ear in ears] == [["internal"], [], ["internal"], []]
    assert len(caplog.records) == 2


async def test_where_nothing_is_kept_nothing_is_shared(pool: HandPool) -> None:
    pipeline = Pipeline({"tone": cast(Pool, pool)}, Clips(0))
    make(pipeline, Ear())
    make(pipeline, Ear())
    assert len(pool.tickets) == 2
    assert pipeline.name(order_of()) == ""


async def test_tenants_share_only_what_is_public(pool: HandPool) -> None:
    own = Pipeline({"tone": cast(Pool, pool)}, Clips(1 << 20))
    shared = Pipeline({"tone": cast(Pool, pool)}, Clips(1 << 20), public=lambda _, voice: voice == order_of().voice)
    private = Pipeline({"tone": cast(Pool, pool)}, Clips(1 << 20), public=lambda *_: False)
    for pipeline, count in ((own, 2), (shared, 1), (private, 2)):
        pool.tickets.clear()
        for tenant in ("one", "two"):
            make(pipeline, Ear(), tenant=tenant)
        assert len(pool.tickets) == count
        for ticket in pool.tickets:
            ticket.sink.slice(LAST)
        scopes = {clip.scope for tenant in ("one", "two") if (clip := pipeline.clip(order_of(tenant)))}
        assert scopes == ({""} if count == 1 else {"one", "two"})


async def recite(pipeline: Pipeline) -> list[bytes]:
    recital = Recital(pipeline, request_of(), TEXT, 60_000)
    return [packet async for run in recital.runs() for packet in run.packets]


async def test_a_thousand_listeners_of_one_text_cost_one_synthesis(tone: Pool) -> None:
    alone = Pipeline({"tone": tone}, Clips(0))
    expected = await recite(alone)
    once_ms = tone.stats().rendered_ms
    pipeline = Pipeline({"tone": tone}, Clips(1 << 20))
    heard = await asyncio.gather(*(recite(pipeline) for _ in range(1_000)))
    assert all(each == expected for each in heard)
    assert tone.stats().rendered_ms == 2 * once_ms > 0
    assert tone.stats().completed == 4  # two blocks, alone and together


async def test_the_next_gateway_finds_what_was_spoken(tone: Pool, tmp_path: Path) -> None:
    heard, written = [], []
    for _ in range(2):
        backend = FsBackend(tmp_path, 1 << 20)
        await backend.open()
        shelf = Shelf(backend, look_s=30)
        task = asyncio.create_task(shelf.run())
        pipeline = Pipeline({"tone": tone}, Clips(1 << 20), shelf)
        heard.append(await recite(pipeline))
        await shelf.drain()
        written.append(shelf.stats.written)
        task.cancel()
        await asyncio.wait({task})
        await backend.close()
    assert heard[0] == heard[1]
    assert tone.stats().completed == 2
    assert written == [2, 0]  # its takes: of linear samples, clips would be the same again
    assert shelf.stats.hits == 2
    await until(lambda: tone.stats().running == 0)


class Retold:
    """A sink that is told of another recording than the engine's worker sends."""

    def __init__(self, sink: Sink, recording: bytes | None) -> None:
        self._sink = sink
        self._recording = recording
        self.failed = sink.failed

    def slice(self, s: Slice) -> None:
        self._sink.slice(s._replace(recording=self._recording) if s.last else s)


@pytest.mark.parametrize(("recording", "written"), [(None, 0), (b"", 2)], ids=["left out", "too long"])
async def test_samples_without_a_take_are_written_unless_there_was_no_time(
    tone: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recording: bytes | None, written: int
) -> None:
    submit = tone.submit

    def retold(job: Job, deadline: float, sink: Sink, **others: Any) -> object:
        return submit(job, deadline, Retold(sink, recording), **others)

    monkeypatch.setattr(tone, "submit", retold)
    backend = FsBackend(tmp_path, 1 << 20)
    await backend.open()
    shelf = Shelf(backend)
    task = asyncio.create_task(shelf.run())
    await recite(Pipeline({"tone": tone}, Clips(1 << 20), shelf))
    await shelf.drain()
    task.cancel()
    await asyncio.wait({task})
    await backend.close()
    assert shelf.stats.written == written
