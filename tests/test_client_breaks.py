"""Connections of the client that break: what goes on behind the break, and what it is told where nothing does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.conftest import Served
from tests.test_client import TEXT, hear, tokens
from voicewire.client import Status, connect
from voicewire.dial import Unreachable
from voicewire.frames import Done


class Cuts:
    """A proxy that breaks each connection after so many bytes of the server's, then lets the last one live.

    Where none are to come, nothing does, and nothing ends.
    """

    def __init__(self, after_bytes: list[int], target: int) -> None:
        self.after_bytes = after_bytes
        self.broken = 0
        self.writers: list[asyncio.StreamWriter] = []
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self._tasks.add(asyncio.create_task(self._carry(reader, writer)))

    async def end(self) -> None:
        """End every connection: a test leaves no socket open behind it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self.writers:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self.after_bytes.pop(0) if self.after_bytes else 1 << 40
        if not left:
            await reader.read()  # and nobody answers
            writer.transport.abort()
            return
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        upwards = asyncio.create_task(self._pass(reader, there_writer, 1 << 40))
        try:
            await self._pass(there_reader, writer, left)
        finally:
            upwards.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await upwards
            writer.transport.abort()
            there_writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(min(left, 65_536)):
                writer.write(data)
                await writer.drain()
                left -= len(data)
                if left <= 0:
                    self.broken += 1
                    return


@asynccontextmanager
async def _cutting(served: Served, *after_bytes: int) -> AsyncIterator[tuple[str, Cuts]]:
    cuts = Cuts(list(after_bytes), int(served.url.rsplit(":", 1)[1]))
    async with await asyncio.start_server(cuts.accept, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", cuts
    await cuts.end()


@pytest.mark.parametrize("cuts", [(4_000,), (50_000,), (9_000, 20_001, 33_333), (700, 700)])
async def test_a_break_is_mended_without_a_sample_lost_or_doubled(served: Served, cuts: tuple[int, ...]) -> None:
    async with connect(served.url, served.key) as client:
        whole = await hear(client, TEXT, phonemes=True)
    async with _cutting(served, *cuts) as (url, proxy), connect(url, served.key) as client:
        mended = await hear(client, TEXT, phonemes=True)
    assert proxy.broken == len(cuts)
    assert isinstance(mended.end, Done)
    assert mended.opened == 1
    assert mended.pcm == whole.pcm
    assert mended.words == whole.words
    assert mended.phonemes == whole.phonemes
    assert len(whole.phonemes) > len(whole.words)
    assert mended.spans == whole.spans
    assert mended.end.billed_ms <= mended.end.audio_ms == len(mended.pcm) // 48


async def test_a_connection_that_ended_while_nobody_spoke_is_opened_for_who_speaks_next(served: Served) -> None:
    async with _cutting(served) as (url, cuts), connect(url, served.key, retry_delays_s=(0.0,)) as client:
        for _ in range(3):
            assert isinstance((await hear(client, "Again.")).end, Done)
            cuts.writers[-1].transport.abort()
        assert len(cuts.writers) == 3


async def test_a_break_amid_the_text_loses_none_of_it(served: Served) -> None:
    async with _cutting(served, 9_000, 9_000, 9_000) as (url, proxy), connect(url, served.key) as client:
        mended = await hear(client, tokens(TEXT * 4, 3))
    assert proxy.broken == 3
    assert "".join((TEXT * 4)[start:stop] for start, stop in mended.spans) == TEXT * 4


async def test_when_nothing_mends_it_the_listener_is_told(served: Served) -> None:
    async with _cutting(served, 9_000, *[1] * 50) as (url, _):
        client = connect(url, served.key, retry_delays_s=(0.0, 0.01, 0.01))
        with pytest.raises(Unreachable):
            async with client as connected:
                await hear(connected, TEXT)


async def test_a_server_that_falls_silent_is_given_up_in_time(served: Served) -> None:
    told: list[Status] = []
    async with _cutting(served, 9_000, 0, 0, 0) as (url, cuts):
        client = connect(url, served.key, (0.0,) * 50, give_up_s=1.0, on_status=told.append)
        async with client as connected, asyncio.timeout(8):  # one try alone would take ten seconds
            with pytest.raises(Unreachable):
                await hear(connected, TEXT)
        assert cuts.broken == 1
    assert told == ["open", "reconnecting", "closed"]


async def test_who_fails_to_hear_of_the_status_leaves_nobody_waiting(served: Served) -> None:
    def fail(status: Status) -> None:
        if status != "open":
            raise ZeroDivisionError

    async with _cutting(served, 9_000) as (url, _), asyncio.timeout(30):
        connected = connect(url, served.key, on_status=fail)
        client = await connected.__aenter__()
        with pytest.raises(ZeroDivisionError):
            await hear(client, TEXT)
        with pytest.raises(ZeroDivisionError):
            await connected.__aexit__(None, None, None)
        assert client.ended


async def test_after_the_end_nobody_speaks_any_more(served: Served) -> None:
    async with (
        _cutting(served, 9_000, *[1] * 50) as (url, _),
        connect(url, served.key, retry_delays_s=(0.0,)) as client,
    ):
        with pytest.raises(Unreachable):
            await hear(client, TEXT)
        with pytest.raises(Unreachable):
            await hear(client, TEXT)
