"""Jobs in a real PostgreSQL: a text is taken up by one at a time, who loses it changes nothing, all have an end."""

from __future__ import annotations

import asyncio

import pytest

from tests.server.jobs.asking import HOOK, add_tenant, asked
from voicewire.errors import BadRequest, EngineFailed
from voicewire.server.jobs.records import Item, Job
from voicewire.server.jobs.store import JobStore
from voicewire.server.jobs.work import Lost, Work
from voicewire.storage.store import Store

KEEP_S = 3_600.0


@pytest.fixture
def jobs(store: Store) -> JobStore:
    return JobStore(store, KEEP_S)


@pytest.fixture
def work(store: Store) -> Work:
    return Work(store, {"tone"}, KEEP_S)


async def claimed(work: Work) -> Item:
    item = await work.claim()
    assert item is not None
    return item


async def told(store: Store, job: str) -> tuple[str, bool]:
    row = await store.fetchrow("SELECT state, due IS NOT NULL AS due FROM webhooks WHERE job = $1", job)
    assert row
    return row["state"], row["due"]


async def test_a_job_goes_from_asked_to_done(store: Store, jobs: JobStore, work: Work) -> None:
    id = await jobs.ask(asked("One.", webhook=HOOK))
    job = await jobs.get("home", id)
    assert (job.state, job.counts["queued"], job.total_ms, job.done_ms) == ("queued", 1, 1_000, 0)
    item = await claimed(work)
    assert (item.job, item.text, item.epoch, item.caller.tenant) == (id, "One.", 1, "home")
    assert await work.claim() is None
    await work.keep(item, 400)
    job = await jobs.get("home", id)
    assert (job.state, job.counts["running"], job.done_ms, job.finished) == ("running", 1, 400, None)
    await work.advance(item, [3], 9_600, 70, 400)
    assert await told(store, id) == ("waiting", False)
    await work.complete(item, 800, 38_444, "abc")
    job = await jobs.get("home", id)
    assert (job.state, job.done_ms, job.total_ms, job.files) == ("done", 800, 800, 1)
    assert job.finished is not None
    assert (job.expires - job.finished).total_seconds() == KEEP_S
    assert await told(store, id) == ("due", True)
    assert await work.claim() is None


async def test_who_lost_a_text_changes_nothing(store: Store, jobs: JobStore) -> None:
    hasty = Work(store, {"tone"}, KEEP_S, lease_s=0.0)
    id = await jobs.ask(asked("One."))
    zombie = await claimed(hasty)
    await hasty.advance(zombie, [5], 1_000, 10, 40)
    owner = await claimed(hasty)  # the lease was over at once
    assert (owner.epoch, owner.tries, owner.blocks, owner.samples) == (2, 1, (5,), 1_000)
    for attempt in (
        hasty.keep(zombie, 1),
        hasty.advance(zombie, [], 0, 0, 0),
        hasty.postpone(zombie, 0, failed=True),
        hasty.complete(zombie, 1, 1, "zombie"),
        hasty.fail(zombie, EngineFailed()),
    ):
        with pytest.raises(Lost):
            await attempt
    await hasty.complete(owner, 800, 100, "owner")
    [found] = await jobs.items("home", id, -1, 10)
    assert (found.state, found.sha256, found.done_ms) == ("done", "owner", 800)


async def test_a_lease_that_is_kept_is_nobody_elses(jobs: JobStore, work: Work) -> None:
    await jobs.ask(asked("One."))
    item = await claimed(work)
    await work.keep(item, 0)
    assert await work.claim() is None
    await work.postpone(item, 0.0, failed=True)
    again = await claimed(work)
    assert (again.epoch, again.tries) == (2, 1)
    await work.postpone(again, 3_600.0, failed=False)
    assert await work.claim() is None


async def test_many_who_want_work_each_get_their_own(jobs: JobStore, work: Work) -> None:
    await jobs.ask(asked(*(f"Number {number}." for number in range(8))))
    taken: list[Item] = []
    while len(taken) < 8:
        found = await asyncio.gather(*(work.claim() for _ in range(6)))
        taken += [item for item in found if item is not None]
    assert sorted(item.number for item in taken) == list(range(8))
    assert await work.claim() is None


