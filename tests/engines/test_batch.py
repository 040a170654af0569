from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contracts.engine_contract import EngineContract, checked
from tests.engines.pooled import Listener, StartPool, expected, job
from voicewire.engines.base import BatchEngine, Engine
from voicewire.engines.batch import ALIKE, Batch, choose
from voicewire.engines.kokoro_groups import WASTE, groups, rung
from voicewire.engines.tone import open_engine
from voicewire.errors import BadRequest, EngineFailed
from voicewire.types import Chunk, Utterance

SIZES = st.lists(st.integers(0, 500), min_size=1, max_size=40)


class TestBatchTone(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return open_engine(batch=4)


def twin(**options: float | str) -> BatchEngine:
    engine = open_engine(batch=8, **options)
    assert isinstance(engine, BatchEngine)
    return engine


def utterances(*texts: str) -> list[Utterance]:
    return [Utterance(text, "middle") for text in texts]


@given(SIZES, st.integers(0, 12))
def test_a_batch_is_the_first_and_what_is_like_it(sizes: list[int], rows_max: int) -> None:
    chosen = choose(sizes, rows_max)
    assert chosen[0] == 0
    assert chosen == sorted(set(chosen))
    assert len(chosen) <= max(1, rows_max)
    first = max(1, sizes[0])
    assert all(max(1, sizes[nth]) <= first * ALIKE and first <= max(1, sizes[nth]) * ALIKE for nth in chosen)
    if len(chosen) < rows_max:
        assert all(nth in chosen for nth, size in enumerate(sizes) if size == sizes[0])


@given(SIZES, st.integers(1, 12), st.integers(1, 4_000))
def test_groups_hold_every_row_once_within_their_bounds(sizes: list[int], rows_max: int, area_max: int) -> None:
    made = groups(sizes, rows_max, area_max)
    assert sorted(nth for group in made for nth in group) == list(range(len(sizes)))
    for group in made:
        longest = max(sizes[nth] for nth in group)
        assert group == sorted(group)
        assert len(group) <= rows_max
        assert len(group) == 1 or len(group) * longest <= area_max
        assert len(group) * longest <= (1 + WASTE) * sum(sizes[nth] for nth in group) or len(group) == 1
    assert all(before[0] < after[0] for before, after in pairwise(made)), "who is due first leads first"


def test_a_rung_is_the_next_one_up() -> None:
    assert [rung((1, 2, 4), value) for value in (1, 2, 3, 4, 5)] == [1, 2, 4, 4, 5]


def test_every_row_is_what_it_is_alone() -> None:
    texts = ("One, two.", "", "A longer one, to be sure.", "Three.")
    engine = twin()
    batch = Batch(engine, utterances(*texts))
    for nth in (2, 0, 3, 1):  # not the order in which they are made
        spoken = checked(texts[nth], [chunk for chunk in batch.row(nth) if len(chunk.pcm)])
        alone = checked(texts[nth], list(engine.synthesize(utterances(texts[nth])[0])))
        assert spoken.words == alone.words
        assert spoken.pcm.tobytes() == alone.pcm.tobytes()


def test_a_row_that_fails_fails_alone() -> None:
    batch = Batch(twin(fail_on="bad"), [*utterances("good", "bad"), Utterance("who", "nobody")])
    with pytest.raises(EngineFailed):
        list(batch.row(1))
    with pytest.raises(BadRequest):
        list(batch.row(2))
    assert sum(len(chunk.pcm) for chunk in batch.row(0)) > 0


def test_a_dropped_row_is_not_made_and_dropping_all_ends_the_engine() -> None:
    dropped: set[int] = set()
    parts = twin().synthesize_batch(utterances("one two three", "four five six"), dropped)
    nth, part = next(parts)
    assert (nth, isinstance(part, Chunk)) == (0, True)
    dropped.add(0)
    assert {nth for nth, _ in parts} == {1}
    batch = Batch(twin(), utterances("one two three", "four"))
    row = batch.row(1)
    assert not len(next(row).pcm), "the first row is made first"
    batch.drop(0)
    batch.drop(1)
    batch.drop(1)


def test_what_memory_does_not_hold_is_spoken_in_halves() -> None:
    engine = twin(memory=2)
    parts = list(engine.synthesize_batch(utterances(*"abcde")))
    assert [nth for nth, part in parts if part is None] == [0, 1, 2, 3, 4]
    assert engine.halvings == 2


async def test_blocks_that_come_together_are_whole_and_a_pool_counts_what_was_halved(start: StartPool) -> None:
    pool = await start(batch=4, lanes=8, memory=2)
    jobs = [job(f"This is number {name}.") for name in ("one", "two", "six", "ten")]
    listeners = [Listener() for _ in jobs]
    for nth, (each, listener) in enumerate(zip(jobs, listeners, strict=True)):
        pool.submit(each, time.monotonic() + nth, listener)
    for each, listener in zip(jobs, listeners, strict=True):
        await listener.ended.wait()
        assert listener.heard == expected(each)
    assert pool.stats().halvings >= 1
