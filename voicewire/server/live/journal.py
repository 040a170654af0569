"""What a resume needs, kept in Redis: every session's contexts, their blocks and the frames made for them.

Each gateway writes what changed, in one script per session and interval, and only while it owns the
session: a `claim` by another connection, on any gateway, takes the ownership away (fencing). A write may be
applied twice after a lost reply: runs are counted from the context's first, and blocks know their place.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from voicewire.auth.principal import Principal
from voicewire.errors import RETRY_MS, Busy
from voicewire.plan import Plan, State
from voicewire.timeline import Run
from voicewire.types import KEY_PREFIX, Block

LOGGER = logging.getLogger(__name__)

SESSION_KEY = "s:{{{session}}}"
"""Redis, hash: `owner`, `token` (hashed), `record`, and for each context `p<channel>` (its plan), `c<channel>` (its
state), `n<channel>` (runs ever pushed) and `g<channel>` (of those, runs dropped since).

Beside it the lists `…:b:<channel>` (blocks) and `…:r:<channel>` (runs). The braces keep a session in one slot.
"""

WRITES_AT_ONCE = 16  # sessions in one pipeline: what is due on the loop waits for it to be put together
LOOK_S = 0.5  # between looks for sessions to keep
KEEP_S = 30.0  # how often the expiry of sessions without changes is put off

WRITE = """
local base = KEYS[1]
local owner = redis.call('HGET', base, 'owner')
if owner and owner ~= ARGV[1] then return 0 end
if not owner then
  if ARGV[3] == '' then return 0 end
  redis.call('HSET', base, 'owner', ARGV[1], 'token', ARGV[4])
end
redis.call('HSET', base, 'record', ARGV[3])
redis.call('PEXPIRE', base, ARGV[2])
local at = 6
for _ = 1, tonumber(ARGV[5]) do
  local channel, plan, state, gone = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local pushed, blocks, runs = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
  at = at + 7
  if state == '' then
    redis.call('HDEL', base, 'p' .. channel, 'c' .. channel, 'n' .. channel, 'g' .. channel)
    redis.call('DEL', base .. ':b:' .. channel, base .. ':r:' .. channel)
  else
    if plan ~= '' then redis.call('HSET', base, 'p' .. channel, plan) end
    local counts = redis.call('HMGET', base, 'n' .. channel, 'g' .. channel)
    local known, dropped = tonumber(counts[1]) or pushed, tonumber(counts[2]) or 0
    redis.call('HSET', base, 'c' .. channel, state, 'n' .. channel, pushed + runs, 'g' .. channel, gone)
    for i = at, at + blocks - 1 do redis.call('RPUSH', base .. ':b:' .. channel, ARGV[i]) end
    if gone > dropped then redis.call('LTRIM', base .. ':r:' .. channel, gone - dropped, -1) end
    local from = at + blocks + math.max(0, math.max(known, gone) - pushed)
    for i = from, at + blocks + runs - 1 do redis.call('RPUSH', base .. ':r:' .. channel, ARGV[i]) end
    redis.call('PEXPIRE', base .. ':b:' .. channel, ARGV[2])
    redis.call('PEXPIRE', base .. ':r:' .. channel, ARGV[2])
  end
  at = at + blocks + runs
