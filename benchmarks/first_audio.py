"""First audio: text message sent → first Opus frame received, idle and with other listeners beside it.

Two references, in the same run. `chain`: the same sentences, at the same pace, through the barest chain of the same
processes: client, `websockets` server, worker with engine and encoder, and back; no protocol, no sessions, no words.
`engine`: engine and encoder alone, in this process, one after another. Clips are off.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import socket
import time
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
        self.send({"type": "speak", "context": f"c{number}", "text": text})
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


async def measure(server: Served, asks: int, listeners: int, kind: type[Asker] = Asker) -> list[float]:
    others = []
    for _ in range(listeners):
        listener = await connect(Listener, server)
        assert isinstance(listener, Listener)
        others.append(listener)
        asyncio.get_running_loop().call_later(random.random() * 5, listener.speak)
    await asyncio.sleep(8 if listeners else 0.5)
    asker = await connect(kind, server)
    assert isinstance(asker, Asker)
    seconds = []
    for number in range(asks):
        seconds.append(await asker.ask(number, SENTENCES[number % 3]))
        await asyncio.sleep(0.03)
    for client in (asker, *others):
        client.transport.disconnect()
    return seconds[20:]


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


def chain(asks: int) -> list[float]:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(target=chain_server, args=(theirs,))
    child.start()
    try:
        return uvloop.run(measure(Served(ours.recv(), child.pid or 0), asks, 0, ChainAsker))
    finally:
        child.terminate()
        child.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asks", type=int, default=300)
    parser.add_argument("--listeners", type=int, default=200)
    options = parser.parse_args()
    alone = reference(options.asks)
    barest = chain(options.asks)
    with served(cache_bytes=0, cache="noop") as server:
        idle = uvloop.run(measure(server, options.asks, 0))
        busy = uvloop.run(measure(server, options.asks, options.listeners))
    report(
        name="first_audio",
        idle_p50_ms=percentile(idle, 0.5) * 1e3,
        idle_p99_ms=percentile(idle, 0.99) * 1e3,
        listeners=options.listeners,
        busy_p50_ms=percentile(busy, 0.5) * 1e3,
        busy_p99_ms=percentile(busy, 0.99) * 1e3,
        reference="chain: client, bare websockets server, worker",
        reference_p50_ms=percentile(barest, 0.5) * 1e3,
        reference_p99_ms=percentile(barest, 0.99) * 1e3,
        ratio_p50=percentile(idle, 0.5) / percentile(barest, 0.5),
        engine_p50_ms=percentile(alone, 0.5) * 1e3,
        engine_p99_ms=percentile(alone, 0.99) * 1e3,
        targets={"idle_p50_ms": 2, "idle_p99_ms": 5, "busy_p99_ms": 20},
    )


if __name__ == "__main__":
    main()
