"""Capacity: live Opus streams in real time, words on, at a p99 lateness of at most 30 ms.

Three cases: `cached`, one core for the gateway, every block a clip; `bundle`, the same with five frames to a message;
`made`, two cores, nothing cached, synthesis and encoding on. The reference beside each, in the same run: a bare
`websockets` server that sends the same frames with the same ticker. A frame is due when its end, or that of its group,
is within the lead of the listener's clock; of messages that come together the first counts. Steps go up, or
down from what is too much, and of each one of two tries must be in time. Beside `made` a second reference makes what it
sends, as barely as can be.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import picows
import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.fifo import AHEAD_FRAMES, served_in_turn
from benchmarks.harness import SENTENCES, Client, Served, connect, percentile, pin_others, report, served
from voicewire.config import Config
from voicewire.context import UNBUNDLED_FRAMES
from voicewire.frames import BUNDLE, HEADER, pack_audio
from voicewire.plan import gathered_frames
from voicewire.server.live.ticker import Ticker
from voicewire.session import Limits
from voicewire.types import Format

RATE_HZ, FRAME = Format().rate_hz, Format().frame_samples
LEAD_MS = Limits().lead_ms
LEAD = LEAD_MS * RATE_HZ // 1000
FRAMES_PER_S = RATE_HZ // FRAME
SETTLE_S = 12.0  # until the crowd that came at once has its lead
LATE_MS = 30.0
BURST_S = 0.005  # messages that come closer together were sent together: the first says how late they are
SENTENCES_EACH = 6  # in a text, about 30 s
TRIES = 2  # of a step: machines are shared, and one pause of theirs is late for everybody
LEAST_PART = 4  # of what is asked for: less is not looked for


class Streamer(Client):
    """Listens without a pause, and notes how late each message was."""

    text = ""
    bundle = 1
    lead_ms = LEAD_MS
    grouped = 1  # frames that come together
    late: list[float] = []  # noqa: RUF012 - one list of the whole client process
    frames = 0
    noting = False
    errors = 0

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.started = 0.0
        self.before = 0.0  # when the last message came

    def audio(self, payload: memoryview, now: float) -> None:
        _, flags, seq, pts = HEADER.unpack_from(payload)
        if seq == 0:
            self.started = now
        burst, self.before = now - self.before < BURST_S, now
        if Streamer.noting:
            count = self.bundle if flags & BUNDLE else 1
            Streamer.frames += count
            ahead = pts + self.grouped * FRAME - LEAD
            if ahead > 0 and not burst:
                Streamer.late.append(now - self.started - ahead / RATE_HZ)

    def message(self, message: dict[str, object]) -> None:
        if message["type"] == "done":  # and when that is heard to its end, the next
            asyncio.get_running_loop().call_later(self.lead_ms / 1000, self.speak)
        elif message["type"] == "error":
            Streamer.errors += 1

    def next_text(self) -> str:
        """The first is cut short at any sentence, so that not all begin the next at once."""
        self.number += 1
        text = self.text or fresh_text()
        return text if self.number > 1 else ". ".join(text.split(". ")[: random.randint(2, SENTENCES_EACH)])

    def speak(self) -> None:
        text = self.next_text()
        self.send(
            {
                "type": "speak",
                "context": f"c{self.number}",
                "text": text,
                "lead_ms": self.lead_ms,
                "format": {"codec": "opus", "bundle": self.bundle},
            }
        )


class MadeBarely(Streamer):
    """Listens to the leanest server that makes, which names no frame and counts none."""

    lead_ms = AHEAD_FRAMES * 1000 // FRAMES_PER_S
    count = 0  # frames of this text

    def audio(self, payload: memoryview, now: float) -> None:  # noqa: ARG002 - one frame
        if not self.count:
            self.started = now
        self.count += 1
        if Streamer.noting:
            Streamer.frames += 1
            Streamer.late.append(now - self.started - (self.count - 1) / FRAMES_PER_S)

    def speak(self) -> None:
        self.count = 0
        self.transport.send(picows.WSMsgType.TEXT, self.next_text().encode())


def fresh_text() -> str:
    """A text of which no sentence was made before: the words of known ones, in an order of their own."""
    return " ".join(fresh_sentence(random.choice(SENTENCES)) for _ in range(SENTENCES_EACH))


def fresh_sentence(sentence: str) -> str:
    words = sentence.rstrip(".").lower().split()
    return " ".join(random.sample(words, len(words))).replace(",", "").capitalize() + "."


async def listen(server: Served, streams: int, seconds: float, listener: type[Streamer]) -> dict[str, float]:
    """Listen with so many streams; return what was late, in milliseconds."""
    loop = asyncio.get_running_loop()
    clients: list[Streamer] = []
    for number in range(streams):
        client = await connect(listener, server)
        assert isinstance(client, Streamer)
        clients.append(client)
        loop.call_later(random.random() * SETTLE_S / 2, client.speak)
        if number % 50 == 49:
            await asyncio.sleep(0.01)
    await asyncio.sleep(SETTLE_S)
    gc.freeze()
    Streamer.noting = True
    before, started = cpu_s(server.pid), time.perf_counter()
    await asyncio.sleep(seconds)
    lasted = time.perf_counter() - started
    used = cpu_s(server.pid) - before
    for client in clients:
        client.transport.disconnect()
    late = Streamer.late or [float("inf")]
    return {
        "streams": streams,
        "p50_ms": percentile(late, 0.5) * 1e3,
        "p99_ms": percentile(late, 0.99) * 1e3,
        "delivered": Streamer.frames / (lasted * streams * FRAMES_PER_S),
        "errors": Streamer.errors,
        "us_per_frame": used / max(1, Streamer.frames) * 1e6,
        "core": used / lasted,
    }


def cpu_s(pid: int) -> float:
    """The processor time of one process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Crowd:
    """Who listens: on which core, to what, for how long."""

    core: int | None
    text: str
    bundle: int
    seconds: float
    listener: type[Streamer] = Streamer
    grouped: int = 0  # frames that the server sends together; 0: as ours does


