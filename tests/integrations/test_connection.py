"""The connection of a framework's service, to a real server."""

from __future__ import annotations

import asyncio

import pytest

from tests.conftest import Served
from tests.ports import free_port
from voicewire.dial import Unreachable
from voicewire.frames import Done
from voicewire.integrations.connection import Connection


async def test_it_is_one_until_it_is_closed(served: Served) -> None:
    connection = Connection(served.url, served.key)
    first, second = await asyncio.gather(connection.client(), connection.client())
    assert first is second
    async with first.speak("Yes.") as speech:
        assert isinstance([event async for event in speech][-1], Done)
    await connection.aclose()
    third = await connection.client()
    assert third is not first
    assert not third.ended
    await connection.aclose()


async def test_nobody_there_is_said_each_time() -> None:
    connection = Connection(f"http://127.0.0.1:{free_port()}", "some-key-or-other")
    for _ in range(2):
        with pytest.raises(Unreachable):
            await connection.client()
    await connection.aclose()
