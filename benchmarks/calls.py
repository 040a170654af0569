"""Telephone calls: µ-law in frames of 20 ms as Twilio takes them, and what callers say coming in, on one core.

Every block is a clip. A group of frames is due when its end is within the lead of the caller's clock, and how late its
first frame is, is counted; the target is 100 calls at a p99 lateness of at most 30 ms. The reference beside it, in the
same run and with the same client: a bare `websockets` server that sends the same messages with the same ticker.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import httpx
import picows
import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.capacity import cpu_s
from benchmarks.harness import KEY, SENTENCES, Client, Served, connect, percentile, report, served
from voicewire.plan import gathered_frames
from voicewire.server.live.ticker import Ticker
from voicewire.server.telephony.call import LEAD_MS
from voicewire.server.telephony.carriers import TWILIO
from voicewire.server.telephony.outbound import FRAME_MS
from voicewire.types import Codec, Format

TEXT = " ".join(SENTENCES * 2)
AUDIO_MS = 30_000  # about
SETTLE_S = 3.0
LATE_MS = 30.0
CALLS_OF_SESSION = 50
GROUPED = gathered_frames(Format(Codec.MULAW, 8_000, FRAME_MS), LEAD_MS)  # frames
GROUP_S = 0.005  # frames that come closer together were sent together
HEARD = json.dumps(
    {"event": "media", "media": {"track": "inbound", "payload": base64.b64encode(b"\xff" * 160).decode()}}
).encode()


class Phone(picows.WSListener):
    """One call: notes how late each frame was."""

    late: list[float] = []  # noqa: RUF012 - one list of the whole client process
    frames = 0
    noting = False

    def __init__(self) -> None:
        super().__init__()
        self.started = 0.0
        self.at_ms = 0
        self.before = 0.0

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == picows.WSMsgType.TEXT and frame.payload_size > 150:  # a mark is shorter
            self.media(time.perf_counter())

    def media(self, now: float) -> None:
        self.started = self.started or now
        if Phone.noting:
            Phone.frames += 1
            ahead_ms = self.at_ms + GROUPED * FRAME_MS - LEAD_MS
            if ahead_ms > 0 and now - self.before > GROUP_S:
                Phone.late.append((now - self.started) * 1000 - ahead_ms)
        self.at_ms += FRAME_MS
        self.before = now

    def start(self, call: str, token: str) -> None:
        begun = {"callSid": call, "streamSid": f"MZ{call}", "customParameters": {"token": token}}
        self.transport.send(picows.WSMsgType.TEXT, json.dumps({"event": "start", "start": begun}).encode())


async def phones(port: int, calls: int, tokens: list[str]) -> list[Phone]:
    made = []
    for number in range(calls):
        url = f"ws://127.0.0.1:{port}/v1/twilio/stream"
        _, phone = await picows.ws_connect(Phone, url, enable_auto_pong=False)
        assert isinstance(phone, Phone)
        phone.start(f"CA{number}", tokens[number])
        made.append(phone)
    return made


async def talk(made: list[Phone]) -> None:
    """What the callers say: fifty messages a second of each."""
    while True:
        due = time.perf_counter() + FRAME_MS / 1000
        for phone in made:
            phone.transport.send(picows.WSMsgType.TEXT, HEARD)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))


async def tokens_of(server: Served, calls: int) -> list[str]:
    async with httpx.AsyncClient(headers={"X-API-Key": server.key}, trust_env=False) as http:
        url = f"http://127.0.0.1:{server.port}/v1/calls"
        return [(await http.post(url, json={"call": f"CA{number}"})).json()["token"] for number in range(calls)]


async def ours(server: Served, calls: int, seconds: float) -> dict[str, float]:
    made = await phones(server.port, calls, await tokens_of(server, calls))
    sessions = [await connect(Client, server) for _ in range(-(-calls // CALLS_OF_SESSION))]
    for number in range(calls):
        into = {"to": f"call:CA{number}", "marks": "word"}
        speak: dict[str, object] = {"type": "speak", "context": f"c{number}", "text": TEXT, **into}
        sessions[number // CALLS_OF_SESSION].send(speak)
        await asyncio.sleep(FRAME_MS / 1000 / 4)
    figures = await measured(server.pid, made, seconds)
    for session in sessions:
        session.transport.disconnect()
    return figures


async def theirs(server: Served, calls: int, seconds: float) -> dict[str, float]:
    return await measured(server.pid, await phones(server.port, calls, [""] * calls), seconds)


async def measured(pid: int, made: list[Phone], seconds: float) -> dict[str, float]:
    talking = asyncio.create_task(talk(made))
    await asyncio.sleep(SETTLE_S)
    Phone.noting = True
    before, started = cpu_s(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    lasted, used = time.perf_counter() - started, cpu_s(pid) - before
    Phone.noting = False
    talking.cancel()
    for phone in made:
        phone.transport.disconnect()
    late = Phone.late or [float("inf")]
    return {
        "calls": len(made),
        "p50_ms": percentile(late, 0.5),
        "p99_ms": percentile(late, 0.99),
        "delivered": Phone.frames * FRAME_MS / 1000 / (lasted * len(made)),
        "core": used / lasted,
    }


def in_child(pipe: Connection, run: Callable[..., object], server: Served, calls: int, seconds: float) -> None:
    os.sched_setaffinity(0, {1})
    pipe.send(uvloop.run(run(server, calls, seconds)))  # type: ignore[arg-type] # both are coroutine functions


def measure(run: Callable[..., object], server: Served, calls: int, seconds: float) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=in_child, args=(there, run, server, calls, seconds))
    child.start()
    figures: dict[str, float] = here.recv()
    child.join()
    print({key: round(value, 2) for key, value in figures.items()}, flush=True)
    return figures


class Bare:
    """One connection of the bare sender."""

    due = 0.0

    def __init__(self, socket: ServerConnection, ticker: Ticker) -> None:
        self.socket, self.ticker, self.at = socket, ticker, 0
        self.payload = TWILIO.media("MZ", os.urandom(160), "")[1]
        self.started = time.monotonic()
        self.tick(self.started)

    def tick(self, now: float) -> None:
        while self.at * FRAME_MS < AUDIO_MS:
            at = self.started + ((self.at + GROUPED) * FRAME_MS - LEAD_MS) / 1000
            if at > now:
                self.ticker.schedule(self, at)
                return
            for _ in range(GROUPED):
                self.socket.protocol.send_text(self.payload)
            self.socket.transport.write(b"".join(self.socket.protocol.data_to_send()))
            self.at += GROUPED

    def broken(self, error: Exception) -> None:
        """A peer went away."""


def bare(pipe: Connection) -> None:
    os.sched_setaffinity(0, {0})

    async def run() -> None:
        ticker = Ticker(0.005)

        async def hold(socket: ServerConnection) -> None:
            await socket.recv()
            sender = Bare(socket, ticker)
            try:
                async for message in socket:
                    json.loads(message)
            except ConnectionClosed:
                pass  # as phones do
            finally:
                sender.due = float("inf")

        async with serve(hold, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
            pipe.send((server.sockets[0].getsockname()[1], os.getpid()))
            await server.serve_forever()

    uvloop.run(run())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    with served([0], log_level="error") as server:
        assert server.key == KEY
        measure(ours, server, 1, 1.0)  # has the clips made
        time.sleep(SETTLE_S)
        mine = measure(ours, server, options.calls, options.seconds)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=bare, args=(there,))
    child.start()
    port, pid = here.recv()
    reference = measure(theirs, Served(port, pid), options.calls, options.seconds)
    child.terminate()
    child.join()
    report(
        name="calls",
        calls=options.calls,
        in_time=mine["p99_ms"] <= LATE_MS and mine["delivered"] > 0.98,
        calls_per_core=int(options.calls / mine["core"]),
        core_ratio=round(mine["core"] / reference["core"], 2),
        p99_ratio=round(mine["p99_ms"] / reference["p99_ms"], 2),
        reference="a bare websockets server, same messages, same ticker, one core",
        ours={key: round(value, 3) for key, value in mine.items()},
        theirs={key: round(value, 3) for key, value in reference.items()},
    )


if __name__ == "__main__":
    main()
