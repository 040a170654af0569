"""First audio: text message sent → first Opus frame received, idle and with other listeners beside it.

Two references, in the same run. `chain`: the same sentences, in turns with ours, through the barest chain of the same
processes: client, `websockets` server, worker with engine and encoder, and back; no protocol, no sessions, no words,
and, beside the same listeners, a worker of its own. `engine`: engine and encoder alone, in this process, one after
another. Clips are off.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import random
import socket
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

import picows
import uvloop
from websockets.asyncio.server import ServerConnection, serve

from benchmarks.harness import SENTENCES, Client, Served, connect, percentile, report, served
from voicewire.blocks import Splitter
from voicewire.engines.espeak import open_engine
from voicewire.render import Encoders, render
from voicewire.types import Format, Job, Utterance


class Asker(Client):
    """Asks again and again, and cancels as soon as the first frame is there."""

    def __init__(self) -> None:
        super().__init__()
        self.first: asyncio.Future[float] | None = None
        self.over = asyncio.Event()
        self.manner: dict[str, object] = {}  # what else is said with a text

    def audio(self, payload: memoryview, now: float) -> None:  # noqa: ARG002
        if self.first is not None and not self.first.done():
            self.first.set_result(now)

    def message(self, message: dict[str, object]) -> None:
        if message["type"] == "error" and self.first is not None and not self.first.done():
            self.first.set_exception(RuntimeError(f"the server answers {message}"))
        elif message["type"] in {"cancelled", "done"}:
            self.over.set()

    async def ask(self, number: int, text: str) -> float:
        """Return the seconds until the first frame."""
        self.first = asyncio.get_running_loop().create_future()
        self.over.clear()
        sent = time.perf_counter()
        self.send({"type": "speak", "context": f"c{number}", "text": text, **self.manner})
        seconds = await self.first - sent
        self.send({"type": "cancel", "context": f"c{number}"})
        await self.over.wait()
        return seconds


class Listener(Client):
    """Listens all the time: one utterance after another, in real time."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.random = random.Random(id(self))

    def message(self, message: dict[str, object]) -> None:
        if message["type"] == "done":
            asyncio.get_running_loop().call_later(0.1, self.speak)

    def speak(self) -> None:
        self.number += 1
        text = " ".join(self.random.choice(SENTENCES) for _ in range(4))
        self.send({"type": "speak", "context": f"c{self.number}", "text": text})


async def measure(asks: int, listeners: int, server: Served, *askers: tuple[type[Asker], Served]) -> list[list[float]]:
    """Return each asker's seconds; they take turns, and `listeners` listen to `server` meanwhile."""
    others = []
    for _ in range(listeners):
        listener = await connect(Listener, server)
        assert isinstance(listener, Listener)
        others.append(listener)
        asyncio.get_running_loop().call_later(random.random() * 5, listener.speak)
    await asyncio.sleep(8 if listeners else 0.5)
    asking = [await connect(kind, asked) for kind, asked in askers]
    seconds: list[list[float]] = [[] for _ in asking]
    for number in range(asks):
        for asker, taken in zip(asking, seconds, strict=True):
            assert isinstance(asker, Asker)
            taken.append(await asker.ask(number, SENTENCES[number % 3]))
            await asyncio.sleep(0.03)
    for client in (*asking, *others):
        client.transport.disconnect()
    return [taken[20:] for taken in seconds]


def reference(asks: int) -> list[float]:
    engine = open_engine()
    encoders = Encoders()
    seconds = []
    for number in range(asks):
        job = Job(Utterance(SENTENCES[number % 3], engine.model.default_voice), Format(), 0)
        started = time.perf_counter()
        slices = render(engine, job, encoders)
        next(slices)
        seconds.append(time.perf_counter() - started)
        slices.close()
    engine.close()
    return seconds[20:]


class ChainAsker(Asker):
    """Asks the bare chain, which knows nothing of messages."""

    async def ask(self, number: int, text: str) -> float:  # noqa: ARG002 - as its base has it
        self.first = asyncio.get_running_loop().create_future()
        sent = time.perf_counter()
        self.transport.send(picows.WSMsgType.TEXT, text.encode())
        return await self.first - sent


def chain_worker(sock: socket.socket, other_end: socket.socket) -> None:
    other_end.close()  # so that the server's end is the only one, and its death is noticed
    engine, encoders = open_engine(), Encoders()
    while text := sock.recv(4_096):
        job = Job(Utterance(text.decode(), engine.model.default_voice), Format(), 0)
        slices = render(engine, job, encoders)
        sock.sendall(b"".join(next(slices).packets))
        slices.close()


def chain_server(pipe: Connection) -> None:
    ours, theirs = socket.socketpair()
    worker = multiprocessing.get_context("fork").Process(target=chain_worker, args=(theirs, ours), daemon=True)
    worker.start()
    theirs.close()
    ours.setblocking(False)

    async def run() -> None:
        loop = asyncio.get_running_loop()

        async def handle(connection: ServerConnection) -> None:
            async for text in connection:
                assert isinstance(text, str)
                await loop.sock_sendall(ours, first_clause(text).encode())
                await connection.send(await loop.sock_recv(ours, 65_536))

        async with serve(handle, "127.0.0.1", 0, compression=None) as server:
            pipe.send(server.sockets[0].getsockname()[1])
            await server.serve_forever()

    uvloop.run(run())


def first_clause(text: str) -> str:
    """The block that voicewire would speak first."""
    splitter = Splitter()
    return (splitter.push(text) + splitter.end())[0].text


@contextlib.contextmanager
def chain() -> Iterator[Served]:
    """Serve the barest chain."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(target=chain_server, args=(theirs,))
    child.start()
    try:
        yield Served(ours.recv(), child.pid or 0)
    finally:
        child.terminate()
        child.join()


def figures(name: str, seconds: list[float]) -> dict[str, float]:
    return {f"{name}_p50_ms": percentile(seconds, 0.5) * 1e3, f"{name}_p99_ms": percentile(seconds, 0.99) * 1e3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asks", type=int, default=300)
    parser.add_argument("--listeners", type=int, default=200)
    options = parser.parse_args()
    alone = reference(options.asks)
    with served(cache_bytes=0, cache="noop") as server, chain() as barest:
        askers = (Asker, server), (ChainAsker, barest)
        idle, idle_barest = uvloop.run(measure(options.asks, 0, server, *askers))
        busy, busy_barest = uvloop.run(measure(options.asks, options.listeners, server, *askers))
    report(
        name="first_audio",
        **figures("idle", idle),
        listeners=options.listeners,
        **figures("busy", busy),
        reference="chain: client, bare websockets server, worker; asked in turns with ours",
        **figures("reference", idle_barest),
        **figures("reference_busy", busy_barest),
        ratio_p50=percentile(idle, 0.5) / percentile(idle_barest, 0.5),
        ratio_busy_p99=percentile(busy, 0.99) / percentile(busy_barest, 0.99),
        **figures("engine", alone),
        targets={"idle_p50_ms": 2, "idle_p99_ms": 5, "busy_p99_ms": 20},
    )


if __name__ == "__main__":
    main()
