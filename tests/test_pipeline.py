from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from voicewire.blocks import Splitter
from voicewire.catalogue import Catalogue
from voicewire.clips import Clip, Clips
from voicewire.engines.outlook import Outlook
from voicewire.engines.pooling import Pool
from voicewire.engines.ticket import Sink
from voicewire.engines.tone import open_engine
from voicewire.errors import BadRequest
from voicewire.pipeline import Listener, Order, Pipeline
from voicewire.recital import Recital, SpeechOrder
from voicewire.timeline import Making
from voicewire.types import Codec, Format, Job, Priority, Slice

TEXT = "Number one. It was number two, was it not? “Three!” — and so on and on. \n\n" * 60


class Instant:
    """A pool that makes every block at once: one empty frame for each."""

    model, voices = open_engine().model, tuple(open_engine().voices())

    def __init__(self) -> None:
        self.spoken: list[str] = []

    def submit(self, job: Job, _deadline: float, sink: Sink, **_tenant: str) -> None:
        self.spoken.append(job.utterance.text)
        asyncio.get_running_loop().call_soon(sink.slice, Slice([bytes(960)], (), True))

    def rouse(self) -> None: ...

    def outlook(self, _priority: Priority, **_tenant: str) -> Outlook:
        return Outlook()


def pipeline_of(pools: dict[str, Pool], size_bytes: int = 0) -> tuple[Pipeline, SpeechOrder]:
    engine = open_engine()
    catalogue = Catalogue([(engine.model, list(engine.voices()))], engine.model.id)
    request = SpeechOrder("home", catalogue.resolve("", "", ""), format=Format(Codec.PCM_S16LE))
    return Pipeline(pools, Clips(size_bytes)), request


def blocks_of(text: str, request: SpeechOrder) -> Sequence[str]:
    choice = request.choice
    splitter = Splitter(language=choice.language or "en", max_chars=choice.model.max_chars)
    return [block.spoken for block in (*splitter.push(text), *splitter.end()) if not block.silent]


@pytest.mark.parametrize("size_bytes", [0, 1 << 20])
async def test_a_long_text_is_spoken_whole_and_cut_only_as_it_is_needed(size_bytes: int) -> None:
    pool = Instant()
    pipeline, request = pipeline_of({"tone": cast(Pool, pool)}, size_bytes)
    recital = Recital(pipeline, request, TEXT, 100)
    runs = recital.runs()
    first = await anext(runs)
    assert recital._timeline.blocks < len(blocks_of(TEXT, request)) / 3
    rest = [run async for run in runs]
    expected = blocks_of(TEXT, request)
    assert pool.spoken == (list(dict.fromkeys(expected)) if size_bytes else expected)
    assert (first.start, rest[-1].stop) == (0, len(TEXT))


async def test_a_text_of_nothing_lets_others_run() -> None:
    pipeline, request = pipeline_of({})
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert [
        run.packets async for run in Recital(pipeline, request, "… — \n\n" * 5_000, 100).runs() if run.packets
    ] == []
    task.cancel()
    assert turns > 20


async def test_a_model_that_is_not_here_is_the_callers_mistake() -> None:
    pipeline, request = pipeline_of({})
    splitter = Splitter()
    (block,) = splitter.push("Hello there.") + splitter.end()
    order: Order = request.order(block)
    with pytest.raises(BadRequest) as caught:
        pipeline.make(order, Making(0, block, 0.0), cast(Listener, None))
    assert caught.value.row_code == "unknown_model"


def test_clips_without_a_sound_are_bounded_too() -> None:
    clips = Clips(100_000)
    for number in range(10_000):
        clips.put(b"%d" % number, Clip("", Format(), (Slice([], (), True),)))
    assert clips.get(b"9999") is not None
    assert clips.get(b"0") is None
    assert clips.used_bytes <= 100_000
