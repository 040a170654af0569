"""An operator's own program says what is spoken in a call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest

from tests.conftest import Served, started
from tests.telephony.app import new_call, used_ms
from tests.telephony.carrier import SECRET, WAIT_S, connected, token_of
from voicewire import frames
from voicewire.auth.secret_files import PEPPER_FILE
from voicewire.server.jobs.outward import Outward
from voicewire.server.jobs.signing import secret_for, signature
from voicewire.server.telephony.accounts import Account
from voicewire.server.telephony.call import Call
from voicewire.server.telephony.carriers import CARRIERS, Started
from voicewire.server.telephony.webhook import EVENTS_MAX, Hook, Hooks
from voicewire.types import CallEvent, Codec

ANSWERS = {
    "call.started": ("text/plain", ["Good ", "morning. ", "How can I help you today, dear caller?"]),
    "call.digit": ("application/json", ['{"text":"You pressed one.","interrupt":true}']),
}


class Program:
    """Answers over HTTP/1.1, piece by piece."""

    def __init__(self, answers: Mapping[str, tuple[str, list[str]]] = ANSWERS) -> None:
        self.answers = answers
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.signed: list[tuple[dict[str, str], bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        event = json.loads(body)
        self.signed.append((headers, body))
        kind, pieces = self.answers.get(event["type"], ("", []))
        status = "200 OK" if pieces else "204 No Content"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode())
        for piece in pieces:
            writer.write(piece.encode())
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        self.events.put_nowait(event)

    async def until(self, type: str) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            while (event := await self.events.get())["type"] != type:
                assert event["type"] != "call.failed", event
            return event


@asynccontextmanager
async def asked(private: bool = True) -> AsyncIterator[tuple[Program, Served, str]]:
    """A program, and a server that asks it."""
    program = Program()
    async with await asyncio.start_server(program.serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/say"
        settings = {
            "VOICEWIRE_TWILIO_AUTH_TOKEN": SECRET,
            "VOICEWIRE_CALL_WEBHOOK": url,
            "VOICEWIRE_WEBHOOK_PRIVATE": "on" if private else "off",
        }
        running = started(settings)
        served = await asyncio.to_thread(running.__enter__)
        try:
            yield program, served, url
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


def _pepper(folder: Path) -> bytes:
    return bytes.fromhex((folder / PEPPER_FILE).read_text("ascii"))


class Held:
    """Stands for a call in which nothing is heard."""

    id, account, tenant = "CA1", "AC1", "t_mine"

    def take(self, agent: Hook, message: frames.ClientMessage) -> None: ...

    def end(self, agent: Hook, context: str) -> None: ...


@pytest.mark.parametrize("given", ["", "whsec_" + "A" * 40])
async def test_who_gave_the_secret_can_check_what_is_asked(given: str) -> None:
    program, outward = Program(), Outward(private=True, at_once=1)
    async with await asyncio.start_server(program.serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/say"
        hook = Hook(cast(Call, Held()), Account("AC1", webhook=url, webhook_secret=given), outward, b"pepper")
        assert hook.key == "calls:AC1"
        hook.tell(frames.Call("CA1", CallEvent.ENDED))
        hook.tell(frames.Cancelled("w0", 0, (0, 0), (0, 4), 0, 0, None))
        hook.over()
        await asyncio.wait_for(hook.run(), WAIT_S)
        await program.until("call.ended")
        await outward.aclose()
        types = [json.loads(body)["type"] for _, body in program.signed]
        assert types == ["call.started", "call.interrupted", "call.ended"]
    headers, body = program.signed[-1]
    event = json.loads(body)
    secret = given or secret_for(b"pepper", "t_mine", url)
    id, timestamp = headers["webhook-id"], int(headers["webhook-timestamp"])
    assert event["type"] == "call.ended"
    assert abs(datetime.fromisoformat(event["timestamp"]).timestamp() - timestamp) <= WAIT_S
    assert headers["webhook-signature"] == signature(secret, id, timestamp, body)


async def test_a_call_that_is_over_at_once_ends_its_webhook_too() -> None:
    program, outward = Program({}), Outward(private=True, at_once=1)
    async with await asyncio.start_server(program.serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/say"
        hooks = Hooks(outward, b"pepper")
        started = Started("CA1", "MZ1", "", "AC1", frames.FormatRequest(Codec.MULAW, 8_000))
        call = Call(CARRIERS["twilio"], started, "t_mine", lambda _: None)
        hooks.attend(call, Account("AC1", webhook=url))
        await call.over()
        await program.until("call.ended")
        await hooks.aclose()
    assert [json.loads(body)["type"] for _, body in program.signed] == ["call.started", "call.ended"]


async def test_the_end_of_a_call_is_told_whatever_else_is_not() -> None:
    program, outward = Program(), Outward(private=True, at_once=1)
    async with await asyncio.start_server(program.serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/say"
        hook = Hook(cast(Call, Held()), Account("AC1", webhook=url), outward, b"pepper")
        for _ in range(EVENTS_MAX):
            hook.tell(frames.Cancelled("w0", 0, (0, 0), (0, 4), 0, 0, None))
        hook.over()
        await asyncio.wait_for(hook.run(), WAIT_S)
        await program.until("call.ended")
        await outward.aclose()
    assert len(program.signed) == EVENTS_MAX - 1
    assert json.loads(program.signed[-1][1])["type"] == "call.ended"


@pytest.mark.nightly
async def test_what_a_webhook_answers_is_spoken_and_a_key_interrupts() -> None:
    async with asked() as (program, served, url):
        call = new_call()
        token = await token_of(served.url, call)
        async with connected(served.url, call, token) as phone:
            assert (await program.until("call.started"))["data"]["call"] == call
            await phone.sounding.wait()
            await phone.press("1")
            assert (await program.until("call.digit"))["data"]["digit"] == "1"
            interrupted = (await program.until("call.interrupted"))["data"]
            assert interrupted["unheard"][1] == len("".join(ANSWERS["call.started"][1]))
            assert "clear" in phone.said
            await program.until("call.spoken")
            await phone.hang_up()
        await program.until("call.ended")
        assert (await used_ms(served, served.key)).keys() == {"calls:*"}
        secret = secret_for(_pepper(served.data_dir), "home", url)
        for headers, body in program.signed:
            id, timestamp = headers["webhook-id"], int(headers["webhook-timestamp"])
            assert headers["webhook-signature"] == signature(secret, id, timestamp, body)
        assert len({headers["webhook-id"] for headers, _ in program.signed}) == len(program.signed)
