"""Who is let in, how long a first block may be, and what becomes of the work of a listener who pauses."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import cast

import pytest

from tests.test_synthesis import HandPool, Ticket, order_of, request_of
from voicewire.blocks import FIRST_CHARS
from voicewire.clips import Clips
from voicewire.context import Context
from voicewire.engines.outlook import Outlook
from voicewire.engines.pooling import Pool
from voicewire.engines.ticket import Sink
from voicewire.errors import Busy, VoicewireError
from voicewire.pipeline import SHORTER_FIRST, Pipeline
from voicewire.plan import Plan, State
from voicewire.recital import Recital
from voicewire.timeline import Making
from voicewire.types import Format, Job, Offsets, Priority, Slice

TEXT = "This is a rather long clause which goes on and on without a mark for quite a while. And then it ends."
SIZES = (3_000, 2_000, 400, 400, 10_000)


@dataclass
class AskedPool(HandPool):
    """A double for a pool of which the test says what is to be expected."""

    expected: Outlook = field(default_factory=Outlook)
    asked: list[tuple[Priority, str, float]] = field(default_factory=list)

    def outlook(self, priority: Priority, *, tenant: str, weight: float) -> Outlook:
        self.asked.append((priority, tenant, weight))
        return self.expected


class Silent:
    """A listener."""

    def rendered(self, index: int, slice: Slice) -> None: ...

    def failed(self, index: int, error: VoicewireError) -> None: ...


def pipeline_over(pool: HandPool) -> Pipeline:
    return Pipeline({"tone": cast(Pool, pool)}, Clips(0), wait_max_s=2.0)


def plan(first_chars: int = FIRST_CHARS) -> Plan:
    return Plan(
        "c", 0, "tone", "middle", "en", 1.0, None, Format(), True, Offsets.CODEPOINT, *SIZES, first_chars=first_chars
    )


@pytest.mark.parametrize(("wait_s", "late_s", "retry_ms"), [(5.5, 0.0, 3_500), (0.5, 1.25, 1_250), (2.5, 4.0, 4_000)])
def test_a_first_block_that_would_wait_too_long_is_refused(wait_s: float, late_s: float, retry_ms: int) -> None:
    pool = AskedPool(expected=Outlook(wait_s, late_s=late_s))
    order, pipeline = order_of("poor"), pipeline_over(pool)
    with pytest.raises(Busy) as caught:
        pipeline.make(order, Making(0, order.block, 0.0), Silent(), priority=Priority.INTERACTIVE)
    assert caught.value.retry_after_ms == retry_ms
    assert pool.asked == [(Priority.INTERACTIVE, "poor", 1.0)]
    assert not pool.tickets
    assert pipeline.refused == {"tone": 1}


def test_who_listens_is_never_refused_for_the_load() -> None:
    pool = AskedPool(expected=Outlook(60.0, late_s=60.0))
    order = order_of()
    pipeline_over(pool).make(order, Making(1, order.block, 0.0), Silent())
    assert len(pool.tickets) == 1


@pytest.mark.parametrize(("wait_s", "late_s"), [(1.9, 0.0), (0.05, 1.25)])
def test_a_short_wait_is_no_reason(wait_s: float, late_s: float) -> None:
    pool = AskedPool(expected=Outlook(wait_s, late_s=late_s))
    order = order_of()
    pipeline_over(pool).make(order, Making(0, order.block, 0.0), Silent())
    assert len(pool.tickets) == 1


def test_load_makes_first_blocks_shorter() -> None:
    pool = AskedPool()
    pipeline = pipeline_over(pool)
    sizes = []
    for waits in (Outlook(), Outlook(waited_s=0.05), Outlook(0.05, 0.0), Outlook(1.0)):
        pool.expected = waits
        sizes.append(pipeline.first_chars("tone", tenant="home"))
    assert sizes == [FIRST_CHARS, 48, 48, 36]
    assert pipeline.first_chars("of another gateway", tenant="home") == FIRST_CHARS


@pytest.mark.parametrize("first_chars", [FIRST_CHARS, *(chars for _, chars in SHORTER_FIRST)])
@pytest.mark.parametrize("pieces", [1, 7])
def test_blocks_depend_on_the_plan_and_the_text_alone(first_chars: int, pieces: int) -> None:
    whole, pieced = Context(plan(first_chars)), Context(plan(first_chars))
    whole.text(TEXT, 0.0)
    for begin in range(0, len(TEXT), pieces):
        pieced.text(TEXT[begin : begin + pieces], 0.0)
    whole.end()
    pieced.end()
    blocks = [block.text for block in whole.drain_changes().blocks]
    assert [block.text for block in pieced.drain_changes().blocks] == blocks
    assert first_chars / 2 < len(blocks[0]) <= first_chars


def test_a_context_goes_on_elsewhere_with_the_first_block_it_began_with() -> None:
    context = Context(plan(36))
    context.text(TEXT[:30], 0.0)
    state: State = context.state(0.0, 0.0)
    resumed = Context.restore(plan(36), state, [], [], -1, 0.0, 0.0)
    resumed.text(TEXT[30:], 0.0)
    assert len(resumed.drain_changes().blocks[0].text) <= 36


def test_a_listener_who_pauses_is_waited_for_by_nobody() -> None:
    context = Context(plan())
    context.text(TEXT, 0.0)
    context.end()
    [first] = context.wanted(0.0)
    assert first.due == 0.0
    context.playhead(0.0, paused=True, now=1.0)
    assert dict(context.dues(1.0)) == {0: math.inf}
    context.playhead(0.0, paused=False, now=5.0)
    assert dict(context.dues(5.0)) == {0: 5.0}


def test_a_block_is_due_when_the_first_of_its_listeners_runs_dry() -> None:
    pool = AskedPool()
    pipeline = Pipeline({"tone": cast(Pool, pool)}, Clips(1 << 20))
    order = order_of()
    one, other = (pipeline.make(order, Making(1, order.block, due), Silent()) for due in (10.0, 20.0))
    [ticket] = pool.tickets
    one.postpone(math.inf)
    assert ticket.deadline == 20.0
    other.postpone(3.0)
    assert ticket.deadline == 3.0
    other.leave()
    one.leave()
    assert ticket.deadline == math.inf, "made when there is time, for whoever comes back"
    assert not ticket.cancelled


async def test_who_downloads_is_in_no_more_of_a_hurry_than_who_listens() -> None:
    class Quick(AskedPool):
        def submit(self, _job: Job, deadline: float, sink: Sink, *, priority: Priority, **_share: object) -> Ticket:
            ticket = super().submit(_job, deadline, sink, priority=priority)
            ticket.sink.slice(Slice([bytes(960)] * 200, (), True))
            return ticket

    pool = Quick()
    recital = Recital(pipeline_over(pool), request_of(), TEXT * 3, 60_000)
    begun = time.monotonic()
    assert len([run async for run in recital.runs()]) >= 4
    dues = [ticket.deadline - begun for ticket in pool.tickets]
    assert dues == sorted(dues)
    assert dues[-1] > 4.0 * (len(dues) - 2), "each block lasts four seconds"