def listen_in_child(pipe: Connection, server: Served, streams: int, crowd: Crowd) -> None:
    if crowd.core is not None:
        os.sched_setaffinity(0, {crowd.core})
    if streams == 1:
        Streamer.lead_ms = 30_000  # all of it at once: only to have the clips made
    Streamer.text, Streamer.bundle = crowd.text, crowd.bundle
    Streamer.grouped = crowd.grouped or gathered_frames(Format(bundle=crowd.bundle), Streamer.lead_ms)
    pipe.send(uvloop.run(listen(server, streams, crowd.seconds, crowd.listener)))


def measure(server: Served, streams: int, crowd: Crowd) -> dict[str, float]:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(target=listen_in_child, args=(theirs, server, streams, crowd))
    child.start()
    theirs.close()  # or a child that fails would be waited for
    figures: dict[str, float] = ours.recv()
    child.join()
    return figures


# the reference


class BareStream:
    """One connection of the bare sender."""

    due = 0.0

    def __init__(self, socket: ServerConnection, ticker: Ticker, frames: list[bytes], bundle: int) -> None:
        self.socket, self.ticker, self.bundle = socket, ticker, bundle
        self.start(frames[: len(frames) * random.randint(2, SENTENCES_EACH) // SENTENCES_EACH])

    def start(self, frames: list[bytes]) -> None:
        self.frames, self.started, self.at = frames, time.monotonic(), 0
        self.tick(self.started)

    def tick(self, now: float) -> None:
        while True:
            end = min(len(self.frames), self.at + (self.bundle if self.at >= UNBUNDLED_FRAMES else 1))
            at = self.started + (end * FRAME - LEAD) / RATE_HZ
            if at > now:
                self.ticker.schedule(self, at)
                return
            packed = pack_audio(0, 0, self.at, self.at * FRAME, self.frames[self.at : end])
            self.socket.protocol.send_binary(packed)
            self.socket.transport.write(b"".join(self.socket.protocol.data_to_send()))
            self.at = end
            if end == len(self.frames):
                self.socket.protocol.send_text(b'{"type":"done"}')
                self.socket.transport.write(b"".join(self.socket.protocol.data_to_send()))
                self.due = float("inf")
                return

    def broken(self, error: Exception) -> None:
        """A peer went away."""


def bare(pipe: Connection, core: int, bundle: int) -> None:
    os.sched_setaffinity(0, {core})
    rng = random.Random(1)
    frames = [rng.randbytes(rng.randrange(70, 90)) for _ in range(1_400)]

    async def run() -> None:
        ticker = Ticker(Config().tick_ms / 1000)

        async def handle(socket: ServerConnection) -> None:
            stream: BareStream | None = None
            with contextlib.suppress(ConnectionClosed):
                async for _ in socket:
                    if stream is None:
                        stream = BareStream(socket, ticker, frames, bundle)
                    else:
                        stream.start(frames)
            if stream is not None:
                stream.due = float("inf")

        async with serve(handle, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
            pipe.send((server.sockets[0].getsockname()[1], os.getpid()))
            gc.freeze()
            await server.serve_forever()

    uvloop.run(run())


def measure_bare(streams: int, crowd: Crowd) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=bare, args=(theirs, 0, crowd.bundle))
    child.start()
    theirs.close()
    port, pid = ours.recv()
    try:
        return measure(Served(port, pid), streams, replace(crowd, core=1, text="x", grouped=crowd.bundle))
    finally:
        child.terminate()
        child.join()


def measure_maker(streams: int, crowd: Crowd) -> dict[str, float]:
    with served_in_turn(2) as server:
        return measure(server, streams, replace(crowd, listener=MadeBarely))


def warm(server: Served, crowd: Crowd) -> None:
    """Have the clips made."""
    measure(server, 1, replace(crowd, core=None, seconds=3.0))


def search(run: Callable[[int], dict[str, float]], first: int, step: float) -> tuple[int, list[dict[str, float]]]:
    """Return the most streams, in steps up or down from `first`, that are in time; and all that was measured."""
    best, streams, falling, tried = 0, first, False, list[dict[str, float]]()
    while streams >= first // LEAST_PART:
        if any(in_time(tell(run(streams), tried)) for _ in range(TRIES)):
            best, streams = streams, int(streams * step)
            if falling:
                break
        elif best:
            break
        else:
            streams, falling = int(streams / step), True
    return best, tried


def tell(figures: dict[str, float], tried: list[dict[str, float]]) -> dict[str, float]:
    tried.append(figures)
    print({key: round(value, 2) for key, value in figures.items()}, flush=True)
    return figures


def in_time(figures: dict[str, float]) -> bool:
    return figures["p99_ms"] <= LATE_MS and not figures["errors"] and figures["delivered"] >= 0.98


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=["cached", "bundle", "made"])
    parser.add_argument("--first", type=int, default=0, help="streams to begin with")
    parser.add_argument("--step", type=float, default=1.2)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    made = options.case == "made"
    text = "" if made else " ".join(SENTENCES * (SENTENCES_EACH // len(SENTENCES)))
    crowd = Crowd(None if made else 1, text, 5 if options.case == "bundle" else 1, options.seconds)
    target = {"cached": 1_000, "bundle": 2_500, "made": 400}[options.case]
    first = options.first or target
    settings: dict[str, object] = {"streams_max": 20_000, "log_level": "error"}
    if made:
        settings |= {"cache": "noop", "cache_bytes": 0}

    def run(streams: int) -> dict[str, float]:
        """Measure a server of its own: one that a crowd has just left is busy with what they may come back to."""
        with served(None if made else [0], **settings) as server:
            if not made:
                pin_others(server, [1])
                warm(server, crowd)
            return measure(server, streams, crowd)

    ours, tried = search(run, first, options.step)
    theirs, tried_bare = search(lambda streams: measure_bare(streams, crowd), first, options.step)
    makers, tried_makers = search(lambda n: measure_maker(n, crowd), first, options.step) if made else (0, [])
    report(
        name=f"capacity_{options.case}",
        streams=ours,
        reference="a bare websockets server, same frames, same ticker, one core",
        reference_streams=theirs,
        ratio=ours / theirs if theirs else None,
        target=target,
        us_per_frame=tried[0]["us_per_frame"],
        reference_us_per_frame=tried_bare[0]["us_per_frame"],
        tried=[{key: round(value, 2) for key, value in each.items()} for each in tried],
        reference_tried=[{key: round(value, 2) for key, value in each.items()} for each in tried_bare],
        **(
            {
                "maker": "the leanest server that speaks who comes first, first, with two workers",
                "maker_streams": makers,
                "ratio_maker": ours / makers if makers else None,
                "maker_tried": [{key: round(value, 2) for key, value in each.items()} for each in tried_makers],
            }
            if made
            else {}
        ),
    )


if __name__ == "__main__":
    main()
