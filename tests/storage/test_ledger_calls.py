"""What is asked of the ledger is answered, or said to be unanswered, whatever goes wrong on the way."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from redis.asyncio import Redis

from voicewire.storage.ledger_calls import Away, Calls
from voicewire.storage.ledger_script import Answer, Keys, LedgerScript, Op, tenant_op
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
