"""Who is told of a job's end: signed, again until it is taken, and then no more. Real PostgreSQL, real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.server.jobs.asking import add_tenant, asked
from tests.server.jobs.receiving import receiving
from voicewire.server.jobs.outward import Outward
from voicewire.server.jobs.signing import secret_for
from voicewire.server.jobs.store import JobStore
from voicewire.server.jobs.webhooks import JITTER, WAITS_S, Sender, wait_s
from voicewire.server.jobs.work import Work
from voicewire.storage.store import Store

PEPPER = b"p" * 32
WAIT_S = 20


@contextlib.asynccontextmanager
async def sending(store: Store, *, private: bool = True, senders: int = 1) -> AsyncIterator[None]:
    outward = Outward(private=private)
    sender = Sender(store, JobStore(store, 3_600.0), outward, PEPPER, lambda _: None)
    tasks = [asyncio.create_task(sender.run()) for _ in range(senders)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await outward.aclose()


async def over(store: Store, url: str, tenant: str = "home") -> str:
    """A job that is over, of which `url` is to be told."""
    id = await JobStore(store, 3_600.0).ask(asked("One.", webhook=url, tenant=tenant))
    work = Work(store, {"tone"}, 3_600.0)
    item = await work.claim()
    assert item is not None
    await work.complete(item, 800, 100, "abc")
    return id


async def becomes(store: Store, job: str, state: str, status: int, tries: int = 1) -> None:
    """Wait until the telling stands so; `status` is what was answered last."""
    found, wanted = None, (state, status, tries)
    async with asyncio.timeout(WAIT_S):
        while found != wanted:
            row = await store.fetchrow("SELECT state, status, tries FROM webhooks WHERE job = $1", job)
            assert row
            found = (row["state"], row["status"], row["tries"])
            await asyncio.sleep(0.02)


async def test_who_takes_it_is_told_once(store: Store) -> None:
    async with receiving() as receiver:
        id = await over(store, receiver.url)
        async with sending(store):
            message = await receiver.next()
            await becomes(store, id, "delivered", 204)
        assert message.signed_with(secret_for(PEPPER, "home", receiver.url))
        assert not message.signed_with(secret_for(PEPPER, "other", receiver.url))
        told = message.told
        assert (told["type"], told["data"]["job_id"], told["data"]["state"]) == ("job.done", id, "done")
        assert (told["data"]["seconds_done"], told["data"]["items"]["done"]) == (0.8, 1)
        assert receiver.empty()


async def _hurry(store: Store, job: str) -> None:
    """Let the time between two tries be over; it must have been ahead."""
    changed = await store.execute("UPDATE webhooks SET due = now() WHERE job = $1 AND due > now()", job)
    assert changed == "UPDATE 1"


async def test_who_does_not_take_it_is_told_the_same_again(store: Store) -> None:
    async with receiving(500, 302, 204) as receiver:
        id = await over(store, receiver.url)
        async with sending(store):
            messages = [await receiver.next()]
            await becomes(store, id, "due", 500, 1)
            await _hurry(store, id)
            messages.append(await receiver.next())
            await becomes(store, id, "due", 302, 2)
            await _hurry(store, id)
            messages.append(await receiver.next())
            await becomes(store, id, "delivered", 204, 3)
    assert len({message.body for message in messages}) == 1
    assert len({message.headers["webhook-id"] for message in messages}) == 1
    assert all(message.signed_with(secret_for(PEPPER, "home", receiver.url)) for message in messages)


async def test_tries_have_an_end(store: Store) -> None:
    async with receiving(503) as receiver:
        id = await over(store, receiver.url)
        await store.execute("UPDATE webhooks SET tries = $2 WHERE job = $1", id, len(WAITS_S))
        async with sending(store):
            await receiver.next()
            await becomes(store, id, "given_up", 503, len(WAITS_S) + 1)


async def test_who_says_gone_is_told_no_more(store: Store) -> None:
    async with receiving(410) as receiver:
        id = await over(store, receiver.url)
        async with sending(store):
            await becomes(store, id, "given_up", 410)


async def test_what_is_not_public_is_not_told(store: Store) -> None:
    async with receiving() as receiver:
        id = await over(store, receiver.url)
        async with sending(store, private=False):
            await becomes(store, id, "given_up", 0)
        assert receiver.empty()


async def test_a_name_that_nobody_can_look_up_does_not_end_the_sender(store: Store) -> None:
    async with receiving() as receiver:
        bad, good = await over(store, f"http://{'a' * 64}.example/"), await over(store, receiver.url)
        async with sending(store):
            await becomes(store, bad, "given_up", 0)
            await becomes(store, good, "delivered", 204)


async def test_a_receiver_that_hangs_holds_up_its_own_only(store: Store) -> None:
    await add_tenant(store, "other")
    taken: asyncio.Event = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.set()
        await reader.read()
        writer.transport.abort()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, receiving() as receiver:
        hung = [await over(store, url) for _ in range(3)]
        async with sending(store, senders=2):
            await asyncio.wait_for(taken.wait(), WAIT_S)
            id = await over(store, receiver.url, "other")
            await receiver.next()
            await becomes(store, id, "delivered", 204)
            tries = await store.fetchval("SELECT sum(tries) FROM webhooks WHERE job = ANY($1)", hung)
            assert tries == 1


async def test_what_nobody_finished_sending_is_sent_by_another(store: Store) -> None:
    async with receiving() as receiver:
        id = await over(store, receiver.url)
        await store.execute("UPDATE webhooks SET tries = 1, due = now() - interval '1 second' WHERE job = $1", id)
        async with sending(store):
            await receiver.next()
            await becomes(store, id, "delivered", 204, 2)


@pytest.mark.parametrize("tries", range(1, len(WAITS_S) + 1))
def test_waits_grow_and_differ(tries: int) -> None:
    waits = {wait_s(tries) for _ in range(20)}
    assert len(waits) > 10
    for wait in waits:
        assert wait is not None
        assert abs(wait / WAITS_S[tries - 1] - 1) <= JITTER
    assert list(WAITS_S) == sorted(WAITS_S)
    assert wait_s(len(WAITS_S) + 1) is None
