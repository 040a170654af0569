"""What is asked of the ledger is answered, or said to be unanswered, whatever goes wrong on the way."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from redis.asyncio import Redis

from voicewire.storage.ledger_calls import Away, Calls
from voicewire.storage.ledger_script import OPS_MAX, Answer, Keys, LedgerScript, Op, tenant_op
from voicewire.storage.life import Life
from voicewire.types import KEY_PREFIX


class Stumbling(LedgerScript):
    """The script, behind one mistake that nobody foresaw."""

    mistakes = 1

    async def call(self, _redis: Redis, _epoch: str, ops: Iterable[Op], _now_ms: int = 0) -> list[Answer]:
        if self.mistakes:
            self.mistakes -= 1
            raise BufferError("of a library")
        return [Answer("ok", 0, 0, 0) for _ in ops]


@pytest.fixture
def op() -> Op:
    return tenant_op("left", "home")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # nobody awaits the sender
async def test_a_mistake_leaves_nobody_waiting_and_the_next_is_answered(redis: Redis, op: Op) -> None:
    calls = Calls(redis, Stumbling(Keys(KEY_PREFIX)))
    await calls.open(Life("of this test", 1))
    with pytest.raises(Away):
        await calls.do(op)
    assert (await calls.do(op)).status == "ok"
    await calls.close()


class Counting(LedgerScript):
    """Answers each operation with its own name; the second call fails."""

    calls = 0

    async def call(self, _redis: Redis, _epoch: str, ops: Iterable[Op], _now_ms: int = 0) -> list[Answer]:
        self.calls += 1
        if self.calls == 2:
            raise ConnectionError
        return [Answer(op.tenant, 0, 0, 0) for op in ops]


async def test_of_many_each_gets_its_own_answer_and_a_call_that_fails_takes_no_other_along(redis: Redis) -> None:
    calls = Calls(redis, Counting(Keys(KEY_PREFIX)))
    await calls.open(Life("of this test", 1))
    names = [str(number) for number in range(2 * OPS_MAX + 10)]
    answers = await calls.do_each(tenant_op("left", name) for name in names)
    said = [each.status if isinstance(each, Answer) else type(each) for each in answers]
    assert said == names[:OPS_MAX] + [Away] * OPS_MAX + names[2 * OPS_MAX :]
    assert (await calls.do(tenant_op("left", "after"))).status == "after"
    await calls.close()
