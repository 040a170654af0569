"""What was spoken in a cloned voice is kept under its consent: without it, nobody comes to it by any way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest

from tests.test_synthesis import LAST, Ear, HandPool, make, order_of
from voicewire.cache.fs import FsBackend
from voicewire.cache.shelf import Shelf
from voicewire.clips import Clips
from voicewire.consents import UNLISTED, Consents
from voicewire.engines.pooling import Pool
from voicewire.pipeline import Pipeline


@dataclass
class Cloning(HandPool):
    """A pool whose voices rest on consents."""

    def consent(self, said: str) -> None:
        """All voices rest on this from now on; empty: there are none."""
        self.voices = tuple(replace(voice, consent=said) for voice in HandPool.voices if said)


@pytest.fixture
def pool() -> Cloning:
    pool = Cloning()
    pool.consent("one")
    return pool


def pipeline_over(pool: Cloning, shelf: Shelf | None = None) -> Pipeline:
    return Pipeline({"tone": cast(Pool, pool)}, Clips(1 << 20), shelf)


def test_what_was_made_with_a_consent_comes_and_goes_with_it(pool: Cloning) -> None:
    pipeline = pipeline_over(pool)
    make(pipeline, Ear())
    pool.tickets[0].sink.slice(LAST)
    made = pipeline.clip(order_of())
    assert made
    for said in ("", "another"):
        pool.consent(said)
        assert pipeline.clip(order_of()) is None
    pool.consent("one")
    assert pipeline.clip(order_of()) is made


async def test_its_name_is_worth_nothing_without_the_consent_and_on_another_gateway(
    pool: Cloning, tmp_path: Path
) -> None:
    backend = FsBackend(tmp_path, 1 << 20)
    await backend.open()
    shelf = Shelf(backend, takes=False)
    pipeline = pipeline_over(pool, shelf)
    name = pipeline.key(order_of())
    make(pipeline, Ear())
    pool.tickets[0].sink.slice(LAST)
    for each in (pipeline, pipeline_over(pool, shelf)):
        pool.consent("one")
        assert await each.audio(name)
        pool.consent("")
        assert await each.audio(name) is None
    await backend.close()


@pytest.mark.parametrize("then", ["", "another"])
def test_what_is_made_while_the_consent_ends_is_not_kept(pool: Cloning, then: str) -> None:
    pipeline = pipeline_over(pool)
    ear = Ear()
    make(pipeline, ear)
    pool.consent(then)
    pool.tickets[0].sink.slice(LAST)
    assert ear.heard == [LAST]
    assert pipeline.clips.used_bytes == 0


def test_what_some_worker_speaks_of_a_voice_that_is_not_listed_is_not_kept(pool: Cloning) -> None:
    pool.consent("")
    pipeline = pipeline_over(pool)
    make(pipeline, Ear())
    pool.tickets[0].sink.slice(LAST)
    assert pipeline.clips.used_bytes == 0
    pool.consent("one")
    assert pipeline.clip(order_of()) is None


def test_a_blend_needs_no_consent_and_a_model_that_is_gone_gives_none(pool: Cloning) -> None:
    pool.model = replace(pool.model, blends=True)
    pools = {"tone": cast(Pool, pool)}
    consents = Consents(pools)
    assert (consents.of("tone", "low"), consents.of("tone", "low+high")) == ("one", "")
    assert [consents.hold(each) for each in ("", "one", UNLISTED)] == [True, True, False]
    pools.clear()
    assert consents.of("tone", "low") == UNLISTED
    assert not consents.hold("one")