end
return 1
"""

CLAIM = """
local token = redis.call('HGET', KEYS[1], 'token')
if not token or token ~= ARGV[1] then return false end
redis.call('HINCRBY', KEYS[1], 'owner', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('HGETALL', KEYS[1])
"""

FORGET = """
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('DEL', unpack(KEYS))
return 1
"""


class Record(Struct, array_like=True):
    """What a session is, beside its contexts."""

    session: str
    principal: Principal
    channels: int


@dataclass(slots=True)
class Entry:
    """What changed in one context. An empty `state` forgets it."""

    channel: int
    plan: bytes = b""
    state: bytes = b""
    blocks: list[bytes] = field(default_factory=list)
    runs: list[bytes] = field(default_factory=list)
    pushed: int = 0  # runs of the context ever written before these
    gone: int = 0  # of all its runs, no longer needed


@dataclass(frozen=True, slots=True)
class Kept:
    """A context as it was kept."""

    plan: Plan
    state: State
    blocks: list[Block]
    runs: list[Run]
    gone: int = 0  # runs that were written once and are not in `runs`


@dataclass(frozen=True, slots=True)
class Claimed:
    """A session taken over: its record, its contexts by channel, and the number of its new owner."""

    record: Record
    owner: int
    contexts: dict[int, Kept]


class Journaled(Protocol):
    """A session as the journal sees it."""

    id: str
    owner: int
    token_hash: bytes

    def record(self) -> Record: ...

    def entries(self, *, everything: bool) -> list[Entry]:
        """What changed since the last call that was followed by `written`; with `everything`, of all contexts."""
        ...

    def written(self) -> None: ...

    def fenced(self) -> None:
        """Another connection owns the session now."""
        ...


def token_hash(token: str) -> bytes:
    """Return what is kept of a resume token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Journal:
    """Writes the sessions of this gateway and claims those of any. Times are in seconds."""

    def __init__(self, redis: Redis, *, interval_s: float, resume_s: float, prefix: str = KEY_PREFIX) -> None:
        self._redis = redis
        self._prefix = prefix
        self._interval_s = interval_s
        self._resume_ms = max(1, int(resume_s * 1000))
        self._dirty: dict[str, Journaled] = {}
        self._sessions: dict[str, Journaled] = {}
        self._kept: OrderedDict[str, float] = OrderedDict()  # when each session's expiry was last put off, oldest first
        self._writing: dict[str, asyncio.Future[None]] = {}  # by session: done when its write is
        self._wake = asyncio.Event()
        self._scripts: dict[str, str] = {}
        self._encode = msgspec.msgpack.Encoder().encode
        self._down = False
        self.failures = 0
        self.written_sessions = 0

    def watch(self, session: Journaled) -> None:
        """Keep a session from now on."""
        self._sessions[session.id] = session
        self._kept[session.id] = asyncio.get_running_loop().time()
        self._kept.move_to_end(session.id)
        self.touch(session)

    def touch(self, session: Journaled) -> None:
        """Something of the session changed."""
        if self._sessions.get(session.id) is session:
            self._dirty[session.id] = session
            self._wake.set()

    async def run(self) -> None:
        """Write for ever; cancel to stop. A Redis that is down costs resumes, nothing else."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_S)
            await asyncio.sleep(self._interval_s)
            self._wake.clear()
            dirty, self._dirty = self._dirty, {}
            await self._write(list(dirty.values()))
            fading = self._fading(asyncio.get_running_loop().time())
            await self._write(fading, everything=True)
            if len(fading) == WRITES_AT_ONCE:
                self._wake.set()  # there may be more

    def _fading(self, now: float) -> list[Journaled]:
        """The sessions whose expiry must be put off now: few at a time, since streams wait while they are written."""
        fading: list[Journaled] = []
        while self._kept and len(fading) < WRITES_AT_ONCE:
            session_id, kept_at = next(iter(self._kept.items()))
            if kept_at > now - KEEP_S:
                break
            del self._kept[session_id]
            if session_id in self._sessions:
                fading.append(self._sessions[session_id])
                self._kept[session_id] = now
        return fading

    async def leave(self, session: Journaled) -> None:
        """Write all of a session for the last time; it can be resumed for `resume_s`."""
        self._unwatch(session)
        await self._quiet(session.id)
        await self._write([session], everything=True, expiry_ms=self._resume_ms)

    async def forget(self, session: Journaled, channels: Iterable[int]) -> None:
        """Drop a session that ended as it should: nobody will resume it."""
        self._unwatch(session)
        await self._quiet(session.id)
        base = self._base(session.id)
        lists = [f"{base}:{kind}:{channel}" for channel in channels for kind in "br"]
        try:
            with self._alone([session]):
                await self._evaluate(FORGET, [base, *lists], [session.owner])
        except (RedisError, OSError):
            self.failures += 1

    async def claim(self, session_id: str, token: str) -> Claimed | None:
        """Take a session over, from whatever connection had it; None when it is gone or the token is wrong.

        Raises `Busy` when Redis does not say.
        """
        await self._quiet(session_id)
        base = self._base(session_id)
        try:
            found = await self._evaluate(CLAIM, [base], [token_hash(token), self._resume_ms])
            return await self._load(base, found) if found else None
        except (RedisError, OSError) as error:
            self.failures += 1
            LOGGER.warning("a session could not be claimed: %s", error)
            raise Busy(retry_after_ms=RETRY_MS) from error
        except msgspec.MsgspecError:  # another version wrote it
            LOGGER.warning("a session could not be read", exc_info=True)
            return None

    def _unwatch(self, session: Journaled) -> None:
        for sessions in (self._sessions, self._dirty):
            if sessions.get(session.id) is session:
                del sessions[session.id]

    @contextlib.contextmanager
    def _alone(self, sessions: list[Journaled]) -> Iterator[None]:
        """Have others wait, in `_quiet`, until what is written of these sessions is written."""
        written = asyncio.get_running_loop().create_future()
        self._writing |= dict.fromkeys((session.id for session in sessions), written)
        try:
            yield
        finally:
            for session in sessions:
                del self._writing[session.id]
            written.set_result(None)

    async def _quiet(self, session_id: str) -> None:
        """Wait until no write of the session is under way: on another connection, one could overtake it."""
        while (writing := self._writing.get(session_id)) is not None:
            await asyncio.wait({writing})

    async def _load(self, base: str, found: list[bytes]) -> Claimed:
        fields = dict(zip(found[::2], found[1::2], strict=True))
        channels = sorted(int(name[1:]) for name in fields if name.startswith(b"c") and name[1:].isdigit())
        contexts = {}
        for channel in channels:
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.lrange(f"{base}:b:{channel}", 0, -1)
                pipeline.lrange(f"{base}:r:{channel}", 0, -1)
                blocks, runs = await pipeline.execute()
            if b"p%d" % channel in fields:  # else Redis lost it
                contexts[channel] = _decode(fields, channel, blocks, runs)
        record = msgspec.msgpack.decode(fields[b"record"], type=Record)
        return Claimed(record, int(fields[b"owner"]), contexts)

    async def _write(
        self, sessions: list[Journaled], *, everything: bool = False, expiry_ms: int | None = None
    ) -> None:
        expiry_ms = expiry_ms or self._resume_ms + int(2_000 * KEEP_S)  # never before it is put off again
        for at in range(0, len(sessions), WRITES_AT_ONCE):
            due = sessions[at : at + WRITES_AT_ONCE]
            batch = [each for each in due if each.id not in self._writing]
            for session in due:
                if session.id in self._writing:  # by who had it before; its turn comes
                    self.touch(session)
            try:
                with self._alone(batch):
                    await self._write_batch(batch, everything=everything, expiry_ms=expiry_ms)
                if batch and self._down:
                    LOGGER.warning("the journal can be written again")
                    self._down = False
            except (RedisError, OSError) as error:
                self.failures += 1
                if not self._down:
                    LOGGER.warning("the journal cannot be written, nothing can be resumed: %s", error)
                self._down = True
                for session in batch:
                    self.touch(session)

    async def _write_batch(
        self, batch: list[Journaled], *, everything: bool, expiry_ms: int, again: bool = True
    ) -> None:
        sha = await self._sha(WRITE)
        async with self._redis.pipeline(transaction=False) as pipeline:
            for session in batch:
                arguments = self._arguments(session, session.entries(everything=everything), expiry_ms)
                pipeline.evalsha(sha, 1, self._base(session.id), *arguments)
            results = await pipeline.execute(raise_on_error=False)
        for session, result in zip(batch, results, strict=True):
            if isinstance(result, NoScriptError) and again:
                self._scripts.clear()
                return await self._write_batch(batch, everything=everything, expiry_ms=expiry_ms, again=False)
            if isinstance(result, Exception):
                raise result
            if result == 1:
                self.written_sessions += 1
                session.written()
            else:
                self._unwatch(session)
                session.fenced()
        return None

    def _arguments(self, session: Journaled, entries: list[Entry], expiry_ms: int) -> list[Any]:
        record = self._encode(session.record())
        arguments: list[Any] = [session.owner, expiry_ms, record, session.token_hash, len(entries)]
        for entry in entries:
            sizes = (entry.gone, entry.pushed, len(entry.blocks), len(entry.runs))
            arguments += (entry.channel, entry.plan, entry.state, *sizes, *entry.blocks, *entry.runs)
        return arguments

    async def _sha(self, script: str) -> str:
        if script not in self._scripts:
            self._scripts[script] = await self._redis.script_load(script)
        return self._scripts[script]

    async def _evaluate(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        try:
            return await self._redis.evalsha(await self._sha(script), len(keys), *keys, *arguments)
        except NoScriptError:
            self._scripts.clear()
            return await self._redis.evalsha(await self._sha(script), len(keys), *keys, *arguments)

    def _base(self, session_id: str) -> str:
        return self._prefix + SESSION_KEY.format(session=session_id)


def _decode(fields: dict[bytes, bytes], channel: int, blocks: list[bytes], runs: list[bytes]) -> Kept:
    """Return a context, without blocks that were written twice."""
    decode = msgspec.msgpack.decode
    plan, state = decode(fields[b"p%d" % channel], type=Plan), decode(fields[b"c%d" % channel], type=State)
    kept = Kept(plan, state, [], [decode(data, type=Run) for data in runs], int(fields.get(b"g%d" % channel, 0)))
    for data in blocks:
        block = decode(data, type=Block)
        if block.start == (kept.blocks[-1].stop if kept.blocks else 0):
            kept.blocks.append(block)
    return kept
