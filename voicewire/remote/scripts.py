"""The scripts of the queue, as calls: each does all that it does at once, on the keys of one model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from redis.asyncio import Redis

from voicewire.remote.keys import RUNGS, SAID_KEY, SEEN_KEY, Keys
from voicewire.storage.scripts import Argument, Call, Script
from voicewire.types import KEY_PREFIX

TRIES_MAX = 3  # of a block, in a row, that bring no more than the first of them: then it is given up

FOLDER = Path(__file__).parent


class Taken(NamedTuple):
    """A block that a worker has got. `left_s` is the time until it is due; None: nobody waits for it."""

    job: str
    token: int
    left_s: float | None
    body: bytes


class Room(NamedTuple):
    """How many more blocks a worker wants: `due` of those that are due, `others` of any."""

    due: int
    others: int


class Seen(NamedTuple):
    """What one of the fleet said of itself, and how long ago."""

    name: str
    age_s: float
    body: bytes


class GatewayCalls:
    """What a gateway says of its jobs; kept until Redis has heard it, and then said in the same order."""

    def __init__(self, gateway: str, prefix: str) -> None:
        self._gateway = gateway
        self._prefix = prefix
        self._script = _script("gateway.lua")

    def submit(self, model: str, job: str, rung: str, left_s: float | None, body: bytes) -> Call:
        return self._call(model, "submit", job, self._gateway, rung, _ms(left_s), body)

    def cancel(self, model: str, job: str) -> Call:
        return self._call(model, "cancel", job)

    def postpone(self, model: str, job: str, rung: str, left_s: float | None) -> Call:
        return self._call(model, "postpone", job, rung, _ms(left_s))

    async def say(self, redis: Redis, calls: Sequence[Call]) -> None:
        """Send them. Raises `redis.RedisError` or `OSError`; then all may be sent again."""
        await self._script.run_each(redis, calls)

    def _call(self, model: str, *arguments: Argument) -> Call:
        return ((Keys(model, self._prefix).jobs,), arguments)


class WorkerCalls:
    """What a worker asks for, and says of the jobs that it holds."""

    def __init__(self, keys: Keys, worker: str, lease_s: float) -> None:
        self._keys = keys
        self._worker = worker
        self._lease_ms = int(lease_s * 1000)
        self._take = _script("take.lua")
        self._say = _script("worker.lua")

    async def take(
        self, redis: Redis, room: Room, *, reclaim: bool, read: Iterable[tuple[str, str]] = ()
    ) -> list[Taken]:
        """Take what is most wanted; with `reclaim` what others have let lie, too.

        `read` are the rungs and ids of entries that were read already. Raises `redis.RedisError` or `OSError`.
        """
        given = [each for entry in read for each in entry]
        arguments: list[Argument] = [
            self._worker,
            self._lease_ms,
            TRIES_MAX,
            room.due,
            room.others,
            int(reclaim),
            *given,
        ]
        found = await self._take.run(redis, [self._keys.jobs], arguments)
        return [
            Taken(job.decode(), int(token), int(left) / 1000 if left else None, body)
            for job, token, left, body in found
        ]

    async def renew(self, redis: Redis, held: Sequence[tuple[str, int]]) -> list[bool]:
        """Renew leases; return which of them are still held. Raises as `take`."""
        flat = [each for one in held for each in one]
        return [bool(each) for each in await self._say.run(redis, [self._keys.jobs], ["renew", self._worker, *flat])]

    async def sweep(self, redis: Redis, silent_s: float) -> None:
        """Forget workers that hold nothing and were silent for so long. Raises as `take`."""
        await self._say.run(redis, [self._keys.jobs], ["sweep", self._worker, int(silent_s * 1000)])

    def answer(self, job: str, token: int, seq: int, packets: int, message: bytes, *, last: bool) -> Call:
        return ((self._keys.jobs,), ("answer", self._worker, job, token, seq, packets, int(last), message))

    def release(self, job: str, token: int) -> Call:
        """Give a job back, as if it had not been begun."""
        return ((self._keys.jobs,), ("release", self._worker, job, token))

    async def say(self, redis: Redis, calls: Sequence[Call]) -> list[bool]:
        """Send answers; return for each whether the job was still ours. Raises as `take`; all may be sent again."""
        return [bool(each) for each in await self._say.run_each(redis, calls)]


class FleetCalls:
    """Who lives, by Redis' own clock. Every call raises `redis.RedisError` or `OSError`."""

    def __init__(self, prefix: str = KEY_PREFIX) -> None:
        self._keys = [prefix + SEEN_KEY, prefix + SAID_KEY]
        self._script = Script((FOLDER / "fleet.lua").read_text(encoding="utf-8"))

    async def beat(self, redis: Redis, name: str, body: bytes) -> None:
        await self._script.run(redis, self._keys, ["beat", name, body])

    async def leave(self, redis: Redis, name: str) -> None:
        await self._script.run(redis, self._keys, ["leave", name])

    async def read(self, redis: Redis) -> list[Seen]:
        found = await self._script.run(redis, self._keys, ["read"])
        return [Seen(name.decode(), int(age) / 1000, body or b"") for name, age, body in found]


def queues(keys: Keys) -> dict[str, str]:
    """The streams of a model → their rungs."""
    return {keys.queue(rung): rung for rung in RUNGS}


def _script(name: str) -> Script:
    return Script("\n".join((FOLDER / each).read_text(encoding="utf-8") for each in ("jobs.lua", name)))


def _ms(left_s: float | None) -> str:
    return "" if left_s is None else str(int(left_s * 1000))