async def test_a_tenant_with_much_leaves_room_for_one_with_little(store: Store, jobs: JobStore, work: Work) -> None:
    await add_tenant(store, "little")
    await jobs.ask(asked(*(f"Number {number}." for number in range(20))))
    await jobs.ask(asked("A few.", "Words.", tenant="little"))
    tenants = [(await claimed(work)).caller.tenant for _ in range(4)]
    assert sorted(tenants) == ["home", "home", "little", "little"]


async def test_only_who_has_the_model_takes_a_text(store: Store, jobs: JobStore, work: Work) -> None:
    await jobs.ask(asked("One.", model="kokoro"))
    assert await work.claim() is None
    assert await Work(store, {"tone", "kokoro"}, KEEP_S).claim() is not None


async def test_a_batch_is_over_with_its_last_text(store: Store, jobs: JobStore, work: Work) -> None:
    id = await jobs.ask(asked("One.", "Two.", "Three.", webhook=HOOK))
    one, two, three = [await claimed(work) for _ in range(3)]
    await asyncio.gather(
        work.complete(one, 100, 10, "a"), work.fail(two, EngineFailed()), work.complete(three, 300, 30, "c")
    )  # all at once: each would wait for the other's end
    job = await jobs.get("home", id)
    assert (job.state, job.counts["done"], job.counts["failed"], job.error) == ("done", 2, 1, "engine_failed")
    assert await told(store, id) == ("due", True)
    states = [(item.name, item.state, item.error) for item in await jobs.items("home", id, -1, 10)]
    assert states == [("text 0", "done", ""), ("text 1", "failed", "engine_failed"), ("text 2", "done", "")]
    assert [item.number for item in await jobs.items("home", id, 0, 1)] == [1]


async def test_a_job_of_which_nothing_was_spoken_failed(jobs: JobStore, work: Work) -> None:
    id = await jobs.ask(asked("One."))
    await work.fail(await claimed(work), EngineFailed())
    job = await jobs.get("home", id)
    assert (job.state, job.error) == ("failed", "engine_failed")
    assert "engine" in job.reason


async def test_cancel_takes_what_is_not_done_from_whoever_has_it(store: Store, jobs: JobStore, work: Work) -> None:
    id = await jobs.ask(asked("One.", "Two.", "Three.", webhook=HOOK))
    one, two = await claimed(work), await claimed(work)
    await work.complete(one, 100, 10, "a")
    job, forgotten = await jobs.cancel("home", id)
    assert (job.state, job.counts["done"], job.counts["cancelled"], forgotten) == ("cancelled", 1, 2, False)
    with pytest.raises(Lost):
        await work.keep(two, 1)
    with pytest.raises(Lost):
        await work.complete(two, 1, 1, "b")
    assert await work.claim() is None
    assert await told(store, id) == ("due", True)
    _, forgotten = await jobs.cancel("home", id)
    assert forgotten
    with pytest.raises(BadRequest, match="nothing"):
        await jobs.get("home", id)


async def test_what_is_asked_again_is_one_job(jobs: JobStore) -> None:
    same = asked("One.", once="first")
    ids = await asyncio.gather(*(jobs.ask(same) for _ in range(5)))
    assert len(set(ids)) == 1
    with pytest.raises(BadRequest) as refused:
        await jobs.ask(asked("Another.", once="first"))
    assert refused.value.row_code == "conflict"
    assert await jobs.ask(asked("One.", once="second")) != ids[0]
    assert len(await jobs.page("home", "", 10)) == 2


async def test_a_list_goes_on_where_the_page_before_ended(jobs: JobStore) -> None:
    ids = [await jobs.ask(asked(f"Number {number}.")) for number in range(5)]
    seen: list[Job] = []
    while page := await jobs.page("home", seen[-1].id if seen else "", 2):
        seen += page
    assert [job.id for job in seen] == ids[::-1]


async def test_nobody_else_has_it(store: Store, jobs: JobStore) -> None:
    await add_tenant(store, "other")
    id = await jobs.ask(asked("Mine."))
    for attempt in (jobs.get("other", id), jobs.items("other", id, -1, 1), jobs.script("other", id)):
        with pytest.raises(BadRequest, match="nothing"):
            await attempt
    with pytest.raises(BadRequest, match="nothing"):
        await jobs.cancel("other", id)
    assert await jobs.page("other", id, 10) == []
    assert (await jobs.script("home", id)).text == "Mine."
