"""The journal on a real Redis: a write that is repeated, late, or of a connection that was replaced does no harm."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.made import make
from tests.test_context_restore import finish, frames_of, plan
from voicewire.auth.principal import Principal
from voicewire.context import Context
from voicewire.errors import Busy
from voicewire.server.live.journal import Entry, Journal, Kept, Record, token_hash
from voicewire.server.live.keeping import Keeper

TEXT = "One two three. Four five. Six seven eight. Nine ten."
RING_BYTES = 100


class Kepts:
    """A session of one context, as the journal sees it."""

    def __init__(self, context: Context, owner: int = 1, kept: Kept | None = None) -> None:
        self.id = "s_1"
        self.owner = owner
        self.token_hash = token_hash("token")
        self.context = context
        self.keeper = Keeper(context, 1 << 30, RING_BYTES, kept)
        self.was_fenced = 0

    def record(self) -> Record:
        return Record(self.id, Principal("p", "t", frozenset(), "key"), 1)

    def entries(self, *, everything: bool) -> list[Entry]:
        entry = self.keeper.entry(everything=everything)
        return [entry] if entry else []

    def written(self) -> None:
        self.keeper.written()

    def fenced(self) -> None:
        self.was_fenced += 1


def journal(redis: Redis, resume_s: float = 60) -> Journal:
    return Journal(redis, interval_s=0.01, resume_s=resume_s)


async def kept(journal: Journal) -> Kept:
    claimed = await journal.claim("s_1", "token")
    assert claimed is not None
    return claimed.contexts[3]


async def test_a_write_whose_reply_was_lost_is_repeated_without_a_trace(redis: Redis) -> None:
    whole = frames_of(finish(Context(plan()), [TEXT], 0.0))
    session, writer = Kepts(Context(plan())), journal(redis)
    written, session.written = session.written, lambda: None  # type: ignore[method-assign]  # the reply is lost
    session.context.text(TEXT, 0.0)
    received = -1
    for turn in range(6):
        make(session.context, 0.0)
        received += len(frames_of(session.context.take(time.monotonic(), 20)))
        await writer._write([session])
        if turn % 2:
            written()
    restored = await kept(writer)
    context = Context.restore(restored.plan, restored.state, restored.blocks, restored.runs, received, 9.0, 9.0)
    assert frames_of(finish(context, [], 9.0)) == whole[received + 1 :]
    assert restored.gone > 0
    assert restored.runs[0].seq <= received + 1


@pytest.mark.parametrize("before", [0, 1, 2])
async def test_while_redis_is_away_no_more_is_held_than_a_resume_needs(redis: Redis, before: int) -> None:
    texts = [TEXT * 5, TEXT * 15]
    whole = frames_of(finish(Context(plan()), texts, 0.0))
    session, writer = Kepts(Context(plan())), journal(redis)
    session.context.text(texts[0], 0.0)
    received, held = -1, []
    for turn in range(30):
        if turn == before:
            session.context.text(texts[1], 0.0)
        make(session.context, 0.0)
        received += len(frames_of(session.context.take(time.monotonic(), 100)))
        if turn < before:
            await writer._write([session])
        else:
            held.append(sum(map(len, session.entries(everything=False)[0].runs)))
    assert held[-1] <= held[0] / 4
    await writer._write([session])
    restored = await kept(writer)
    context = Context.restore(restored.plan, restored.state, restored.blocks, restored.runs, received, 9.0, 9.0)
    assert frames_of(finish(context, [], 9.0)) == whole[received + 1 :]
    assert restored.runs[0].seq <= received + 1


async def test_who_was_replaced_writes_no_more_and_takes_nothing_from_the_other(redis: Redis) -> None:
    old, writer = Kepts(Context(plan())), journal(redis)
    old.context.text(TEXT, 0.0)
    writer.watch(old)
    await writer._write([old])
    first = await kept(writer)
    context = Context.restore(first.plan, first.state, first.blocks, first.runs, -1, 9.0, 9.0)
    new = Kepts(context, 2, first)
    writer.watch(new)
    old.context.end()
    writer.touch(old)
    assert writer._dirty == {"s_1": new}
    await writer.leave(old)
    assert old.was_fenced == 1
    assert writer._sessions == {"s_1": new}
    assert not (await kept(writer)).state.ended


async def test_the_last_write_comes_before_a_claim_and_behind_what_is_under_way(redis: Redis) -> None:
    session, writer = Kepts(Context(plan())), journal(redis)
    writer.watch(session)
    session.context.text(TEXT[:20], 0.0)
    first = asyncio.create_task(writer._write([session]))
    await asyncio.sleep(0)
    session.context.text(TEXT[20:], 0.0)
    session.context.end()
    leaving = asyncio.create_task(writer.leave(session))
    await asyncio.sleep(0)
    assert (await kept(writer)).state.ended
    await asyncio.gather(first, leaving)


async def test_who_takes_over_amid_the_last_write_of_another_is_written_behind_it(redis: Redis) -> None:
    old, new, writer = Kepts(Context(plan())), Kepts(Context(plan())), journal(redis)
    running = asyncio.create_task(writer.run())
    with writer._alone([old]):
        writer.watch(new)
        await asyncio.sleep(0.1)
        assert not writer.written_sessions
    async with asyncio.timeout(5):
        while not writer.written_sessions:
            await asyncio.sleep(0.01)
    running.cancel()


async def test_a_session_outlives_the_time_between_two_keep_alives(redis: Redis) -> None:
    session, writer = Kepts(Context(plan())), journal(redis, resume_s=0.05)
    session.context.text(TEXT, 0.0)
    await writer._write([session])
    assert await redis.pttl("vw:s:{s_1}") > 15_000
    await writer.leave(session)
    assert await redis.pttl("vw:s:{s_1}") <= 50


async def test_scripts_that_redis_forgot_are_loaded_again(redis: Redis) -> None:
    session, writer = Kepts(Context(plan())), journal(redis)
    await writer._write([session])
    await redis.script_flush()
    session.context.text(TEXT, 0.0)
    await writer.leave(session)
    assert (await kept(writer)).state.pending == "Nine ten."


async def test_what_another_version_wrote_is_gone(redis: Redis) -> None:
    session, writer = Kepts(Context(plan())), journal(redis)
    await writer._write([session])
    await redis.hset("vw:s:{s_1}", "c3", b"\x93\x01\x02\x03")
    assert await writer.claim("s_1", "token") is None


async def test_a_redis_that_does_not_answer_is_no_reason_to_give_up() -> None:
    async with Redis.from_url("redis://127.0.0.1:1") as nobody:
        with pytest.raises(RedisConnectionError):
            await nobody.ping()
        with pytest.raises(Busy):
            await journal(nobody).claim("s_1", "token")
