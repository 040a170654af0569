"""The queue's scripts on a real Redis: who holds a block, who does not any more, and what is left of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from voicewire.remote.keys import GROUP, RUNGS, Keys
from voicewire.remote.scripts import TRIES_MAX, GatewayCalls, Room, Taken, WorkerCalls
from voicewire.storage.scripts import Call
from voicewire.types import KEY_PREFIX

LONG_S, ENDED_S = 60.0, 0.001  # leases: one that holds, one that has ended when anybody looks
ROOM = Room(10, 10)
KEYS = Keys("m")


class Queue:
    """A gateway `g` that lives, and workers by name."""

    def __init__(self, redis: Any) -> None:
        self.redis = redis
        self.calls = GatewayCalls("g", KEY_PREFIX)

    async def say(self, *calls: Call) -> None:
        await self.calls.say(self.redis, calls)

    async def submit(self, job: str, rung: str = "due", left_s: float | None = 1.0, body: bytes = b"body") -> None:
        await self.redis.set(KEYS.alive("g"), b"1")
        await self.say(self.calls.submit("m", job, rung, left_s, body))

    def worker(self, name: str, lease_s: float = LONG_S) -> WorkerCalls:
        return WorkerCalls(KEYS, name, lease_s)

    async def take(self, name: str, room: Room = ROOM) -> list[Taken]:
        return await self.worker(name).take(self.redis, room, reclaim=False)

    async def take_over(self, name: str, lease_s: float = ENDED_S) -> list[Taken]:
        await asyncio.sleep(5 * ENDED_S)
        return await self.worker(name, lease_s).take(self.redis, ROOM, reclaim=True)

    async def idle_ms(self) -> int:
        (pending,) = await self.redis.xpending_range(KEYS.queue("due"), GROUP, "-", "+", 1)
        return int(pending["time_since_delivered"])

    async def answer(self, name: str, taken: Taken, seq: int, packets: int, *, last: bool = False) -> bool:
        call = self.worker(name).answer(taken.job, taken.token, seq, packets, b"message", last=last)
        return (await self.worker(name).say(self.redis, [call]))[0]

    async def answers(self) -> list[tuple[bytes, bytes, bytes, bytes]]:
        return [
            (each[b"j"], each[b"t"], each[b"s"], each[b"m"]) for _, each in await self.redis.xrange(KEYS.answers("g"))
        ]

    async def nothing_is_left(self) -> None:
        assert await self.redis.hgetall(KEYS.jobs) == {}
        for rung in RUNGS:
            assert await self.redis.xlen(KEYS.queue(rung)) == 0
            if await self.redis.exists(KEYS.queue(rung)) and await self.redis.xinfo_groups(KEYS.queue(rung)):
                assert (await self.redis.xpending(KEYS.queue(rung), GROUP))["pending"] == 0


@pytest.fixture
def queue(redis: Redis) -> Queue:
    return Queue(redis)


async def test_a_block_is_taken_once_answered_and_gone(queue: Queue) -> None:
    await queue.submit("a")
    (taken,) = await queue.take("w")
    assert (taken.job, taken.token, taken.body) == ("a", 1, b"body")
    assert taken.left_s is not None
    assert 0 < taken.left_s <= 1
    assert await queue.take("v") == []
    assert await queue.answer("w", taken, 0, 3)
    assert await queue.answer("w", taken, 1, 5, last=True)
    assert await queue.answers() == [(b"a", b"1", b"0", b"message"), (b"a", b"1", b"1", b"message")]
    assert not await queue.answer("w", taken, 2, 5), "it has ended"
    await queue.nothing_is_left()


async def test_what_is_most_wanted_is_taken_first(queue: Queue) -> None:
    for rung in reversed(RUNGS):
        await queue.submit(rung, rung, None)
    assert [each.job for each in await queue.take("w", Room(1, 0))] == ["due"], "room that is kept for it"
    assert [each.job for each in await queue.take("w", Room(3, 3))] == ["live", "interactive", "prefetch"]
    (batch,) = await queue.take("w")
    assert (batch.job, batch.left_s) == ("batch", None)


async def test_a_block_that_gets_another_deadline_keeps_its_place(queue: Queue) -> None:
    for job in "ab":
        await queue.submit(job, "live", 9.0)
    await queue.say(queue.calls.postpone("m", "a", "live", 5.0))
    first, _ = await queue.take("w")
    assert first.job == "a"
    assert first.left_s is not None
    assert 4 < first.left_s <= 5
    await queue.say(queue.calls.postpone("m", "a", "live", None))
    ((_, order),) = await queue.redis.xrange(KEYS.orders("w"))
    assert (order[b"k"], order[b"v"]) == (b"postpone", b"")
    again = {each.job: each for each in await queue.take_over("v")}
    assert again["a"].left_s is None, "who takes it over knows, too"


async def test_said_twice_it_is_queued_once(queue: Queue) -> None:
    await queue.submit("a")
    await queue.submit("a")
    assert len(await queue.take("w")) == 1


async def test_a_lease_that_ends_is_taken_over_and_the_first_holder_is_fenced(queue: Queue) -> None:
    await queue.submit("a")
    (zombie,) = await queue.take("w")
    assert await queue.take_over("v", LONG_S) == [], "the lease holds"
    (taken,) = await queue.take_over("v")
    assert taken.token == 2
    assert not await queue.answer("w", zombie, 0, 1)
    assert await queue.worker("w").renew(queue.redis, [("a", zombie.token)]) == [False]
    assert await queue.answers() == []
    assert await queue.answer("v", taken, 0, 1, last=True)
    await queue.nothing_is_left()


async def test_a_lease_that_is_renewed_begins_anew(queue: Queue) -> None:
    await queue.submit("a")
    (taken,) = await queue.take("w")
    for _ in range(20):
        await asyncio.sleep(0.05)
        before = await queue.idle_ms()
        assert await queue.worker("w").renew(queue.redis, [("a", taken.token)]) == [True]
        if await queue.idle_ms() < before:
            return
    raise AssertionError("it does not")


async def test_a_block_that_kills_its_workers_is_given_up_and_said_so(queue: Queue) -> None:
    await queue.submit("a")
    for nth in range(TRIES_MAX):
        assert len(await queue.take_over(f"w{nth}")) == 1
    assert await queue.take_over("other") == []
    ((job, _, _, message),) = await queue.answers()
    assert (job, message) == (b"a", b"")
    ((_, dead),) = await queue.redis.xrange(KEYS.dead)
    assert dead == {b"job": b"a", b"gateway": b"g", b"worker": b"w2", b"tries": b"3"}, "and nothing of its text"
    await queue.nothing_is_left()


async def test_who_brings_something_new_is_not_to_blame(queue: Queue) -> None:
    await queue.submit("a")
    for nth in range(2 * TRIES_MAX):
        (taken,) = await queue.take_over(f"w{nth}")
        assert await queue.answer(f"w{nth}", taken, 0, nth + 1)
    assert await queue.redis.xlen(KEYS.dead) == 0


async def test_a_block_that_kills_its_workers_in_its_middle_has_no_more_of_them(queue: Queue) -> None:
    await queue.submit("a")
    for nth in range(TRIES_MAX):
        (taken,) = await queue.take_over(f"w{nth}")
        assert await queue.answer(f"w{nth}", taken, 0, 7), "as far as each gets"
    assert await queue.take_over("other") == []
    assert await queue.redis.xlen(KEYS.dead) == 1
    await queue.nothing_is_left()


async def test_what_is_given_back_is_there_at_once_and_nobody_is_to_blame(queue: Queue) -> None:
    await queue.submit("a")
    for nth in range(2 * TRIES_MAX):
        (taken,) = await queue.take_over(f"w{nth}", LONG_S)
        worker = queue.worker(f"w{nth}")
        assert await worker.say(queue.redis, [worker.release("a", taken.token)]) == [True]
        assert not await queue.answer(f"w{nth}", taken, 0, 1)
    assert await queue.redis.xlen(KEYS.dead) == 0


async def test_a_cancelled_block_is_gone_and_its_worker_is_told(queue: Queue) -> None:
    await queue.submit("waits")
    await queue.say(queue.calls.cancel("m", "waits"), queue.calls.cancel("m", "nobody"))
    assert await queue.take("w") == []
    await queue.submit("made")
    (taken,) = await queue.take("w")
    await queue.say(queue.calls.cancel("m", "made"))
    ((_, order),) = await queue.redis.xrange(KEYS.orders("w"))
    assert (order[b"k"], order[b"j"], order[b"t"]) == (b"cancel", b"made", b"1")
    assert not await queue.answer("w", taken, 0, 1)
    await queue.nothing_is_left()


async def test_a_block_that_was_read_and_moved_or_cancelled_meanwhile_is_not_begun(queue: Queue) -> None:
    await queue.take("w")  # makes the groups
    await queue.submit("a", "live")
    await queue.submit("b", "live")
    read = await queue.redis.xreadgroup(GROUP, "w", {KEYS.queue("live"): ">"})
    assert isinstance(read, list)
    entries = [("live", id.decode()) for id, _ in read[0][1]]
    await queue.say(queue.calls.postpone("m", "a", "due", 0.5), queue.calls.cancel("m", "b"))
    assert await queue.worker("w").take(queue.redis, Room(0, 0), reclaim=False, read=entries) == []
    (taken,) = await queue.take("v", Room(1, 0))
    assert (taken.job, taken.body) == ("a", b"body")
    await queue.say(queue.calls.postpone("m", "a", "live", 9.0))
    ((_, order),) = await queue.redis.xrange(KEYS.orders("v"))
    assert (order[b"k"], order[b"v"]) == (b"postpone", b"9000")
    assert await queue.answer("v", taken, 0, 1, last=True)
    await queue.nothing_is_left()


async def test_nothing_is_made_for_a_gateway_that_died(queue: Queue) -> None:
    await queue.submit("a")
    await queue.submit("b")
    (taken,) = await queue.take("w", Room(1, 1))
    await queue.redis.delete(KEYS.alive("g"))
    assert await queue.take("w") == []
    assert await queue.worker("w").renew(queue.redis, [("a", taken.token)]) == [False]
    assert not await queue.answer("w", taken, 0, 1)
    await queue.nothing_is_left()


async def test_workers_that_hold_nothing_are_forgotten_in_the_end(queue: Queue) -> None:
    await queue.submit("a")
    await queue.take("holds")
    await queue.take("idle")
    await queue.submit("b")
    (taken,) = await queue.take("idle")
    await queue.answer("idle", taken, 0, 1, last=True)
    await queue.worker("other").sweep(queue.redis, LONG_S)
    assert len(await queue.redis.xinfo_consumers(KEYS.queue("due"), GROUP)) == 2
    await queue.worker("other").sweep(queue.redis, 0.0)
    assert [each["name"] for each in await queue.redis.xinfo_consumers(KEYS.queue("due"), GROUP)] == [b"holds"]


async def test_every_key_goes_by_itself(queue: Queue) -> None:
    await queue.submit("a")
    await queue.submit("b", "batch")
    taken, _ = await queue.take("w")
    await queue.answer("w", taken, 0, 1)
    await queue.say(queue.calls.cancel("m", "a"))
    keys = set(await queue.redis.keys("*")) - {KEYS.alive("g").encode()}
    assert {KEYS.jobs.encode(), KEYS.answers("g").encode(), KEYS.orders("w").encode()} < keys
    assert [key for key in keys if await queue.redis.pttl(key) <= 0] == []
