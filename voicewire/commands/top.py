"""`voicewire top`: gateways, workers and what waits between them, as it changes."""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import TextIO

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from voicewire.commands.fleet import Look, look
from voicewire.commands.problems import Exit, Problem
from voicewire.commands.table import write_table
from voicewire.commands.terminal import fit_begin
from voicewire.config import Config
from voicewire.remote.keys import RUNGS
from voicewire.remote.presence import BEAT_S, Member
from voicewire.storage.address import without_password
from voicewire.storage.embedded import holder
from voicewire.storage.embedded_redis import EmbeddedRedis
from voicewire.storage.redis import open_redis

REDRAW_S = 1.0
LINES_MAX = 1 << 16  # where there is no screen to fill
AROUND = 2  # lines of a table beside its rows
LATE_S = 2 * BEAT_S  # without a word for so long, somebody is mentioned as silent
ENTER, HOME, CLEAR_LINE, CLEAR_BELOW, LEAVE = (
    "\x1b[?1049h\x1b[?25l",
    "\x1b[H",
    "\x1b[K",
    "\x1b[J",
    "\x1b[?25h\x1b[?1049l",
)

GATEWAYS = ("gateway", "host", "version", "streams", "waiting", "making", "state")
WORKERS = ("worker", "model", "host", "version", "lanes", "making", "made", "failed", "state")
QUEUES = ("queue", *RUNGS, "making", "lag", "workers", "given up")


async def top(config: Config, out: TextIO, *, once: bool, json: bool) -> None:
    """Show the fleet that shares the Redis of `config`: once, or until Ctrl-C, anew each second.

    What is no terminal gets plain text: with `json`, an object on a line for each look. Raises `Problem` where there
    is no Redis to ask, and, asked once, where it does not answer.
    """
    async with _open(config) as (redis, address):
        if once or not (json or out.isatty()):
            seen = await _look(redis, config)
            out.write(as_json(seen) if json else page(seen, address))
        elif json:
            await _repeat(out, lambda: _told(redis, config))
        else:
            with _screen(out):
                await _repeat(out, lambda: _drawn(redis, config, address))


@asynccontextmanager
async def _open(config: Config) -> AsyncIterator[tuple[Redis, str]]:
    async with AsyncExitStack() as stack:
        url = config.redis_url
        if not url and holder(config.data_dir) is None:
            raise Problem(Exit.UNREACHABLE, f"no server runs on {config.data_dir}, and no Redis is named")
        if not url:
            server = EmbeddedRedis(config.data_dir)
            stack.push_async_callback(server.stop)  # which ends nothing that it did not start
            url = server.url()
        redis = open_redis(url)
        stack.push_async_callback(redis.aclose)
        yield redis, without_password(url)


async def _look(redis: Redis, config: Config) -> Look:
    try:
        return await look(redis, config.engines_here)
    except (RedisError, OSError) as error:
        raise Problem(Exit.UNREACHABLE, f"Redis does not answer: {error}") from error


async def _repeat(out: TextIO, show: Callable[[], Awaitable[str]]) -> None:
    while True:
        out.write(await show())
        out.flush()
        await asyncio.sleep(REDRAW_S)


async def _told(redis: Redis, config: Config) -> str:
    return as_json(await _look(redis, config))


async def _drawn(redis: Redis, config: Config, address: str) -> str:
    columns, rows = shutil.get_terminal_size()
    try:
        text = page(await _look(redis, config), address, rows - 1)
    except Problem as problem:
        text = f"{address}: {problem}\n"
    lines = text.splitlines()[: max(1, rows - 1)]
    return HOME + "".join(f"{fit_begin(line, columns)}{CLEAR_LINE}\n" for line in lines) + CLEAR_BELOW


@contextmanager
def _screen(out: TextIO) -> Iterator[None]:
    """Draw on the terminal's other screen, so that what was on it is there again afterwards."""
    out.write(ENTER)
    try:
        yield
    finally:
        out.write(LEAVE)
        out.flush()


def page(seen: Look, address: str, lines_max: int = LINES_MAX) -> str:
    """Return the tables of one look, as text: what waits first, and of the members as many as there is room for."""
    out = io.StringIO()
    streams = sum(member.beat.streams for member in seen.gateways)
    at = datetime.fromtimestamp(seen.at_s, UTC)
    counts = {"gateway": len(seen.gateways), "worker": len(seen.workers), "stream": streams}
    said = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items())
    out.write(f"{said} on {address} at {at:%H:%M:%S} UTC\n")
    queues, gateways, workers = (
        [_queue(model, seen) for model in seen.given_up],
        [_gateway(member) for member in seen.gateways],
        [_worker(member) for member in seen.workers],
    )
    left = lines_max - 1
    left -= _write(QUEUES, queues, left, out)
    left -= _write(GATEWAYS, gateways, max(left - _height(workers), left // 2), out)
    _write(WORKERS, workers, left, out)
    return out.getvalue()


def _height(rows: Sequence[tuple[str, ...]]) -> int:
    return len(rows) + AROUND if rows else 0


def _write(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], room: int, out: TextIO) -> int:
    """Write a table into so many lines, or say how much of it there was no room for; return how many it took."""
    if not rows or room <= AROUND:
        return 0
    shown = rows if _height(rows) <= room else rows[: room - AROUND - 1]
    out.write("\n")
    write_table(heads, shown, out)
    if len(shown) < len(rows):
        out.write(f"… and {len(rows) - len(shown)} more\n")
    return min(_height(rows), room)


def _gateway(member: Member) -> tuple[str, ...]:
    beat = member.beat
    figures = (beat.streams, beat.queued, beat.running)
    return member.name, beat.host, beat.version, *map(str, figures), _state(member)


def _worker(member: Member) -> tuple[str, ...]:
    beat = member.beat
    figures = (beat.lanes, beat.running, beat.counts.get("completed", 0), beat.counts.get("failed", 0))
    return member.name, _model(member), beat.host, beat.version, *map(str, figures), _state(member)


def _queue(model: str, seen: Look) -> tuple[str, ...]:
    lines = [line for line in seen.lines if line.model == model]
    workers = sum(_model(member) == model for member in seen.workers)
    return (
        model,
        *(str(line.waiting) for line in lines),
        str(sum(line.making for line in lines)),
        f"{max((line.lag_s for line in lines), default=0.0):.1f} s",
        str(workers),
        str(seen.given_up[model]),
    )


def _model(member: Member) -> str:
    return member.beat.model.id if member.beat.model else ""


def _state(member: Member) -> str:
    if member.age_s > LATE_S:
        return f"silent for {member.age_s:.1f} s"
    return "draining" if member.beat.draining else "ready"


def as_json(seen: Look) -> str:
    """Return one look as an object on a line of its own."""
    told = {
        "at": datetime.fromtimestamp(seen.at_s, UTC).isoformat(timespec="milliseconds"),
        "gateways": [_told_of(member) for member in seen.gateways],
        "workers": [_told_of(member) for member in seen.workers],
        "queues": [line._asdict() for line in seen.lines],
        "given_up": seen.given_up,
    }
    return msgspec.json.encode(told).decode() + "\n"


def _told_of(member: Member) -> dict[str, object]:
    beat = {
        name: getattr(member.beat, name) for name in member.beat.__struct_fields__ if name not in {"voices", "model"}
    }
    return {"name": member.name, "age_s": member.age_s, "model": _model(member), **beat}
