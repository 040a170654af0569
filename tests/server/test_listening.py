"""Messages that arrive together are taken in their order, whether they come straight from the transport or wait."""

from __future__ import annotations

import json

import pytest
from uvicorn import Config
from uvicorn.server import ServerState
from websockets.asyncio.client import connect
from websockets.frames import Frame, Opcode

from tests.conftest import Served
from voicewire.server.live.wire import HEARD_AT_ONCE, WireProtocol

MESSAGES = 20 * HEARD_AT_ONCE


async def test_many_messages_in_one_read_are_answered_in_order(served: Served) -> None:
    address = served.url.replace("http", "ws") + "/v1/stream"
    headers = {"Authorization": f"Bearer {served.key}"}
    async with connect(address, additional_headers=headers, compression=None) as socket:
        assert json.loads(await socket.recv())["type"] == "ready"
        texts = [json.dumps({"type": "flush", "context": f"c{number}"}).encode() for number in range(MESSAGES)]
        frames = [Frame(Opcode.TEXT, text).serialize(mask=True) for text in texts]
        socket.transport.write(b"".join(frames))
        answers = [json.loads(await socket.recv()) for _ in range(MESSAGES)]
    assert {answer["code"] for answer in answers} == {"unknown_context"}
    assert [answer["message"].split("'")[1] for answer in answers] == [f"c{number}" for number in range(MESSAGES)]


async def test_what_a_listener_raises_ends_the_connection_where_it_is_guarded() -> None:
    async def nothing(scope: object, receive: object, send: object) -> None: ...

    protocol = WireProtocol(Config(nothing), ServerState(), {})
    heard: list[str | bytes] = []

    def listener(data: str | bytes) -> None:
        heard.append(data)
        raise LookupError

    protocol.listener = listener
    for text in (b"one", b"two"):
        protocol.handle_text(Frame(Opcode.TEXT, text))
        if protocol.listener is None:
            break
    assert heard == ["one"]
    assert isinstance(protocol.broken, LookupError)
    assert protocol.queue.get_nowait()["type"] == "websocket.disconnect"


async def test_a_text_message_stirs_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(scope: object, receive: object, send: object) -> None: ...

    protocol, told = WireProtocol(Config(nothing), ServerState(), {}), list[str]()
    protocol.stirred = lambda: told.append("stirred")
    monkeypatch.setattr(protocol.conn, "receive_data", lambda _: told.append("read"))
    protocol.data_received(b"\x81?")
    assert told == ["stirred", "read"]
    protocol.data_received(b"\x8a?")
    assert told[2:] == ["read"], "a pong"
