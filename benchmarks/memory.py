"""Memory of the gateway: for an idle connection, and for a live stream in the middle of a long text.

The reference, in the same run: an idle connection of a bare `websockets` server.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop
from websockets.asyncio.client import connect as dial
from websockets.asyncio.server import ServerConnection, serve

from benchmarks.harness import SENTENCES, Client, Served, connect, report, served

TEXT = " ".join(SENTENCES * 20)


def resident_kib(pid: int) -> float:
    """Memory of a process that is its own: resident, not shared."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    rows = dict(line.split(":", 1) for line in rollup.splitlines()[1:])
    return float(rows["Private_Dirty"].split()[0]) + float(rows["Private_Clean"].split()[0])


async def measure(server: Served, connections: int) -> tuple[float, float]:
    """Return KiB for an idle connection and for a live stream."""
    for client in [await connect(Client, server) for _ in range(50)]:
        client.transport.disconnect()
    await asyncio.sleep(1)
    empty = resident_kib(server.pid)
    clients = [await connect(Client, server) for _ in range(connections)]
    await asyncio.sleep(1)
    idle = resident_kib(server.pid)
    for client in clients:
        client.send({"type": "speak", "context": "c", "text": TEXT})
    await asyncio.sleep(12)
    live = resident_kib(server.pid)
    for client in clients:
        client.transport.disconnect()
    return (idle - empty) / connections, (live - empty) / connections


def bare(pipe: Connection) -> None:
    async def handle(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async def run() -> None:
        async with serve(handle, "127.0.0.1", 0, compression=None) as server:
            gc.collect()
            pipe.send((server.sockets[0].getsockname()[1], os.getpid()))
            await server.serve_forever()

    uvloop.run(run())


async def measure_bare(port: int, pid: int, connections: int) -> float:
    for socket in [await dial(f"ws://127.0.0.1:{port}", compression=None) for _ in range(50)]:
        socket.transport.abort()
    await asyncio.sleep(1)
    empty = resident_kib(pid)
    sockets = [await dial(f"ws://127.0.0.1:{port}", compression=None) for _ in range(connections)]
    await asyncio.sleep(1)
    idle = resident_kib(pid)
    for socket in sockets:
        socket.transport.abort()
    return (idle - empty) / connections


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=300)
    options = parser.parse_args()
    with served(log_level="error", idle_s=600, cache_bytes=1 << 20) as server:
        idle, live = uvloop.run(measure(server, options.connections))
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(target=bare, args=(theirs,))
    child.start()
    port, pid = ours.recv()
    reference = uvloop.run(measure_bare(port, pid, options.connections))
    child.terminate()
    report(
        name="memory",
        connections=options.connections,
        idle_kib=idle,
        live_kib=live,
        reference="idle connection of a bare websockets server",
        reference_kib=reference,
        ratio=idle / reference,
        targets={"idle_kib": 40, "live_kib": 400},
    )


if __name__ == "__main__":
    main()
