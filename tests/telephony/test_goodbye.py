"""How a carrier leaves: with a word, a close behind it, or both at once."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState
from websockets.asyncio.client import connect
from websockets.frames import Close, Frame, Opcode

from tests.telephony.carrier import WAIT_S
from voicewire.server.live.wire import GOODBYE, WireProtocol, wire_of


async def test_a_stop_and_a_close_that_are_read_together_break_nothing() -> None:
    broken: asyncio.Queue[Exception | None] = asyncio.Queue()

    async def held(scope: Any, receive: Any, send: Any) -> None:
        wire = wire_of(scope)
        await receive()
        await send({"type": "websocket.accept"})
        wire.listener = lambda _: wire.finish(GOODBYE, "")
        await receive()
        broken.put_nowait(wire.broken)

    config = Config(held, lifespan="off", log_config=None)
    config.load()
    running = await asyncio.get_running_loop().create_server(
        lambda: WireProtocol(config, ServerState(), {}), "127.0.0.1", 0
    )
    async with running, connect(f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}", proxy=None) as socket:
        stop, close = Frame(Opcode.TEXT, b'{"event":"stop"}'), Frame(Opcode.CLOSE, Close(GOODBYE, "").serialize())
        socket.transport.write(stop.serialize(mask=True) + close.serialize(mask=True))
        assert await asyncio.wait_for(broken.get(), WAIT_S) is None
        await asyncio.wait_for(socket.wait_closed(), WAIT_S)
        assert socket.close_code == GOODBYE
