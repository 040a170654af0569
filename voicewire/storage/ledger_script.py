"""What the ledger's script takes and answers: the other side of `ledger.lua`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from voicewire.storage.scripts import Script

META_KEY = "{led:0}:meta"
LEASES_KEY = "{led:0}:leases"
OUTBOX_KEY = "{led:0}:outbox"
ACCOUNT_KEY = "{led:0}:account:"  # and the tenant
STREAM_KEY = "{led:0}:stream:"  # and the tenant and the stream

SHARD = "0"
GRANTS = "grant"  # the stream under which entries of grants stand; no stream of a listener may have its name
NEVER_MS = (1 << 53) - 1  # when something expires that does not: the last whole number that Lua knows
LEASE_MS = 15_000
OPS_MAX = 64  # in one call: Redis does nothing else meanwhile

UNKNOWN = -1  # whether a block is metered, where its gateway does not know


class Item(Struct, frozen=True):
    """A block of a stream: what a hold, a bill and each of their repeats are known by, and what usage says of it."""

    tenant: str
    stream: str
    block: int
    model: str
    voice: str
    key: str
    cached: bool = False


class Keys:
    """The names of the ledger's keys; they share one hash tag, so that one script may touch them all."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.meta = prefix + META_KEY
        self.leases = prefix + LEASES_KEY
        self.outbox = prefix + OUTBOX_KEY
        self._accounts, self._streams = prefix + ACCOUNT_KEY, prefix + STREAM_KEY

    def account(self, tenant: str) -> str:
        return self._accounts + tenant

    def stream(self, tenant: str, stream: str) -> str:
        return f"{self._streams}{tenant}:{stream}"


class Op(NamedTuple):
    """One operation: whose, and its arguments as the script unpacks them."""

    tenant: str
    stream: str
    packed: bytes


class Answer(NamedTuple):
    """`left_ms` is what is left, holds included; None where that was not asked or is not limited."""

    status: str
    left_ms: int | None
    value: int | str
    seq: int


class State(NamedTuple):
    """What PostgreSQL knows of a block, as `restore` takes it."""

    block: str
    posted_ms: int
    sounded_ms: int
    posts: int
    metered: int
    cached: int
    model: str
    voice: str
    key: str
    split: list[tuple[str, int]]


class EpochChanged(Exception):
    """The operations were not done: they are of an epoch that has ended, or the next has not begun."""


def block_op(
    name: str, item: Item, ms: int = 0, audio_ms: int = 0, *, hold: int = 0, least: int = 0, metered: int = UNKNOWN
) -> Op:
    """An operation on a block. What clients name is cleaned: neither MessagePack nor PostgreSQL takes every text."""
    tenant, stream = item.tenant, clean(item.stream)
    fields = (name, tenant, stream, item.block, ms, audio_ms, hold, least, metered, int(item.cached))
    return Op(tenant, stream, msgspec.msgpack.encode((*fields, clean(item.model), clean(item.voice), clean(item.key))))


def tenant_op(name: str, tenant: str, *arguments: object) -> Op:
    """An operation on an account."""
    return Op(tenant, GRANTS, msgspec.msgpack.encode((name, tenant, *arguments)))


def restore_op(tenant: str, stream: str, epoch: int, states: Sequence[State]) -> Op:
    """Tell of blocks that were billed before `epoch`; those that are known stay as they are."""
    return Op(tenant, stream, msgspec.msgpack.encode(("restore", tenant, stream, str(epoch), states)))


def clean(text: str) -> str:
    """Return `text` as it can be stored: without NUL and lone surrogates."""
    if text.isascii():
        return text.replace("\0", "")
    return text.replace("\0", "").encode("utf-8", "replace").decode()


class LedgerScript:
    """Calls the script. Every operation may be sent again: a repeat answers as before and changes nothing."""

    def __init__(self, keys: Keys, script: Script | None = None, *, lease_ms: int = LEASE_MS) -> None:
        self.keys = keys
        self._script = script or Script.read("ledger.lua")
        self._lease_ms = lease_ms

    async def call(self, redis: Redis, epoch: str, ops: Iterable[Op], now_ms: int = 0) -> list[Answer]:
        """Do `ops`, in their order. Raises `EpochChanged`, and `RedisError`, after which they may have been done."""
        names = [self.keys.meta, self.keys.leases, self.keys.outbox]
        arguments: list[str | int | bytes] = [epoch, now_ms, self._lease_ms]
        for op in ops:
            names += (self.keys.account(op.tenant), self.keys.stream(op.tenant, op.stream))
            arguments.append(op.packed)
        answers = await self._script.run(redis, names, arguments)
        if answers and answers[0] == b"EPOCH":
            raise EpochChanged(answers[1].decode())
        return [_answer(*each) for each in answers]


def _answer(status: bytes, left: int | bytes, value: int | bytes, seq: int) -> Answer:
    return Answer(
        status.decode(),
        left if isinstance(left, int) else None,
        value if isinstance(value, int) else value.decode("utf-8", "replace"),
        seq,
    )
