"""One synthesis for all formats: what the engine gave is kept, and encoded for whoever wants it otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cache.test_fs import files
from tests.engines.pooled import LONG
from tests.test_synthesis import TEXT, request_of
from voicewire.cache.base import Read
from voicewire.cache.fs import FsBackend
from voicewire.cache.noop import Noop
from voicewire.cache.shelf import Shelf
from voicewire.clips import Clip, Clips, Take
from voicewire.engines.pooling import Pool
from voicewire.engines.tone import open_engine
from voicewire.errors import Busy
from voicewire.forms import AT_ONCE, THREADS, Forms
from voicewire.pipeline import Pipeline
from voicewire.recital import Recital
from voicewire.takes import Recorder
from voicewire.types import Codec, Format, Job, Slice, Utterance

PATIENT_S = 60.0
OPUS, TELEPHONE, STUDIO = Format(), Format(Codec.MULAW, 8_000), Format(Codec.PCM_S16LE, 44_100)
BLOCKS = 2
KEY, JOB = b"k" * 32, Job(Utterance("", "middle"), TELEPHONE)


@asynccontextmanager
async def started(
    tone: Pool, folder: Path, *, takes: bool = True, memory_bytes: int = 1 << 20, public: bool = False
) -> AsyncIterator[Pipeline]:
    backend = FsBackend(folder, 1 << 24)
    await backend.open()
    shelf = Shelf(backend, look_s=PATIENT_S, takes=takes)
    task = asyncio.create_task(shelf.run())
    yield Pipeline({"tone": tone}, Clips(memory_bytes), shelf, public=lambda *_: public)
    await shelf.drain()
    task.cancel()
    await asyncio.wait({task})
    await backend.close()


async def heard(pipeline: Pipeline, format: Format, tenant: str = "home") -> list[object]:
    recital = Recital(pipeline, replace(request_of(tenant), format=format), TEXT, 60_000)
    return [each async for run in recital.runs() for each in (*run.packets, *run.words)]


def made(tone: Pool) -> int:
    """How many blocks the engine has made."""
    return tone.stats().completed


async def test_every_format_costs_one_synthesis_and_is_what_the_engine_would_have_made(
    tone: Pool, tmp_path: Path
) -> None:
    fresh = Pipeline({"tone": tone}, Clips(0))
    expected = [await heard(fresh, format) for format in (OPUS, TELEPHONE, STUDIO)]
    before = made(tone)
    async with started(tone, tmp_path) as pipeline:
        assert [await heard(pipeline, format) for format in (OPUS, TELEPHONE, STUDIO)] == expected
        assert made(tone) - before == BLOCKS
        assert pipeline.figures()["clips_encoded"] == 2 * BLOCKS
        await pipeline.shelf.drain()
        assert len(files(tmp_path)) == BLOCKS * 3  # linear samples for nobody who was told their name are in the take
        assert len({path.parent for path in files(tmp_path)}) == BLOCKS  # a take and its clips lie together


async def test_the_next_gateway_encodes_what_another_has_heard_and_the_one_behind_it_finds_that(
    tone: Pool, tmp_path: Path
) -> None:
    before = made(tone)
    async with started(tone, tmp_path) as pipeline:
        await heard(pipeline, OPUS)
    said = []
    for encoded in (BLOCKS, 0):
        async with started(tone, tmp_path) as pipeline:
            said.append(await heard(pipeline, TELEPHONE))
            assert pipeline.figures()["clips_encoded"] == encoded
    assert said[0] == said[1]
    assert made(tone) - before == BLOCKS


async def test_all_who_want_a_new_format_at_once_have_it_encoded_once(tone: Pool, tmp_path: Path) -> None:
    async with started(tone, tmp_path) as pipeline:
        await heard(pipeline, OPUS)
        before = made(tone)
        all_heard = await asyncio.gather(*(heard(pipeline, TELEPHONE) for _ in range(100)))
        assert all(each == all_heard[0] for each in all_heard)
        assert (made(tone) - before, pipeline.figures()["clips_encoded"]) == (0, BLOCKS)


@pytest.mark.parametrize(("public", "spoken"), [(False, BLOCKS), (True, 0)])
async def test_another_tenant_hears_of_a_take_only_where_the_voice_is_everybodys(
    tone: Pool, tmp_path: Path, public: bool, spoken: int
) -> None:
    async with started(tone, tmp_path, public=public) as pipeline:
        await heard(pipeline, OPUS)
        before = made(tone)
        await heard(pipeline, TELEPHONE, "away")
        assert (made(tone) - before, pipeline.figures()["clips_encoded"]) == (spoken, BLOCKS - spoken)


async def test_where_takes_are_not_kept_the_engine_speaks_again(tone: Pool, tmp_path: Path) -> None:
    before = made(tone)
    async with started(tone, tmp_path, takes=False) as pipeline:
        await heard(pipeline, OPUS)
        await heard(pipeline, TELEPHONE)
    assert (made(tone) - before, len(files(tmp_path))) == (2 * BLOCKS, 2 * BLOCKS)


async def test_a_take_that_is_not_whole_costs_another_synthesis_and_no_more(tone: Pool, tmp_path: Path) -> None:
    async with started(tone, tmp_path) as pipeline:
        expected = await heard(pipeline, OPUS)
    for path in files(tmp_path):
        path.write_bytes(path.read_bytes()[:-1])
    before = made(tone)
    async with started(tone, tmp_path) as pipeline:
        assert await heard(pipeline, TELEPHONE)
        assert await heard(pipeline, OPUS) == expected
        assert pipeline.shelf.stats.corrupt == 2 * BLOCKS
    assert made(tone) - before == BLOCKS


async def test_a_clip_that_was_let_go_is_encoded_anew(tone: Pool, tmp_path: Path) -> None:
    async with started(tone, tmp_path, memory_bytes=0) as pipeline:
        expected = await heard(pipeline, OPUS)
        await pipeline.shelf.drain()
        for path in files(tmp_path):
            if path.read_bytes().startswith(b"VWC1"):
                path.unlink()
        before = made(tone)
        assert await heard(pipeline, OPUS) == expected
        assert made(tone) == before


class Keeping(Noop):
    """A place that would take everything, if anybody wrote."""

    writes_at_once = 1


def shelf_with(recording: bytes, look_s: float = PATIENT_S) -> Shelf:
    shelf = Shelf(Keeping(), look_s=look_s)
    shelf.put(KEY, Take(recording))
    return shelf


def recording_of(text: str) -> bytes:
    engine = open_engine()
    recorder = Recorder(engine.model.rate_hz)
    [*_] = recorder.hear(engine.synthesize(Utterance(text, "middle")))
    return recorder.recording()


async def test_it_is_told_while_it_is_encoded_and_no_more_once_nobody_listens() -> None:
    forms, told = Forms(shelf_with(recording_of(LONG))), list[Slice]()
    assert await forms.encode(KEY, JOB, told.append)
    assert len(told) > 5
    assert [slice.last for slice in told] == [*(False for _ in told[1:]), True]
    cut = list[Slice]()

    def leave(slice: Slice) -> None:
        cut.append(slice)
        encoding.cancel()

    encoding = asyncio.create_task(forms.encode(KEY, JOB, leave))
    await asyncio.wait({encoding})
    assert encoding.cancelled()
    heard_so_far = len(cut)
    again = list[Slice]()
    assert await forms.encode(KEY, JOB, again.append)  # whatever became of the encoder
    assert again == told
    assert cut == told[: len(cut)]
    assert len(cut) == heard_so_far


async def test_who_finds_no_thread_in_time_has_it_made() -> None:
    shelf = shelf_with(recording_of(LONG), 0.0)
    forms, told = Forms(shelf), list[Slice]()
    crowd = await asyncio.gather(*(forms.encode(KEY, JOB, told.append) for _ in range(300)))
    assert crowd.count(True) == THREADS
    assert shelf.stats.late == AT_ONCE - THREADS
    assert sum(slice.last for slice in told) == THREADS


async def test_what_cannot_be_encoded_is_said_and_made(caplog: pytest.LogCaptureFixture) -> None:
    told = list[Slice]()
    assert not await Forms(shelf_with(b"no recording")).encode(KEY, JOB, told.append)
    assert told == []
    assert KEY.hex() in caplog.text


class Expecting(Keeping):
    """A place of which nobody knows what is there; nothing is."""

    def may_have(self, key: bytes) -> bool:  # noqa: ARG002
        return True


async def test_a_take_that_was_expected_and_is_not_there_costs_only_the_look(tone: Pool) -> None:
    expected = await heard(Pipeline({"tone": tone}, Clips(0)), OPUS)
    before = made(tone)
    shelf = Shelf(Expecting())
    assert await heard(Pipeline({"tone": tone}, Clips(0), shelf), OPUS) == expected
    assert made(tone) - before == BLOCKS
    assert shelf.stats.misses == 2 * BLOCKS  # a clip and a take each


async def test_where_takes_are_not_kept_nobody_looks_for_one(tone: Pool) -> None:
    shelf = Shelf(Expecting(), takes=False)
    assert await heard(Pipeline({"tone": tone}, Clips(0), shelf), OPUS)
    assert shelf.stats.misses == BLOCKS


async def test_a_model_that_goes_while_a_take_is_looked_for_still_says_what_it_was_asked_for(tone: Pool) -> None:
    pools = {"tone": tone}

    class Late(Expecting):
        looks = 0

        async def get(self, key: bytes, read: Read) -> Clip | Take | None:
            self.looks += 1
            if self.looks == 2:  # behind the clip's
                pools.clear()
            return await super().get(key, read)

    recital = Recital(Pipeline(pools, Clips(0), Shelf(Late())), request_of("home"), "Yes.", 60_000)
    assert [run async for run in recital.runs()]
    assert (pools, made(tone)) == ({}, 1)


async def test_where_a_take_was_expected_in_vain_a_crowd_is_refused_as_ever(tone: Pool) -> None:
    for backend in (Keeping(), Expecting()):
        pipeline = Pipeline({"tone": tone}, Clips(0), Shelf(backend), wait_max_s=-1.0)
        with pytest.raises(Busy):
            await heard(pipeline, OPUS)
        assert sum(pipeline.refused.values()) == 1
