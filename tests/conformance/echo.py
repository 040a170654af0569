"""An echo endpoint on the server's own connections and settings: `python -m tests.conformance.echo` prints its port."""

from __future__ import annotations

import socket

import uvicorn
import uvloop
from fastapi import FastAPI
from starlette.routing import WebSocketRoute
from starlette.types import Message
from starlette.websockets import WebSocket

from voicewire.config import Config
from voicewire.frames import BINARY_OPCODE, TEXT_OPCODE
from voicewire.server.app import _uvicorn_config
from voicewire.server.listen import listen
from voicewire.server.live.wire import WireProtocol, frame_header, wire_of


async def echo(websocket: WebSocket) -> None:
    """Send back what comes, as `server.live.stream` sends: past uvicorn, into the transport."""
    await websocket.accept()
    wire = wire_of(websocket.scope)
    while (event := await websocket.receive())["type"] == "websocket.receive":
        _answer(wire, event)


def _answer(wire: WireProtocol, event: Message) -> None:
    text = event.get("text")
    opcode, payload = (BINARY_OPCODE, event["bytes"]) if text is None else (TEXT_OPCODE, text.encode())
    wire.write(frame_header(opcode, len(payload)) + payload)


async def serve(listener: socket.socket) -> None:
    app = FastAPI()
    app.router.routes.append(WebSocketRoute("/", echo))
    await uvicorn.Server(_uvicorn_config(app, Config())).serve(sockets=[listener])


if __name__ == "__main__":
    listening = listen("127.0.0.1", 0)
    print(listening.getsockname()[1], flush=True)
    uvloop.run(serve(listening))
