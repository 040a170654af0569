"""A text over HTTP until its first sound: whoever leaves meanwhile frees what works for him."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.requests import Request
from starlette.types import Message

from voicewire.errors import Busy, VoicewireError
from voicewire.server.recite import begun


class Parts:
    """A file of which nothing comes before `ready`."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.closed = False

    async def all(self, error: Exception | None = None) -> AsyncGenerator[bytes, None]:
        try:
            await self.ready.wait()
            if error:
                raise error
            yield b"one"
            yield b"two"
        finally:
            self.closed = True


class Line:
    """A client, until `gone`."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.request = Request({"type": "http"}, self.receive)

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def test_who_leaves_before_the_first_sound_ends_the_work() -> None:
    parts, line = Parts(), Line()
    waiting = asyncio.create_task(begun(line.request, parts.all()))
    await asyncio.sleep(0)
    line.gone.set()
    with pytest.raises(VoicewireError) as caught:
        await waiting
    assert caught.value.row_code == "slow_consumer"
    assert parts.closed


async def test_who_waits_gets_it_and_the_rest_is_still_to_come() -> None:
    parts, line = Parts(), Line()
    parts.ready.set()
    whole = parts.all()
    assert await begun(line.request, whole) == b"one"
    assert not parts.closed
    assert [each async for each in whole] == [b"two"]


async def test_what_fails_before_is_raised() -> None:
    parts, line = Parts(), Line()
    parts.ready.set()
    with pytest.raises(Busy):
        await begun(line.request, parts.all(Busy()))
